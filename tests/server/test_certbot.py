"""A live server whose certificate certbot renews: by its own files, and by the copies of the hook in the documents."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest
import trustme

from rpcserver.reload.report import ReloadFailed
from tests.server.certbot import Lineage
from tests.server.reloading import Greeter, Operator
from tests.server.test_tls import REFUSED, RELOADED, shown, trusting

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"


@pytest.fixture
def lineage(tmp_path: Path, authority: trustme.CA) -> Lineage:
    lineage = Lineage(tmp_path / "letsencrypt", "box.example")
    assert list(lineage.renew(authority.issue_cert("localhost", "old.example")))[-1] == "the link fullchain is made"
    return lineage


def table(tls: dict[str, str]) -> str:
    return "\n".join(["[tls]", *(f'{key} = "{value}"' for key, value in tls.items())])


def look(server: Any) -> None:
    """Have the server look at its files as often as it takes to take, or to refuse, what is there."""
    for _ in range(2):
        server.door._certificate_files.look()


@pytest.mark.parametrize("by", ["looks", "reloads"])
def test_a_renewal_is_never_seen_half_done(
    by: str, tools: Any, lineage: Lineage, authority: trustme.CA, caplog: pytest.LogCaptureFixture
) -> None:
    """However long certbot takes from one step to the next: a link is missing, or certificate and key do not match."""
    operator, trust = Operator(tools), trusting(authority)

    async def main() -> None:
        operator.write(table(lineage.tls))
        async with (
            operator.serve(Greeter) as server,
            tools.connect(server, ssl=trust, server_hostname="localhost") as connection,
        ):
            refusals: dict[str, str] = {}
            *_, last = steps = ["", *lineage.renew(authority.issue_cert("localhost", "first.example"))]
            assert len(steps) == 13
            assert last == "the link fullchain is made"
            look(server)
            assert await shown(tools, server, trust, "localhost") == ["localhost", "first.example"]
            caplog.clear()
            for step in lineage.renew(authority.issue_cert("localhost", "new.example")):
                if by == "looks":
                    look(server)
                else:
                    try:
                        await operator.reload()
                    except ReloadFailed as exc:
                        refusals[step] = exc.message
                name = "new.example" if step == last else "first.example"
                assert await shown(tools, server, trust, "localhost") == ["localhost", name], step
                assert (await tools.call(connection, "greeter.greet", ["Ada"]))["result"] == "Hello, Ada!"
            if by == "reloads":
                assert list(refusals) == [
                    "the link privkey is removed", "the link privkey is made", "the link chain is removed",
                    "the link chain is made", "the link fullchain is removed",
                ]  # fmt: skip
                assert all(text.startswith("nothing has changed: ") for text in refusals.values())
                assert "tls.key_file" in refusals["the link privkey is removed"]
            else:
                assert caplog.text.count(RELOADED) == 1
                assert caplog.text.count(REFUSED) == 3, (
                    "once for each: no key, a key that does not match, no certificate"
                )

    with caplog.at_level("INFO", "rpcserver"):
        tools.run(main())


def test_the_hook_of_the_documents(
    tools: Any,
    lineage: Lineage,
    authority: trustme.CA,
    tmp_path: Path,
    short_folder: Path,
    missing: Callable[[str], NoReturn],
) -> None:
    """It gives copies to the server, which may not enter certbot's folders, and has it take them at once."""
    if os.geteuid() != 0:
        missing("only root may install files of root and another group, as certbot's hooks do")
    copies, commands, sock = tmp_path / "etc", tmp_path / "bin", short_folder / "s"
    for folder in (copies, commands):
        folder.mkdir()
    (commands / "rpcserver").write_text(
        f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m rpcserver "$@" --unix {shlex.quote(str(sock))}\n'
    )
    (commands / "rpcserver").chmod(0o755)
    text = OPERATIONS.read_text(encoding="utf-8")
    section = text[text.index("## TLS with ACME") :]
    match = re.search(r"```sh\n(#!/bin/sh\n.*?)```", section, re.DOTALL)
    assert match is not None
    script = match[1]
    for original, here in (
        ("/etc/letsencrypt/live/box.example", str(lineage.live)),
        ("/etc/rpcserver/", f"{copies}/"),
        ("-g rpcserver", "-g daemon"),
    ):
        assert original in script
        script = script.replace(original, here)
    hook = tmp_path / "hook"
    hook.write_text(script)
    hook.chmod(0o755)
    environment = {**os.environ, "PATH": f"{commands}:{os.environ['PATH']}"}
    operator, trust = Operator(tools), trusting(authority)
    operator.listen = f'[listen]\nport = 0\nunix = "{sock}"\n'

    async def run(*command: str, renewed: Path = lineage.live) -> tuple[int, str]:
        process = await asyncio.create_subprocess_exec(
            *command, env={**environment, "RENEWED_LINEAGE": str(renewed)}, cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        output, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, output.decode()

    async def main() -> None:
        # At first there is no server, and the hook ends with a failure; the files are there.
        assert (await run(str(hook)))[0] != 0
        tls = {"certificate_file": str(copies / "server.pem"), "key_file": str(copies / "server.key")}
        operator.write(table(tls))
        async with operator.serve(Greeter) as server:
            assert await shown(tools, server, trust, "localhost") == ["localhost", "old.example"]
            list(lineage.renew(authority.issue_cert("localhost", "new.example")))
            assert await run(str(hook), renewed=lineage.live.parent / "other") == (0, "")
            look(server)
            assert await shown(tools, server, trust, "localhost") == ["localhost", "old.example"]
            # The first of the two copies alone: they do not match.
            first = next(line for line in script.splitlines() if line.startswith("install"))
            assert await run("sh", "-c", first) == (0, "")
            look(server)
            assert await shown(tools, server, trust, "localhost") == ["localhost", "old.example"]
            status, output = await run(str(hook))
            assert status == 0, output
            assert await shown(tools, server, trust, "localhost") == ["localhost", "new.example"]
            assert (copies / "server.key").stat().st_mode & 0o777 == 0o640

    tools.run(main())
