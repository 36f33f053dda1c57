"""A command on many servers of SSH at once, as somebody writes it with asyncssh or with Fabric. `fleet.py` runs this as
a program of its own, so it loads only what it uses.

``python benchmarks/fleet_ssh.py asyncssh|fabric KEY_FILE COMMAND PORT…``
"""

from __future__ import annotations

import asyncio
import getpass
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asyncssh import SSHClientConnection


async def connect_ssh(ports: Sequence[int], key_file: str) -> list[SSHClientConnection]:
    """Connect to all servers of SSH at once."""
    import asyncssh

    user, keys = getpass.getuser(), [asyncssh.read_private_key(key_file)]
    return await asyncio.gather(
        *(
            asyncssh.connect("127.0.0.1", port, known_hosts=None, username=user, client_keys=keys, config=None)
            for port in ports
        )
    )


async def run_over_ssh(connections: Sequence[SSHClientConnection], command: str) -> None:
    """Run the command on all servers of SSH at once."""
    for done in await asyncio.gather(*(each.run(command, check=True) for each in connections)):
        assert done.stdout


async def use_asyncssh(command: str, ports: Sequence[int], key_file: str) -> None:
    """What somebody writes with asyncssh: connect to all, and run the command."""
    await run_over_ssh(await connect_ssh(ports, key_file), command)


def use_fabric(command: str, ports: Sequence[int], key_file: str) -> None:
    """What somebody writes with Fabric."""
    from fabric import ThreadingGroup  # type: ignore[import-untyped]  # It has no types.

    hosts = [f"{getpass.getuser()}@127.0.0.1:{port}" for port in ports]
    connect: dict[str, Any] = {"key_filename": key_file, "look_for_keys": False, "allow_agent": False}
    results = ThreadingGroup(*hosts, connect_kwargs=connect).run(command, hide=True)
    assert len(results) == len(ports)
    assert all(result.stdout for result in results.values())


def main() -> None:
    """Run the command everywhere."""
    library, key_file, command, *rest = sys.argv[1:]
    ports = [int(port) for port in rest]
    if library == "asyncssh":
        asyncio.run(use_asyncssh(command, ports, key_file))
    else:
        use_fabric(command, ports, key_file)


if __name__ == "__main__":
    main()
