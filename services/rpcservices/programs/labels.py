"""Bounds the labels of programs: they are kept as long as the programs, and sent with every event."""

from __future__ import annotations

from collections.abc import Mapping

from rpcserver import InvalidParams

MOST_LABELS = 64
NAME_CHARACTERS = 128
VALUE_CHARACTERS = 1024


def check_labels(labels: Mapping[str, str]) -> None:
    """Refuse labels that are too many or too long.

    Raises:
        InvalidParams: it names the label.
    """
    if len(labels) > MOST_LABELS:
        raise _invalid([], f"{len(labels)} labels: at most {MOST_LABELS} are allowed")
    for name, value in labels.items():
        if len(name) > NAME_CHARACTERS:
            raise _invalid([name[:NAME_CHARACTERS]], f"a name has at most {NAME_CHARACTERS} characters")
        if len(value) > VALUE_CHARACTERS:
            raise _invalid([name], f"a value has at most {VALUE_CHARACTERS} characters")


def _invalid(place: list[str], text: str) -> InvalidParams:
    loc = ["labels", *place]
    return InvalidParams(f"{'.'.join(loc)}: {text}", errors=[{"loc": loc, "msg": text, "type": "value_error"}])
