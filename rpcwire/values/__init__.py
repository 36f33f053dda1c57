"""Values on the wire: how Python's types are written and read in both forms."""

# Stubs that were generated before name it here.
from .tagged import Value as Value
