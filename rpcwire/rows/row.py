"""One row of a result: a tuple whose cells have names."""

from __future__ import annotations

import keyword
from collections.abc import Mapping, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any, ClassVar


class Row(tuple[Any, ...]):
    """A tuple with names: ``row.city``, ``row[0]``, ``row._mapping["city"]``.

    If the name of a column is not a Python identifier, or begins with an underscore, use its position or
    :attr:`_mapping`. Of several columns with the same name, the first one counts.
    """

    __slots__ = ()
    _fields: ClassVar[tuple[str, ...]] = ()

    @property
    def _mapping(self) -> Mapping[str, Any]:
        """The cells by name."""
        return {name: self[index] for name, index in reversed([(n, i) for i, n in enumerate(self._fields)])}

    def _asdict(self) -> dict[str, Any]:
        """The cells by name, in the order of the columns."""
        return dict(zip(self._fields, self, strict=True))

    def __getattr__(self, name: str) -> Any:
        # Python calls this only for names that no column has.
        raise AttributeError(f"no column {name!r}: the columns are {', '.join(self._fields) or 'unknown'}")

    def __repr__(self) -> str:
        if not self._fields:
            return tuple.__repr__(self)
        return f"Row({', '.join(f'{name}={cell!r}' for name, cell in zip(self._fields, self, strict=True))})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (self._fields, tuple(self))


@lru_cache(maxsize=256)
def _row_type(names: tuple[str, ...]) -> type[Row]:
    members: dict[str, Any] = {"__slots__": (), "_fields": names, "__doc__": f"A row: {', '.join(names)}."}
    for index, name in enumerate(names):
        if name.isidentifier() and not keyword.iskeyword(name) and not name.startswith("_") and name not in members:
            members[name] = property(itemgetter(index))
    return type("Row", (Row,), members)


def row_type(names: Sequence[str]) -> type[Row]:
    """Return the class of rows with these column names."""
    return _row_type(tuple(names))


def _restore(names: tuple[str, ...], cells: tuple[Any, ...]) -> Row:
    return row_type(names)(cells)
