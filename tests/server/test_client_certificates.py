"""Clients who are known by their certificates."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import socket
import ssl
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import trustme
from cryptography import x509
from websockets.exceptions import ConnectionClosed, InvalidMessage

import rpcserver.door.link as link_module
import rpcserver.security.certificates as certificates_module
from rpcserver import Page, Service, method
from rpcserver.config import CertificateConfig, ConfigError, TlsConfig
from rpcserver.door.certificate_files import CertificateFiles
from rpcserver.door.tls import tls_context
from rpcserver.security.certificates import Certificates, parse_san, parse_subject
from rpcserver.security.revocation import revoked_serials
from rpcwire.context import Principal
from tests.server.issuing import Issuer

FAR = {"notAfter": "Jan  1 00:00:00 2099 GMT"}
ADA = {
    "subject": ((("countryName", "GB"),), (("organizationName", "Lovelace, Ltd."),), (("commonName", "ada"), ("userId", "7"))),
    "subjectAltName": (("DNS", "ADA.example"), ("email", "ada@Example.org"), ("URI", "spiffe://example/ada")),
    **FAR,
}  # fmt: skip


def who(tables: dict[str, dict[str, str]], certificate: dict[str, Any] = ADA) -> Principal:
    sections = {name: CertificateConfig(**table) for name, table in tables.items()}
    return Certificates(sections).principal(certificate, b"der")


# --- the tables ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "table",
    [
        {"subject": r"CN=ada+UID=7,O=Lovelace\, Ltd.,C=GB"},
        {"subject": r"uid=7 + cn = ada , O=Lovelace\2C Ltd. , c=GB "},
        {"subject": r"0.9.2342.19200300.100.1.1=7+CN=ada,O=Lovelace\, Ltd.,C=GB"},
        {"common_name": "ada"},
        {"san": "dns:ada.example"},
        {"san": "DNS:Ada.Example."},
        {"san": "email:ada@example.org"},
        {"san": "uri:spiffe://example/ada"},
        {"san": "dns:ada.example", "common_name": "ada"},
    ],
    ids=range(9),
)
def test_tables_that_fit(table: dict[str, str]) -> None:
    certificate = ADA
    if "0.9.2342" in table.get("subject", ""):  # An attribute that OpenSSL does not know has its number.
        certificate = {
            **ADA,
            "subject": (*ADA["subject"][:2], (("commonName", "ada"), ("0.9.2342.19200300.100.1.1", "7"))),
        }
    assert who({"eve": {"common_name": "eve"}, "ada": {**table, "role": "r"}}, certificate) == Principal(
        "ada", "certificate", role="r", credential=hashlib.sha256(b"der").hexdigest()
    )


@pytest.mark.parametrize(
    "table",
    [
        {"subject": "CN=ada"},
        {"subject": r"C=GB,O=Lovelace\, Ltd.,CN=ada+UID=7"},
        {"subject": r"CN=Ada+UID=7,O=Lovelace\, Ltd.,C=GB"},
        {"common_name": "ADA"},
        {"common_name": "ad"},
        {"san": "dns:example"},
        {"san": "dns:x.ada.example"},
        {"san": "email:Ada@example.org"},
        {"san": "email:ada.example"},
        {"san": "uri:spiffe://example/Ada"},
        {"san": "uri:spiffe://example/*"},
        {"san": "dns:ada.example", "common_name": "eve"},
    ],
    ids=range(12),
)
def test_tables_that_do_not_fit(table: dict[str, str]) -> None:
    with pytest.raises(LookupError, match="no table"):
        who({"ada": table})


def test_certificates_that_identify_nobody() -> None:
    with pytest.raises(LookupError, match=r"several tables .*: a, b"):
        who({"a": {"common_name": "ada"}, "b": {"san": "dns:ada.example"}})
    with pytest.raises(LookupError, match="expired"):
        who({"a": {"common_name": "ada"}}, {**ADA, "notAfter": "Jan  1 00:00:00 2020 GMT"})
    # Neither of two names is the one name.
    two = {**FAR, "subject": ((("commonName", "ada"),), (("commonName", "eve"),))}
    with pytest.raises(LookupError):
        who({"a": {"common_name": "ada"}}, two)
    # Wildcards and zero bytes of a certificate are characters as others.
    for name in ("*.example", "ada.example\0.evil.example"):
        with pytest.raises(LookupError):
            who({"a": {"san": "dns:ada.example"}}, {**FAR, "subject": (), "subjectAltName": (("DNS", name),)})


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({}, "ada: set one of subject, common_name, san"),
        ({"subject": "ada"}, "ada.subject: write ATTRIBUTE=VALUE"),
        ({"subject": "CN=a;b"}, "ada.subject: write a backslash before ';'"),
        ({"subject": "CN=a,"}, "ada.subject: write ATTRIBUTE=VALUE"),
        ({"subject": "CN=#0403"}, "ada.subject: values in hexadecimal digits"),
        ({"subject": r"CN=\ff"}, "ada.subject: 'utf-8' codec"),
        ({"san": "ada.example"}, 'ada.san: write "dns:NAME"'),
        ({"san": "ip:10.0.0.1"}, 'ada.san: write "dns:NAME"'),
        ({"san": "dns:"}, 'ada.san: write "dns:NAME"'),
        ({"san": "dns:*.example"}, "ada.san: there are no wildcards"),
    ],
    ids=range(10),
)
def test_tables_that_are_wrong(table: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        who({"ada": table})
    assert f"auth.certificates.{said}" in str(caught.value)


@pytest.mark.parametrize("name", ["owner", "memory"])
def test_nobody_is_called_like_the_owner(name: str) -> None:
    """Programs, and other things, belong to somebody by name."""
    with pytest.raises(ConfigError, match=rf"auth\.certificates\.{name}: the server gives this name itself"):
        who({name: {"common_name": "ada"}})


def test_tables_that_say_the_same() -> None:
    with pytest.raises(ConfigError, match="eve: ada describes the same"):
        who({"ada": {"subject": "cn=ada , o=x"}, "eve": {"subject": "CN=ada,O=x"}})


def test_subjects_as_they_are_written() -> None:
    """What cryptography writes (RFC 4514), this reads."""
    for value in ("ada", " a b ", "#a", 'a"b+c,d;e<f>g\\h=i', "a\\", "ünï", "\N{GREEK SMALL LETTER ALPHA}  "):
        name = x509.Name([
            x509.NameAttribute(x509.NameOID.COUNTRY_NAME, "GB"),
            x509.NameAttribute(x509.NameOID.COMMON_NAME, value),
        ])  # fmt: skip
        assert parse_subject(name.rfc4514_string()) == (
            frozenset({("commonname", value)}), frozenset({("countryname", "GB")}),
        )  # fmt: skip
    assert parse_san("email:a@b@EXAMPLE") == ("email", "a@b@example")


# --- with a server --------------------------------------------------------------------------------------------------------


@pytest.fixture
def issuer(tmp_path: Path, authority: trustme.CA) -> Issuer:
    return Issuer(tmp_path, authority)


@pytest.fixture
def sections(tls: dict[str, str], issuer: Issuer) -> dict[str, Any]:
    """The settings of a server to which some certificates are known."""
    certificates = {
        "backup": {"san": "dns:backup.example", "role": "reader"},
        "ada": {"common_name": "ada"},
    }
    return {
        "tls": {**tls, "client_ca_file": str(issuer.ca_file)},
        "auth": {"certificates": certificates},
        "roles": {
            "reader": {"permissions": ["calc.add"]},
            "people": {"principals": ["ada"], "permissions": ["calc.*"]},
        },
    }


async def hello(tools: Any, connection: Any) -> Any:
    return (await tools.call(connection, "rpc.hello"))["result"]["principal"]


def test_who_is_known_by_a_certificate(
    tools: Any, issuer: Issuer, sections: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    backup, ada = issuer.issue("backup.example"), issuer.issue("x.example", common_name="ada")
    stranger = issuer.issue("stranger.example")

    async def main() -> None:
        async with tools.serve(**sections) as server:
            async with tools.connect(server, ssl=issuer.trusting(backup), token=None) as connection:
                assert await hello(tools, connection) == {"name": "backup", "method": "certificate", "role": "reader"}
                assert (await tools.call(connection, "calc.add", [1, 2]))["result"] == 3
                assert (await tools.call(connection, "calc.echo", ["x"]))["error"]["code"] == -32002
                (link,) = server.door.entrance.links
                der = ssl.PEM_cert_to_DER_cert(backup.cert_chain_pems[0].bytes().decode())
                assert link.principal.credential == hashlib.sha256(der).hexdigest()
                # Whoever is known stays so.
                error = (await tools.call(connection, "rpc.authenticate", [tools.TOKEN]))["error"]
                assert "belongs to backup already" in error["message"]
                assert (await hello(tools, connection))["name"] == "backup"
            async with tools.connect(server, ssl=issuer.trusting(ada), token=None) as connection:
                assert await hello(tools, connection) == {"name": "ada", "method": "certificate", "role": "people"}
            # The token goes before the certificate, and a wrong one is refused.
            async with tools.connect(server, ssl=issuer.trusting(backup)) as connection:
                assert await hello(tools, connection) == {"name": "owner", "method": "token", "role": "owner"}
            with pytest.raises(Exception, match="401"):
                async with tools.connect(server, ssl=issuer.trusting(backup), token="wrong"):
                    pass
            # Whoever is not known needs the token.
            async with tools.connect(server, ssl=issuer.trusting(stranger), token=None) as connection:
                assert await hello(tools, connection) is None
                assert (await tools.call(connection, "calc.add", [1, 2]))["error"]["code"] == -32001
                assert "result" in await tools.call(connection, "rpc.authenticate", [tools.TOKEN])
                assert (await hello(tools, connection))["name"] == "owner"

    with caplog.at_level(logging.INFO, "rpcserver"):
        tools.run(main())
    assert "needs a token: its certificate is" in caplog.text
    assert "DNS:stranger.example, and no table of auth.certificates fits it" in caplog.text


def test_a_proxy_is_none_of_its_clients(tools: Any, issuer: Issuer, sections: dict[str, Any]) -> None:
    """A proxy that ends TLS, and shows a certificate of its own."""
    backup = issuer.trusting(issuer.issue("backup.example"))

    async def main() -> None:
        async with tools.serve(**sections) as server:
            for header in ("X-Forwarded-For", "Via"):
                headers = {header: "203.0.113.7"}
                async with tools.connect(server, ssl=backup, token=None, headers=headers) as connection:
                    assert await hello(tools, connection) is None
        sections["listen"] = {"trusted_proxies": ["127.0.0.1"]}
        async with tools.serve(**sections) as server, tools.connect(server, ssl=backup, token=None) as connection:
            assert await hello(tools, connection) is None
        # A proxy that passes TLS on, and names the client before it.
        sections["listen"]["proxy_protocol"] = ["tcp"]
        async with tools.serve(**sections) as server:
            sock = await asyncio.get_running_loop().run_in_executor(None, dial, tools.port(server))
            async with tools.connect(
                server, ssl=backup, token=None, sock=sock, server_hostname="127.0.0.1"
            ) as connection:
                assert (await hello(tools, connection))["name"] == "backup"
                (link,) = server.door.entrance.links
                assert link.remote.startswith("203.0.113.7:4711 via 127.0.0.1")

    tools.run(main())


class Figures(Service):
    """Figures on a page."""

    name = "figures"
    permissions: ClassVar = {"figures.read": "read them"}

    @method(permission="figures.read")
    async def read(self) -> int:
        """Read them by a call."""
        return 42

    def http_pages(self) -> dict[str, Page]:
        async def render() -> str:
            return "42"

        return {"/figures": Page(render, "text/plain", permission="figures.read")}


def test_pages_for_a_certificate(tools: Any, issuer: Issuer, sections: dict[str, Any]) -> None:
    sections["roles"]["reader"]["permissions"] = ["figures.read"]
    backup, ada, eve = (
        issuer.trusting(issuer.issue(name, common_name=common_name))
        for name, common_name in (("backup.example", "b"), ("x.example", "ada"), ("x.example", "eve"))
    )

    async def main() -> None:
        async with tools.serve(tools.Calc(), Figures(), **sections) as server:

            async def read(context: ssl.SSLContext, headers: str = "") -> int:
                raw = await tools.raw(server, ssl=context)
                await raw.send(f"GET /figures HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n".encode())
                return int((await raw.rest()).split()[1])

            assert await read(backup) == 200
            assert await read(ada) == 403
            assert await read(eve) == 401
            assert await read(ada, f"Authorization: Bearer {tools.TOKEN}\r\n") == 200
            # Wrong credentials are not made good by a certificate, and a proxy has none.
            assert await read(backup, "Authorization: Bearer wrong\r\n") == 401
            assert await read(backup, "Via: 1.1 proxy\r\n") == 401

    tools.run(main())


def dial(port: int) -> Any:
    sock = socket.create_connection(("127.0.0.1", port))
    sock.sendall(b"PROXY TCP4 203.0.113.7 203.0.113.1 4711 443\r\n")
    sock.setblocking(False)
    return sock


def test_a_certificate_expires(
    tools: Any,
    issuer: Issuer,
    sections: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    backup, days = issuer.trusting(issuer.issue("backup.example")), [0]
    monkeypatch.setattr(link_module, "LOOK_AT_CLOCK_S", 0.001)
    monkeypatch.setattr(certificates_module, "time", SimpleNamespace(time=lambda: time.time() + days[0] * 86400))

    async def main() -> None:
        async with tools.serve(**sections) as server:
            async with tools.connect(server, ssl=backup, token=None) as connection:
                assert (await hello(tools, connection))["name"] == "backup"
                days[0] = 365 * 2000
                with pytest.raises(ConnectionClosed, match="its certificate has expired"):
                    async with asyncio.timeout(tools.SECONDS):
                        await connection.recv()
            async with tools.connect(server, ssl=backup, token=None) as connection:
                assert await hello(tools, connection) is None

    with caplog.at_level(logging.INFO, "rpcserver"):
        tools.run(main())
    assert "and it has expired" in caplog.text


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_a_certificate_is_revoked(
    tools: Any,
    issuer: Issuer,
    sections: dict[str, Any],
    version: ssl.TLSVersion,
    caplog: pytest.LogCaptureFixture,
) -> None:
    backup, ada = issuer.issue("backup.example"), issuer.issue("x.example", common_name="ada")
    contexts = [issuer.trusting(leaf, version) for leaf in (backup, ada)]
    assert not revoked_serials(issuer.revoke())
    sections["tls"]["client_crl_file"] = str(issuer.crl_file)

    async def main() -> None:
        async with tools.serve(**sections) as server:
            async with (
                tools.connect(server, ssl=contexts[0], token=None) as first,
                tools.connect(server, ssl=contexts[1], token=None) as second,
            ):
                assert (await hello(tools, first))["name"] == "backup"
                assert len(revoked_serials(issuer.revoke(backup))) == 1
                look(server)
                with pytest.raises(ConnectionClosed, match="checked again"):
                    async with asyncio.timeout(tools.SECONDS):
                        await first.recv()
                assert (await hello(tools, second))["name"] == "ada"
            # Whoever was verified before, and asks for something only now.
            issuer.revoke()
            look(server)
            early = await tools.raw(server, ssl=contexts[0])
            await tools.until(lambda: any(arrival.is_known for arrival in server.door.entrance.waiting))
            issuer.revoke(backup)
            look(server)
            assert b"503" in await early.rest()
            with pytest.raises((OSError, InvalidMessage)):
                # The same context: a session that was kept must not be resumed.
                async with tools.connect(server, ssl=contexts[0], token=None) as again:
                    await hello(tools, again)
            async with tools.connect(server, ssl=contexts[1], token=None) as second:
                assert (await hello(tools, second))["name"] == "ada"
            await tools.until(lambda: "certificate revoked" in caplog.text)

    with caplog.at_level(logging.INFO, "rpcserver"):
        tools.run(main())


def test_what_a_revoked_certificate_has_begun_ends_at_once(
    tools: Any, issuer: Issuer, sections: dict[str, Any]
) -> None:
    """Even if the client takes nothing more from the connection, so that it cannot be closed in order."""
    ada = issuer.issue("x.example", common_name="ada")
    issuer.revoke()
    sections["tls"]["client_crl_file"] = str(issuer.crl_file)

    async def main() -> None:
        calc = tools.Calc()
        async with (
            tools.serve(calc, **sections) as server,
            tools.connect(server, ssl=issuer.trusting(ada), token=None) as connection,
        ):
            await connection.send(tools.request("calc.wait", None, 7))
            await tools.until(lambda: "started" in calc.log)
            (link,) = server.door.entrance.links
            link.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            connection.transport.pause_reading()
            while not link.transport.get_write_buffer_size():
                link.transport.write(bytes(65536))
            issuer.revoke(ada)
            look(server)
            await tools.until(lambda: "cancelled" in calc.log)
            assert server.door.entrance.links == {link}, "the socket is open still"

    tools.run(main())


def look(server: Any) -> None:
    """Have the server look at its files twice, as it does in two seconds."""
    for _ in range(2):
        server.door._certificate_files.look()


def test_lists_of_revoked_certificates(issuer: Issuer) -> None:
    leaves = [issuer.issue(f"x{number}.example") for number in range(3)]
    serials = {x509.load_pem_x509_certificate(leaf.cert_chain_pems[0].bytes()).serial_number for leaf in leaves}
    pem = issuer.revoke(*leaves)
    assert revoked_serials(pem + b"\n" + issuer.revoke()) == serials
    lines = pem.decode().splitlines()
    for cut in range(2, len(lines) - 1):
        with pytest.raises(ValueError, match=r"cut off|padding|malformed"):
            revoked_serials("\n".join([*lines[:cut], lines[-1]]).encode())


def test_a_revocation_counts_although_the_files_were_broken_at_first(
    issuer: Issuer, tls: dict[str, str], tmp_path: Path
) -> None:
    """The list came with a certificate that cannot be used: when that is mended, the list is new all the same."""
    leaf = issuer.issue("ada.example")
    issuer.revoke()
    config = TlsConfig(**tls, client_ca_file=str(issuer.ca_file), client_crl_file=str(issuer.crl_file))
    calls: list[frozenset[int] | None] = []
    files = CertificateFiles(config, calls.append)
    certificate = Path(tls["certificate_file"])
    good, before = certificate.read_bytes(), files.context
    issuer.revoke(leaf)
    certificate.write_bytes(b"broken")
    for _ in range(3):
        files.look()
    assert files.context is before and not calls
    certificate.write_bytes(good)
    for _ in range(3):
        files.look()
    assert files.context is not before
    assert calls == [revoked_serials(issuer.crl_file.read_bytes())]


def test_only_lists_may_stand_among_lists(issuer: Issuer, tls: dict[str, str]) -> None:
    """A certificate among them would become an authority, since OpenSSL takes either from either file."""
    issuer.revoke()
    crl = issuer.crl_file.read_bytes()
    config = TlsConfig(**tls, client_ca_file=str(issuer.ca_file), client_crl_file=str(issuer.crl_file))
    files = CertificateFiles(config, lambda _: None)
    before = files.context
    other = trustme.CA().cert_pem.bytes()
    for data in (other, crl + other):
        issuer.crl_file.write_bytes(data)
        with pytest.raises(ConfigError, match=r"tls\.client_crl_file: .*it has certificates in it"):
            tls_context(config)
        for _ in range(3):
            files.look()
        assert files.context is before, "the server goes on with what it has"
    issuer.crl_file.write_bytes(crl)
    issuer.ca_file.write_bytes(crl)
    with pytest.raises(ConfigError, match=r"tls\.client_ca_file: .*there is no certificate in it"):
        tls_context(config)


def test_settings_that_cannot_work(tools: Any, sections: dict[str, Any], issuer: Issuer, tls: dict[str, str]) -> None:
    async def main() -> None:
        sections["auth"]["certificates"]["ada"]["role"] = "queen"
        with pytest.raises(ConfigError, match=r"auth\.certificates\.ada\.role: there is no role 'queen'; there are: "):
            async with tools.serve(**sections):
                pass
        with pytest.raises(ValueError, match=r"set tls\.client_ca_file, too"):
            tools.config(**{**sections, "tls": tls})
        sections["auth"] = {}
        sections["tls"]["client_crl_file"] = str(issuer.ca_file.with_name("nowhere"))
        with pytest.raises(ConfigError, match=r"tls\.client_crl_file: .*nowhere"):
            async with tools.serve(**sections):
                pass

    tools.run(main())
