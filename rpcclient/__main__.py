"""``python -m rpcclient`` is the command ``rpcclient``."""

from .cli import main

main(prog_name="rpcclient")
