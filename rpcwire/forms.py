"""Errors of parameters that may have one of several forms, such as a dictionary or a list of values, as one reader of
them wants to see them: pydantic tells what is wrong with each form, and names it in words of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_VALUE = "function-after[load(), any]"
"""What pydantic calls a :data:`~rpcwire.values.tagged.Value`."""

_FORMS = {
    f"list[{_VALUE}]": "a list",
    f"dict[str,{_VALUE}]": "a dict",
    f"list[list[{_VALUE}]]": "a list of lists",
    f"list[dict[str,{_VALUE}]]": "a list of dicts",
}
_SHAPES = frozenset({"dict_type", "list_type"})


def _is_form(part: Any) -> bool:
    return isinstance(part, str) and part in _FORMS


def without_forms(errors: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same errors without the names of forms in their places.

    Where a value has none of the forms, that is one error; where it has one, what is wrong within the others is left
    out.

    Parameters:
        errors: field errors, each with ``loc``, ``msg`` and ``type``.
    """
    found: list[dict[str, Any]] = []
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for error in errors:
        at = next((place for place, part in enumerate(error["loc"]) if _is_form(part)), None)
        if at is None:
            found.append(error)
        else:
            groups.setdefault(tuple(error["loc"][:at]), []).append(error)
    for prefix, group in groups.items():
        found += _told(list(prefix), group)
    return found


def _told(prefix: list[Any], group: list[dict[str, Any]]) -> list[dict[str, Any]]:
    at = len(prefix)
    within = [error for error in group if error["type"] not in _SHAPES]
    if within:
        return [{**error, "loc": [*prefix, *error["loc"][at + 1 :]]} for error in within]
    forms = sorted({_FORMS[error["loc"][at]] for error in group}, key=lambda form: "dict" in form)
    return [{"loc": prefix, "msg": f"{' or '.join(forms)} of values", "type": "form"}]
