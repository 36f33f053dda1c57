"""``rpcserver`` and ``python -m rpcserver``: runs the command if its packages are installed."""

import sys

from .daemon.early_reload import note_reloads


def main() -> None:
    """Run the command. If a package of the server is missing, say in a line what to install."""
    if sys.argv[1:2] == ["serve"]:
        note_reloads()  # Before all that takes time.
    try:
        from rpcserver.daemon.cli import main as command
    except ModuleNotFoundError as exc:
        if (exc.name or "").partition(".")[0] in {"", "rpcserver", "rpcwire"}:
            raise
        sys.exit(f"rpcserver: {exc.name} is missing: pip install 'remote-services[server]'")
    command(prog_name="rpcserver")


if __name__ == "__main__":
    main()
