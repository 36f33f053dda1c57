"""``python -m rpcclient`` is the command ``rpcclient``."""

from .cli import start

start()
