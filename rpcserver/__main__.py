"""``python -m rpcserver`` is the command ``rpcserver``."""

from .cli import main

main(prog_name="rpcserver")
