"""Reloads: all or nothing, while connections stay and calls go on."""

from __future__ import annotations

import asyncio
import json
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme
from pydantic import SecretStr
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from rpcserver.config import ServerConfig
from rpcserver.reload.changes import find_changes, find_service_changes, keep_old
from rpcserver.reload.keys import RULES, Effect, list_keys
from rpcserver.reload.report import ReloadFailed, ReloadReport, lay_out
from rpcserver.security.token_file import TokenFile
from rpcwire.dispatch import Dispatch
from rpcwire.errors import Unavailable
from tests.server.reloading import Greeter, GreeterConfig, Operator, Stiff, Streams

VIEWER = '[roles.viewer]\nprincipals = ["memory"]\npermissions = ["greeter.*", "streams.*"]\n'


@pytest.fixture
def operator(tools: Any) -> Operator:
    return Operator(tools)


def effects(report: ReloadReport) -> dict[str, str]:
    return {change.key: change.effect for change in report.changes}


# --- which keys -----------------------------------------------------------------------------------------------------


def test_each_setting_has_one_rule() -> None:
    """Whoever adds a setting must say what a reload does with it."""
    assert sorted(RULES) == sorted(list_keys())


def test_each_reason_is_told_and_only_where_it_is_needed() -> None:
    for path, rule in RULES.items():
        assert bool(rule.reason) == (rule.effect is not Effect.AT_ONCE), path


@pytest.mark.parametrize("path", sorted(RULES), ids=".".join)
def test_what_needs_a_restart_stays_and_all_else_is_new(path: tuple[str, ...]) -> None:
    old = ServerConfig()
    table = old if len(path) == 1 else getattr(old, path[0])
    other = object()
    changed = table.model_copy(update={path[-1]: other})
    new = changed if len(path) == 1 else old.model_copy(update={path[0]: changed})
    if path == ("tls", "certificate_file"):
        return  # This turns TLS on: see below.
    kept = keep_old(old, new)
    value = getattr(kept if len(path) == 1 else getattr(kept, path[0]), path[-1])
    assert (value is other) == (RULES[path].effect is not Effect.RESTART)


def test_tls_is_turned_on_by_a_restart_only() -> None:
    old = ServerConfig()
    new = ServerConfig.model_validate({"tls": {"certificate_file": "a", "key_file": "b", "minimum_version": "1.3"}})
    changes = find_changes(old, new)
    assert {change.key for change in changes} == {"tls.certificate_file", "tls.key_file", "tls.minimum_version"}
    assert all(change.rule.effect is Effect.RESTART and "turned on" in change.rule.reason for change in changes)
    assert keep_old(old, new).tls == old.tls


def test_no_secret_is_told() -> None:
    def config(secret: str) -> ServerConfig:
        return ServerConfig.model_validate(
            {
                "tls": {"key_password": secret, "names": {"a.example": {"key_password": secret}}},
                "auth": {"ways": {"basic": {"password": secret}}},
                "roles": {"a": {"permissions": [secret[:3]], "greeter": {"password": [secret]}}},
            }
        )

    changes = find_changes(config("old-secret"), config("new-secret"))
    assert {change.key for change in changes} == {
        "tls.key_password", "tls.names.a.example.key_password", "auth.ways.basic", "roles.a.permissions",
        "roles.a.greeter",
    }  # fmt: skip
    assert "secret" not in "".join(f"{c.old}{c.new}" for c in changes).replace("(a secret)", "")


def test_secrets_of_services_are_compared_and_not_told() -> None:
    class Config(GreeterConfig):
        password: SecretStr

    old, new = Config(password=SecretStr("old")), Config(password=SecretStr("new"))
    (change,) = find_service_changes("greeter", old, new, {})
    assert (change.key, change.old, change.new) == ("services.greeter.password", "(a secret)", "(a secret)")


# --- all or nothing ---------------------------------------------------------------------------------------------------


def test_what_has_changed_is_told(tools: Any, operator: Operator) -> None:
    async def main() -> None:
        operator.write()
        async with operator.serve(Greeter, Stiff) as server, tools.connect(server) as connection:
            assert [*lay_out(await operator.reload())] == [
                "no setting has changed; tokens, certificates and other files were read again"
            ]
            report = await operator.reload(
                "[limits]\nstreams = 7\nmessage_bytes = 20000\n[plugins]\ndisabled = []\n[audit]\nenabled = true\n"
                '[services.greeter]\ngreeting = "Hi"\nlanguage = "de"\n[services.stiff]\nsize = 2\n'
                '[roles.viewer]\npermissions = ["greeter.*"]\n'
            )
            assert effects(report) == {
                "limits.streams": "at once", "limits.message_bytes": "new connections", "audit.enabled": "restart",
                "roles.viewer": "at once", "services.greeter.greeting": "at once",
                "services.greeter.language": "restart", "services.stiff.size": "restart",
            }  # fmt: skip
            lines = [*lay_out(report)]
            assert "limits.streams: 256 -> 7" in lines
            assert 'services.greeter.greeting: "Hello" -> "Hi"' in lines
            assert any(line.endswith("the service takes its settings only at its start") for line in lines)
            assert (await tools.call(connection, "greeter.greet", ["Ada"]))["result"] == "Hi, Ada!"
            assert (await tools.call(connection, "stiff.size"))["result"] == 1
            assert server.services[0].config == GreeterConfig(greeting="Hi")
            assert {role.name for role in server.services[0].runtime.roles} == {"viewer", "owner"}
            # What needs a restart is told each time, and what was applied is not.
            assert effects(await operator.reload()) == {
                "audit.enabled": "restart", "services.greeter.language": "restart", "services.stiff.size": "restart"
            }  # fmt: skip

    tools.run(main())


def test_what_needs_a_restart_is_named_with_its_reason_and_goes_on(tools: Any, operator: Operator) -> None:
    async def main() -> None:
        operator.write()
        async with operator.serve(Greeter) as server:
            dispatch = server.dispatch
            report = await operator.reload(
                '[metrics]\nenabled = false\n[opentelemetry]\nenabled = true\n[log]\nform = "json"\n'
                '[plugins]\ndisabled = ["greeter"]\n[audit]\nenabled = true\nhead_file = "/nowhere/head"\n'
            )
            assert {change.effect for change in report.changes} == {"restart"}
            reasons = {change.key: change.reason for change in report.changes}
            assert "pages are made at the start" in reasons["metrics.enabled"]
            assert "SDK is set up" in reasons["opentelemetry.enabled"]
            assert "at the start" in reasons["log.form"]
            assert "clients know their methods" in reasons["plugins.disabled"]
            assert "so that nothing is missing" in reasons["audit.enabled"]
            assert "at the start" in reasons["audit.head_file"]
            assert len(reasons) == 6
            headers = f"Host: localhost\r\nAuthorization: Bearer {tools.TOKEN}\r\n"
            status, _, body = await tools.http(server, f"GET /metrics HTTP/1.1\r\n{headers}\r\n")
            assert status == 200
            async with tools.connect(server) as connection:
                assert "result" in await tools.call(connection, "greeter.greet", ["a"])
            _, _, later = await tools.http(server, f"GET /metrics HTTP/1.1\r\n{headers}\r\n")
            counted = b'rpcserver_calls_total{method="greeter.greet"'
            assert counted in later
            assert counted not in body
            assert server.dispatch is dispatch
            assert type(dispatch) is Dispatch
            assert server.trail is None
            assert server.config.metrics.enabled
            assert not server.config.audit.enabled

    tools.run(main())


FAULTS = {
    "no TOML": ("[limits\n", "rpcserver.toml: not TOML"),
    "a wrong key": ("stream = 3\n", "rpcserver.toml:10: limits.stream: there is no such key: did you mean streams?"),
    "a wrong value": ("threads = -3\n", "rpcserver.toml:10: limits.threads:"),
    "a service's wrong key": ("[services.greeter]\ngreting = 1\n", "rpcserver.toml:11: services.greeter.greting:"),
    "a service refuses": ('[services.greeter]\ngreeting = "rude"\n', "toml:11: services.greeter.greeting: greet polit"),
    "a service fails": ('[services.greeter]\ngreeting = "broken"\n', "services.greeter: the service cannot prepare"),
    "a wrong permission": ('[roles.a]\npermissions = ["greeter.gret"]\n', "toml:11: roles.a.permissions.0: there is no"),
    "two roles": ('[roles.a]\nprincipals = ["x"]\n[roles.b]\nprincipals = ["x"]\n', "toml:13: roles.b.principals"),
    "a wrong certificate": ('[tls]\ncertificate_file = "/nowhere"\nkey_file = "/nowhere"\n', "tls.certificate_file"),
    "a wrong role": ('[auth.unix]\nusers = { daemon = "none" }\n', "auth.unix.users"),
    "nobody to connect": ('[auth.certificates.a]\ncommon_name = "a"\n', "auth.certificates: set tls.client_ca_file"),
    "a wrong proxy": ("[listen.x]\n", "listen.x"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_changes_nothing(fault: str, tools: Any, operator: Operator) -> None:
    text, place = FAULTS[fault]

    async def main() -> None:
        operator.write()
        async with operator.serve(Greeter) as server, tools.connect(server) as connection:
            config = server.config
            with pytest.raises(ReloadFailed) as caught:
                await operator.reload(f"[limits]\nstreams = 3\n{text}")
            assert place in caught.value.message
            assert caught.value.message.startswith("nothing has changed: ")
            assert operator.reloads.fault
            greeter = server.services[0]
            assert isinstance(greeter, Greeter)
            assert server.config is config
            assert greeter.config == GreeterConfig()
            assert (await tools.call(connection, "rpc.hello"))["result"]["limits"]["streams"] == 256
            assert greeter.commits == 0
            await operator.reload("[limits]\nstreams = 3\n")  # The next one is like the first.
            assert not operator.reloads.fault
            assert greeter.commits == 1
            assert (await tools.call(connection, "rpc.hello"))["result"]["limits"]["streams"] == 3

    tools.run(main())


class Late(Greeter):
    """Is asked after the greeter, and has a fault when its turn comes."""

    name = "late"


def test_what_was_prepared_is_given_back(tools: Any, operator: Operator) -> None:
    async def main() -> None:
        operator.write()
        async with operator.serve(Greeter, Late) as server:
            with pytest.raises(ReloadFailed, match=r"services\.late\.greeting"):
                await operator.reload('[services.greeter]\ngreeting = "Hi"\n[services.late]\ngreeting = "rude"\n')
            first = server.services[0]
            assert isinstance(first, Greeter)
            assert (first.abandons, first.commits) == (1, 0)
            assert first.config == GreeterConfig()

    tools.run(main())


def test_a_token_file_with_a_fault_changes_nothing(tools: Any, operator: Operator) -> None:
    async def main() -> None:
        operator.write()
        async with operator.serve(Greeter) as server:
            (tools.folder / "tokens.json").write_text("{")
            (tools.folder / "tokens.json").chmod(0o600)
            assert (tools.folder / "tokens.json") == TokenFile(tools.folder).path
            with pytest.raises(ReloadFailed, match=r"tokens\.json"):
                await operator.reload("[limits]\nstreams = 3\n")
            assert server.config.limits.streams == 256
            operator.token_file.unlink()
            (tools.folder / "tokens.json").unlink()
            with pytest.raises(ReloadFailed, match="the token cannot be read"):
                await operator.reload()  # At the start it would be made; here everybody would lose it.
            assert not operator.token_file.exists()

    tools.run(main())


# --- limits -------------------------------------------------------------------------------------------------------------


def test_limits_hold_at_once_for_open_connections(tools: Any, operator: Operator) -> None:
    async def main() -> None:
        operator.write("[limits]\ncalls_in_flight = 2\n")
        async with operator.serve(Streams, Greeter) as server, tools.connect(server) as connection:
            for call_id in (11, 12):
                await connection.send(tools.request("streams.wait", None, call_id))
            assert (await tools.call(connection, "greeter.greet", ["a"]))["error"]["data"]["type"] == "Busy"
            await operator.reload("[limits]\ncalls_in_flight = 4\n")
            assert (await tools.call(connection, "greeter.greet", ["a"]))["result"] == "Hello, a!"
            await operator.reload("[limits]\ncalls_in_flight = 1\n")
            answer = await tools.call(connection, "greeter.greet", ["a"])
            assert "2 calls are in flight on this connection (limits.calls_in_flight)" in answer["error"]["message"]
            await operator.reload("[limits]\ncalls_in_flight = 9\ncalls_per_s = 1\n")
            answers = [await tools.call(connection, "greeter.greet", ["a"]) for _ in range(2)]
            assert "limits.calls_per_s" in answers[-1]["error"]["message"]
            await operator.reload("[limits]\nmemory_per_connection_bytes = 100000000\nthreads = 3\n")
            peer = next(iter(server.connections.values()))
            assert peer.session.account is not None
            assert peer.session.account.limit_bytes == 50_000_000
            assert (await tools.call(connection, "greeter.greet", ["a"]))["result"] == "Hello, a!"

    tools.run(main())


def test_streams_of_open_connections(tools: Any, operator: Operator) -> None:
    async def main() -> None:
        operator.write("[limits]\nstreams = 1\n")
        async with operator.serve(Streams) as server, tools.connect(server) as connection:
            assert "result" in await tools.call(connection, "streams.count", None, 2)
            assert (await tools.call(connection, "streams.count", None, 3))["error"]["data"]["type"] == "Busy"
            await operator.reload("[limits]\nstreams = 2\n")
            assert "result" in await tools.call(connection, "streams.count", None, 4)
            assert (await tools.call(connection, "streams.count", None, 5))["error"]["data"]["type"] == "Busy"

    tools.run(main())


def test_what_was_agreed_upon_stays_for_open_connections(tools: Any, operator: Operator) -> None:
    async def main() -> None:
        operator.write()
        async with operator.serve(Greeter) as server, tools.connect(server) as connection:
            before = (await tools.call(connection, "rpc.hello"))["result"]
            await operator.reload(
                "[limits]\nmessage_bytes = 30000\nmessage_nodes = 2000\nbatch_items = 7\n[keepalive]\nping_interval_s = 3\n"
            )
            assert (await tools.call(connection, "rpc.hello"))["result"] == before
            assert len((await tools.call(connection, "greeter.greet", ["x" * 60_000]))["result"]) > 60_000
            async with tools.connect(server) as another:
                after = (await tools.call(another, "rpc.hello"))["result"]
                assert after["limits"] == {**before["limits"], "message_bytes": 30_000, "message_nodes": 2000,
                                           "batch_items": 7}  # fmt: skip
                assert after["ping_interval_s"] == 3

    tools.run(main())


# --- who may do what --------------------------------------------------------------------------------------------------


def test_a_lost_right_ends_running_streams_within_a_second(tools: Any, operator: Operator) -> None:
    async def main() -> None:
        operator.write(VIEWER)
        token = [""]

        def create(tokens: Any) -> Any:
            new, token[0] = tokens.create("ada", "viewer", 1.0)
            return new

        TokenFile(tools.folder).update(create)
        async with (
            operator.serve(Greeter, Streams) as server,
            tools.connect(server, token=token[0]) as connection,
            tools.connect(server) as of_owner,
        ):
            assert "result" in await tools.call(connection, "streams.count", None, 2)
            await operator.reload(VIEWER.replace('"streams.*"', '"streams.wait"'))
            error = None
            async with asyncio.timeout(tools.SECONDS):
                try:
                    while True:
                        for line in str(await connection.recv(decode=True)).splitlines():
                            message = json.loads(line)
                            if message.get("method") == "rpc.stream.end":
                                error = message["params"]["error"]["data"]["type"]
                except ConnectionClosed as exc:
                    assert exc.rcvd is not None
                    assert exc.rcvd.reason == "the role of ada has changed: connect again"
            assert error == "PermissionDenied"
            async with tools.connect(server, token=token[0]) as again:
                answer = await tools.call(again, "streams.count")
                assert answer["error"]["data"]["type"] == "PermissionDenied"
                # More rights, or other limits, hold at once, and the connection goes on.
                await operator.reload(VIEWER + "limits = { calls_in_flight = 1 }\n")
                assert "result" in await tools.call(again, "streams.count", None, 2)
                await again.send(tools.request("streams.wait", None, 3))
                answer = await tools.call(again, "greeter.greet", ["a"])
                assert "roles.viewer.limits.calls_in_flight" in answer["error"]["message"]
                await operator.reload("")  # The role is gone.
                with pytest.raises(ConnectionClosed):
                    async with asyncio.timeout(tools.SECONDS):
                        while True:
                            await again.recv()
            assert (await tools.call(of_owner, "greeter.greet", ["a"]))["result"] == "Hello, a!"

    tools.run(main())


def test_another_token_of_the_owner(tools: Any, operator: Operator) -> None:
    async def main() -> None:
        operator.write()
        async with operator.serve(Greeter) as server, tools.connect(server) as connection:
            await operator.reload()
            assert "result" in await tools.call(connection, "greeter.greet", ["a"])
            operator.write_token("another-token-of-the-owner")
            await operator.reload()
            with pytest.raises(ConnectionClosed) as closed:
                await asyncio.wait_for(connection.recv(), tools.SECONDS)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.reason == "the owner's token has changed"
            with pytest.raises(InvalidStatus):
                async with tools.connect(server):
                    pass
            async with tools.connect(server, token="another-token-of-the-owner") as again:
                assert "result" in await tools.call(again, "greeter.greet", ["a"])

    tools.run(main())


# --- TLS ------------------------------------------------------------------------------------------------------------------


class Certificates:
    """Certificates for this machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._authority = trustme.CA()
        self.trust = ssl.create_default_context()
        self._authority.configure_trust(self.trust)

    def issue(self, name: str) -> str:
        """Issue one. Returns the table for it."""
        certificate = self._authority.issue_cert("127.0.0.1", f"{name}.example")
        chain, key = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        chain.write_bytes(b"".join(part.bytes() for part in certificate.cert_chain_pems))
        key.write_bytes(certificate.private_key_pem.bytes())
        key.chmod(0o600)
        return f'[tls]\ncertificate_file = "{chain}"\nkey_file = "{key}"\n'


async def names_shown(server: Any, trust: ssl.SSLContext) -> set[str]:
    headers = {"Authorization": "Bearer a-token-for-the-tests"}
    async with connect(server.addresses[0], ssl=trust, additional_headers=headers, proxy=None) as connection:
        certificate = connection.transport.get_extra_info("ssl_object").getpeercert()
    return {value for kind, value in certificate["subjectAltName"] if kind == "DNS"}


def test_new_certificates_are_tried_first(tools: Any, operator: Operator, tmp_path: Path) -> None:
    async def main() -> None:
        certificates = Certificates(tmp_path)
        first, second = certificates.issue("first"), certificates.issue("second")
        operator.write(first)
        async with operator.serve(Greeter) as server:
            url, headers = server.addresses[0], {"Authorization": f"Bearer {tools.TOKEN}"}
            async with connect(url, ssl=certificates.trust, additional_headers=headers, proxy=None) as connection:
                for wrong in (second.replace("second.key", "first.key"), second.replace("second.key", "third.key")):
                    with pytest.raises(ReloadFailed, match="tls"):
                        await operator.reload(wrong)
                    assert await names_shown(server, certificates.trust) == {"first.example"}
                await operator.reload(second)
                assert await names_shown(server, certificates.trust) == {"second.example"}
                assert "result" in await tools.call(connection, "greeter.greet", ["a"])
                certificates.issue("second")  # The same files, renewed: a reload takes them without a change of keys.
                context = server.door._certificate_files
                assert context is not None
                before = context.context
                assert await operator.reload() is not None
                assert context.context is not before
                assert effects(await operator.reload("")) == {
                    "tls.certificate_file": "restart", "tls.key_file": "restart"
                }  # fmt: skip
                assert await names_shown(server, certificates.trust) == {"second.example"}

    tools.run(main())


# --- one after the other --------------------------------------------------------------------------------------------------


def test_reloads_during_a_reload_become_one(tools: Any, operator: Operator) -> None:
    async def main() -> None:
        operator.write()
        async with operator.serve(Greeter) as server:
            operator.reads = 0
            first = asyncio.ensure_future(operator.reload("[limits]\nstreams = 3\n"))
            await tools.until(lambda: operator.reads == 1)
            operator.write("[limits]\nstreams = 4\n")
            others = [asyncio.ensure_future(operator.reload()) for _ in range(20)]
            for _ in range(20):
                operator.reloads.ask()
            others[7].cancel()  # Whoever gives up waiting stops nobody else's.
            await first
            reports = await asyncio.gather(*others[:7], *others[8:])
            assert all(report is reports[0] for report in reports)
            assert operator.reads == 2
            assert server.config.limits.streams == 4

    tools.run(main())


class Stuck(Greeter):
    """Never gets ready for new settings."""

    name = "stuck"

    async def prepare_reload(self, config: Any, roles: Any) -> Any:
        self.greet_is_asked = True
        await asyncio.Event().wait()


def test_a_stop_ends_a_reload(tools: Any, operator: Operator) -> None:
    async def main() -> None:
        operator.write()
        async with operator.serve(Greeter, Stuck) as server:
            reload = asyncio.ensure_future(operator.reload("[limits]\nstreams = 3\n"))
            stuck = server.services[1]
            await tools.until(lambda: hasattr(stuck, "greet_is_asked"))
            waiting = asyncio.ensure_future(operator.reload())
            await asyncio.sleep(0)
            await operator.reloads.close()
            for each in (reload, waiting):
                with pytest.raises(Unavailable):
                    await each
            first = server.services[0]
            assert isinstance(first, Greeter)
            assert (first.abandons, server.config.limits.streams) == (1, 256)
            with pytest.raises(Unavailable):
                await operator.reload()

    tools.run(main())


def test_who_may_reload(tools: Any, operator: Operator) -> None:
    async def main() -> None:
        operator.write('[roles.all]\nprincipals = ["*"]\npermissions = ["greeter.*"]\n')
        token = [""]

        def create(tokens: Any) -> Any:
            new, token[0] = tokens.create("ada", "all", 1.0)
            return new

        TokenFile(tools.folder).update(create)
        async with operator.serve(Greeter) as server:
            async with tools.connect(server, token=token[0]) as connection:
                answer = await tools.call(connection, "rpc.reload")
                assert answer["error"]["data"]["type"] == "PermissionDenied"
            async with tools.connect(server) as connection:
                assert (await tools.call(connection, "rpc.reload"))["result"]["changes"] == []
                operator.write("[limits]\nthreads = 0\n")
                answer = await tools.call(connection, "rpc.reload")
                assert answer["error"]["data"]["type"] == "ReloadFailed"
                assert "limits.threads" in answer["error"]["message"]
                server.set_reloader(None)
                assert (await tools.call(connection, "rpc.reload"))["error"]["data"]["type"] == "Unavailable"

    tools.run(main())


def test_new_secrets_are_hidden_in_the_log(tools: Any, operator: Operator) -> None:
    async def main() -> None:
        operator.write()
        async with operator.serve(Greeter):
            operator.write_token("a-new-token-nobody-may-read")
            await operator.reload()
            assert "a-new-token-nobody-may-read" in operator.reloads._log._formatter.secrets

    tools.run(main())
