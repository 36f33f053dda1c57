"""Makes errors readable for parameters that may have one of several forms, such as a dictionary or a list of values.
pydantic reports the errors of each form separately, and names each form by its internal name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_VALUE = "function-after[load(), any]"
"""pydantic's internal name of a :data:`~rpcwire.values.tagged.Value`."""

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
    """Return the errors without the names of forms in their places.

    If a value has none of the forms, that becomes one error. If it has one of them, the errors of the other forms are
    left out.

    Parameters:
        errors: field errors, each with ``loc``, ``msg`` and ``type``.
    """
    entries: list[dict[str, Any]] = []
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for error in errors:
        at = next((place for place, part in enumerate(error["loc"]) if _is_form(part)), None)
        if at is None:
            entries.append(error)
        else:
            groups.setdefault(tuple(error["loc"][:at]), []).append(error)
    for prefix, group in groups.items():
        entries += _merge(list(prefix), group)
    return entries


def _merge(prefix: list[Any], group: list[dict[str, Any]]) -> list[dict[str, Any]]:
    at = len(prefix)
    within = [error for error in group if error["type"] not in _SHAPES]
    if within:
        return [{**error, "loc": [*prefix, *error["loc"][at + 1 :]]} for error in within]
    forms = sorted({_FORMS[error["loc"][at]] for error in group}, key=lambda form: "dict" in form)
    return [{"loc": prefix, "msg": f"{' or '.join(forms)} of values", "type": "form"}]
