"""Values on the wire: how Python's types are written and read in both forms."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .tagged import Value as Value


def __getattr__(name: str) -> Any:
    """Load the type of any value when it is asked for. Stubs that were generated before name it here."""
    if name != "Value":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .tagged import Value

    return Value
