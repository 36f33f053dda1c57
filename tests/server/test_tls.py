"""TLS on the server's side: which versions and suites, which certificate for which name, and new files."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from rpcserver.config import ConfigError, TlsConfig
from rpcserver.door import certificate_files, link
from rpcserver.door.hellos import Hellos, UnwantedHello
from rpcserver.door.tls import tls_context

RELOADED, REFUSED = "new certificates are in use", "new certificates are not used"


def write(folder: Path, leaf: trustme.LeafCert, name: str = "own") -> dict[str, str]:
    """Write a certificate and its key, each in one step, in place of those before."""
    chain, key = folder / f"{name}.pem", folder / f"{name}.key"
    for file, data in (
        (chain, b"".join(part.bytes() for part in leaf.cert_chain_pems)),
        (key, leaf.private_key_pem.bytes()),
    ):
        new = file.with_suffix(".new")
        new.touch(mode=0o600)
        new.write_bytes(data)
        new.replace(file)
    return {"certificate_file": str(chain), "key_file": str(key)}


def encrypt(key_file: str, password: bytes) -> None:
    key = serialization.load_pem_private_key(Path(key_file).read_bytes(), None)
    locked = serialization.BestAvailableEncryption(password)
    Path(key_file).write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked))


def trusting(*authorities: trustme.CA, version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    for authority in authorities:
        authority.configure_trust(context)
    if version is not None:
        context.maximum_version = version
    return context


async def shown(tools: Any, server: Any, context: ssl.SSLContext, name: str) -> list[str]:
    """The names in the certificate that the server shows to whoever asks for a name."""
    _, writer = await asyncio.open_connection("127.0.0.1", tools.port(server), ssl=context, server_hostname=name)
    names = [value for _, value in writer.get_extra_info("peercert")["subjectAltName"]]
    writer.close()
    return names


# --- several names ----------------------------------------------------------------------------------------------------


def test_a_certificate_for_each_name(tools: Any, tls: dict[str, str], authority: trustme.CA, tmp_path: Path) -> None:
    shop = write(tmp_path, authority.issue_cert("shop.example"), "shop")
    all_of_shop = write(tmp_path, authority.issue_cert("*.shop.example"), "all")
    names = {"shop.example": shop, "*.shop.example": all_of_shop}
    context = trusting(authority)
    context.check_hostname = False

    async def main() -> None:
        async with tools.serve(tls={**tls, "names": names}) as server:
            for asked, expected in {
                "shop.example": ["shop.example"],
                "SHOP.example": ["shop.example"],
                "a.shop.example": ["*.shop.example"],
                "a.b.shop.example": ["localhost", "127.0.0.1"],
                "example": ["localhost", "127.0.0.1"],
                "127.0.0.1": ["localhost", "127.0.0.1"],  # RFC 6066: who writes an address asks for no name.
            }.items():
                assert await shown(tools, server, context, asked) == expected, asked

    tools.run(main())


def test_names_that_cannot_be_used(tools: Any, tls: dict[str, str]) -> None:
    for name in ("", "*", "a.*", "A.example", "ü.example", "a..b", "a.example."):
        with pytest.raises(ValueError, match="write the name of a host"):
            tools.config(tls={**tls, "names": {name: tls}})
    with pytest.raises(ConfigError, match=r"tls\.names\.x\.example: set both certificate_file and key_file"):
        tls_context(TlsConfig.model_validate({**tls, "names": {"x.example": {}}}))
    with pytest.raises(ConfigError, match=r"tls\.names: set tls\.certificate_file, too"):
        tls_context(TlsConfig.model_validate({"names": {"x.example": tls}}))
    with pytest.raises(ConfigError, match=r"tls\.names\.x\.example\.key_file: /nowhere"):
        tls_context(TlsConfig.model_validate({**tls, "names": {"x.example": {**tls, "key_file": "/nowhere"}}}))


def test_a_client_is_verified_whatever_name_it_asks_for(
    tools: Any, tls: dict[str, str], authority: trustme.CA, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clients = trustme.CA()
    clients.cert_pem.write_to_path(tmp_path / "clients.pem")
    names = {"shop.example": write(tmp_path, authority.issue_cert("shop.example"), "shop")}
    settings = {**tls, "client_ca_file": str(tmp_path / "clients.pem"), "names": names}

    async def main() -> None:
        async with tools.serve(tls=settings) as server:
            for name in ("localhost", "shop.example"):
                caplog.clear()
                reader, writer = await asyncio.open_connection(
                    "127.0.0.1", tools.port(server), ssl=trusting(authority), server_hostname=name
                )
                with pytest.raises(ssl.SSLError, match="ALERT_CERTIFICATE_REQUIRED"):
                    await reader.read()
                writer.close()
                await tools.until(lambda: "peer did not return a certificate" in caplog.text)

    with caplog.at_level(logging.INFO, "rpcserver"):
        tools.run(main())


# --- new files --------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def many_looks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The server looks at its files more often."""
    with monkeypatch.context() as patch:
        patch.setattr(certificate_files, "LOOK_S", 0.005)
        yield


def test_new_files_need_no_restart(
    tools: Any, authority: trustme.CA, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = trustme.CA()
    tls = write(tmp_path, authority.issue_cert("localhost"))
    tls["names"] = {"shop.example": write(tmp_path, authority.issue_cert("shop.example"), "shop")}  # type: ignore[assignment]
    key = tmp_path / "own.key"

    async def main() -> None:
        async def logged(text: str) -> None:
            await tools.until(lambda: text in caplog.text)
            assert caplog.text.count(text) == 1
            caplog.clear()

        async def still_shows(issuer: trustme.CA) -> None:
            assert await shown(tools, server, trusting(issuer), "localhost") == ["localhost"]

        async with (
            tools.serve(tls=tls) as server,
            tools.connect(server, ssl=trusting(authority), server_hostname="localhost") as old,
        ):
            for spoil in (
                lambda: key.write_bytes(key.read_bytes()[:100]),  # Half written.
                lambda: key.write_bytes(other.issue_cert("localhost").private_key_pem.bytes()),  # Of another.
                key.unlink,
            ):
                spoil()
                await logged(REFUSED)
                await still_shows(authority)
            write(tmp_path, other.issue_cert("localhost"))
            await logged(RELOADED)
            await still_shows(other)
            # Others may read the key.
            key.chmod(0o644)
            await logged("others may read or change the secret in it")
            await still_shows(other)
            write(tmp_path, other.issue_cert("shop.example"), "shop")
            key.chmod(0o600)
            await logged(RELOADED)
            assert await shown(tools, server, trusting(other), "shop.example") == ["shop.example"]
            assert (await tools.call(old, "calc.add", [1, 2]))["result"] == 3

    with caplog.at_level(logging.INFO, "rpcserver"), many_looks(monkeypatch):
        tools.run(main())


def test_a_change_is_tried_when_it_is_complete(
    tmp_path: Path, authority: trustme.CA, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever writes the certificate first and the key then is not told that they do not match."""
    tls = write(tmp_path, authority.issue_cert("localhost"))
    files = certificate_files.CertificateFiles(TlsConfig(**tls), lambda _: None)
    before, new = files.context, authority.issue_cert("localhost")
    with caplog.at_level(logging.INFO, "rpcserver"):
        files.look()
        for file, data in ((tls["certificate_file"], new.cert_chain_pems[0]), (tls["key_file"], new.private_key_pem)):
            Path(file).write_bytes(data.bytes())
            files.look()
            assert files.context is before
        files.look()
        assert files.context is not before
        current = files.context
        files.look()
        assert files.context is current
    assert caplog.text.count(RELOADED) == 1
    assert REFUSED not in caplog.text


def test_a_fault_above_the_files_is_told_once_and_its_end_is_noticed(
    tmp_path: Path, authority: trustme.CA, caplog: pytest.LogCaptureFixture
) -> None:
    """The files themselves show nothing of it."""
    folder = tmp_path / "tls"
    folder.mkdir()
    files = certificate_files.CertificateFiles(
        TlsConfig(**write(folder, authority.issue_cert("localhost"))), lambda _: None
    )
    before = files.context
    with caplog.at_level(logging.INFO, "rpcserver"):
        folder.chmod(0o777)
        write(folder, authority.issue_cert("localhost"))
        for _ in range(3 * certificate_files.LOOKS_UNTIL_RETRY):
            files.look()
        assert caplog.text.count(REFUSED) == caplog.text.count("chmod go-w") == 1
        assert files.context is before
        folder.chmod(0o755)
        for _ in range(certificate_files.LOOKS_UNTIL_RETRY):
            files.look()
    assert caplog.text.count(RELOADED) == 1
    assert files.context is not before


# --- what TLS may do --------------------------------------------------------------------------------------------------


def test_suites_and_versions(tools: Any, tls: dict[str, str], authority: trustme.CA) -> None:
    """Forward secrecy and authenticated encryption, or nothing."""

    async def speaks(server: Any, **settings: Any) -> str | None:
        context = trusting(authority, version=settings.get("version"))
        if "suites" in settings:
            context.set_ciphers(settings["suites"])
        try:
            _, writer = await asyncio.open_connection(
                "127.0.0.1", tools.port(server), ssl=context, server_hostname="localhost"
            )
        except (ssl.SSLError, ConnectionError):
            return None
        cipher = writer.get_extra_info("cipher")
        writer.close()
        return str(cipher[1])

    old = ssl.TLSVersion.TLSv1_2

    async def main() -> None:
        async with tools.serve(tls=tls) as server:
            assert await speaks(server) == "TLSv1.3"
            for suites in ("ECDHE+AESGCM", "ECDHE+CHACHA20"):
                assert await speaks(server, version=old, suites=suites) == "TLSv1.2"
            for suites in ("ECDHE+AES:!AESGCM:!AESCCM", "AESGCM:!ECDHE:!DHE", "DHE+AESGCM"):
                assert await speaks(server, version=old, suites=suites) is None, suites
        async with tools.serve(tls={**tls, "minimum_version": "1.3"}) as server:
            assert await speaks(server) == "TLSv1.3"
            assert await speaks(server, version=old) is None

    tools.run(main())


def test_groups_that_take_long(
    tools: Any, tls: dict[str, str], authority: trustme.CA, caplog: pytest.LogCaptureFixture
) -> None:
    """To exchange keys by a large finite field takes a tenth of a second, and a stranger chooses it."""

    async def speaks(server: Any, group: str) -> None:
        context = trusting(authority)
        context.set_ecdh_curve(group)
        _, writer = await asyncio.open_connection(
            "127.0.0.1", tools.port(server), ssl=context, server_hostname="localhost"
        )
        writer.close()

    async def main() -> None:
        async with tools.serve(tls=tls) as server:
            for group in ("ffdhe8192", "ffdhe3072"):
                with pytest.raises(ssl.SSLError, match=r"(?i)handshake.failure"):
                    await speaks(server, group)
                await tools.until(lambda: "a finite field of more than 2048 bits" in caplog.text)
                caplog.clear()
            for group in ("prime256v1", "secp521r1", "X25519", "ffdhe2048"):
                await speaks(server, group)

    with caplog.at_level("INFO"):
        tools.run(main())


def hello_of(group: str) -> bytes:
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context()
    context.set_ecdh_curve(group)
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(down, up, server_hostname="localhost").do_handshake()
    return up.read()


LARGE, SMALL = hello_of("ffdhe4096"), hello_of("prime256v1")
ALERT = bytes([21, 3, 3, 0, 2, 1, 90])


def fragments(hello: bytes, size: int) -> bytes:
    """The same hello in records of a size."""
    message = hello[5:]
    parts = [message[at : at + size] for at in range(0, len(message), size)]
    return b"".join(bytes([22, 3, 1]) + len(part).to_bytes(2) + part for part in parts)


@pytest.mark.parametrize(
    "shape",
    [
        lambda hello: hello,
        lambda hello: fragments(hello, 1),
        lambda hello: ALERT * 3 + fragments(hello, 100),
        lambda hello: bytes([22, 3, 1, 0, 0]) + hello,
        lambda hello: hello_of("secp384r1") + bytes([20, 3, 3, 0, 1, 1]) + hello,
        lambda hello: hello_of("secp384r1") + bytes([23, 3, 3, 0, 1, 1]) + hello,
    ],
    ids=["whole", "bytes", "behind alerts", "behind nothing", "the second one", "behind early data"],
)
def test_no_shape_hides_a_hello(shape: Callable[[bytes], bytes]) -> None:
    for size in (1, 7, 100_000):
        for hello in (LARGE, SMALL):
            hellos, data = Hellos(), shape(hello)
            parts = [data[at : at + size] for at in range(0, len(data), size)]
            with contextlib.nullcontext() if hello is SMALL else pytest.raises(UnwantedHello, match="0x0102"):
                for part in parts:
                    hellos.feed(part)
            assert not hellos.is_over


def test_a_chain_of_too_many_certificates_is_not_read(
    tools: Any, tls: dict[str, str], authority: trustme.CA, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A few are usual; to read hundreds takes a tenth of a second, before anybody knows whose they are."""
    clients = trustme.CA()
    clients.cert_pem.write_to_path(str(tmp_path / "clients.pem"))
    leaf = clients.issue_cert("ada@example.org")

    async def speaks(server: Any, others: int) -> None:
        context = trusting(authority, version=ssl.TLSVersion.TLSv1_2)  # There the client learns of a failure at once.
        chain = tmp_path / f"chain{others}.pem"
        chain.write_bytes(leaf.cert_chain_pems[0].bytes() + clients.cert_pem.bytes() * others)
        leaf.private_key_pem.write_to_path(str(tmp_path / "client.key"))
        context.load_cert_chain(chain, tmp_path / "client.key")
        _, writer = await asyncio.open_connection(
            "127.0.0.1", tools.port(server), ssl=context, server_hostname="localhost"
        )
        writer.close()

    async def main() -> None:
        async with tools.serve(tls={**tls, "client_ca_file": str(tmp_path / "clients.pem")}) as server:
            await speaks(server, 3)
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await speaks(server, 60)
            await tools.until(lambda: "its handshake has more than 10240 bytes" in caplog.text)

    with caplog.at_level("INFO"):
        tools.run(main())


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_what_follows_a_handshake_at_once_arrives(
    tls: dict[str, str], authority: trustme.CA, version: ssl.TLSVersion
) -> None:
    """It may be more than a handshake may have."""
    server, up, down = tls_context(TlsConfig(**tls)), ssl.MemoryBIO(), ssl.MemoryBIO()
    assert server is not None
    here = trusting(authority, version=version).wrap_bio(down, up, server_hostname="localhost")
    there = server.wrap_bio(up, down, server_side=True)
    for end in (here, there):
        with contextlib.suppress(ssl.SSLWantReadError):
            end.do_handshake()
    text = bytes(range(256)) * 400
    with contextlib.suppress(ssl.SSLWantReadError):
        here.do_handshake()
    if version == ssl.TLSVersion.TLSv1_3:
        here.write(text)  # Behind the end of the handshake, before the server has read that.
    there.do_handshake()
    if version == ssl.TLSVersion.TLSv1_2:
        here.do_handshake()
        here.write(text)
    received = b""
    while len(received) < len(text):
        received += there.read(1 << 20)
    assert received == text


def test_what_is_no_hello_is_left_to_openssl() -> None:
    for data in (b"GET / HTTP/1.1\r\n", b"\x80\x2e\x01\x03\x01" + bytes(60), bytes([22, 3, 3, 0, 4, 16, 0, 0, 9])):
        hellos = Hellos()
        hellos.feed(data)
        assert hellos.is_over
        hellos.feed(LARGE)
    with pytest.raises(UnwantedHello, match="its hello has 16385 bytes, and 16384 are allowed"):
        Hellos().feed(bytes([22, 3, 1, 0, 4, 1, 0, 0x40, 1]))
    for end in range(len(LARGE)):  # Whatever is cut off or short by its own lengths.
        cut = bytearray(LARGE[:end])
        if end > 9:
            cut[3:5], cut[6:9] = (end - 5).to_bytes(2), (end - 9).to_bytes(3)
        with contextlib.suppress(UnwantedHello):
            Hellos().feed(bytes(cut))


def handshake(server: ssl.SSLContext, client: ssl.SSLContext, session: ssl.SSLSession | None = None) -> ssl.SSLObject:
    """Shake hands in memory, take leave in order, and return the client's end."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(down, up, server_hostname="localhost", session=session),
        server.wrap_bio(up, down, server_side=True),
    ]
    for step in [ssl.SSLObject.do_handshake] * 3 + [ssl.SSLObject.unwrap] * 2:
        for end in ends:
            with contextlib.suppress(ssl.SSLWantReadError):  # What was sent is read at the next turn.
                step(end)
    return ends[0]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_there_are_no_tickets(tls: dict[str, str], authority: trustme.CA, version: ssl.TLSVersion) -> None:
    server, client = tls_context(TlsConfig(**tls)), trusting(authority, version=version)
    assert server is not None
    session = handshake(server, client).session
    assert session is None or not session.has_ticket
    assert handshake(server, client, session).session_reused is (version == ssl.TLSVersion.TLSv1_2)


def test_the_end_of_a_handshake_is_acknowledged(
    tools: Any, tls: dict[str, str], authority: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many clients send their request only then, and the server itself has nothing to send."""
    families: list[int] = []
    original = link.acknowledge

    def note(sock: socket.socket) -> None:
        families.append(sock.family)
        original(sock)

    monkeypatch.setattr(link, "acknowledge", note)

    async def main() -> None:
        async with tools.serve(tls=tls) as server:
            assert await shown(tools, server, trusting(authority), "localhost") == ["localhost", "127.0.0.1"]
            async with asyncio.timeout(20):
                while not families:
                    await asyncio.sleep(0)
            assert families == [socket.AF_INET]

    tools.run(main())
    one, other = socket.socketpair()
    with one, other:
        original(one)  # A Unix socket has nothing to acknowledge.


def test_sessions_are_limited(tls: dict[str, str], authority: trustme.CA, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificate_files, "MOST_SESSIONS", 3)
    files = certificate_files.CertificateFiles(TlsConfig(**tls), lambda _: None)
    client = trusting(authority, version=ssl.TLSVersion.TLSv1_2)
    for count in (1, 2, 3, 4):
        files.look()
        assert files.context is not None
        handshake(files.context, client)
        assert files.context.session_stats()["number"] == count
    files.look()
    assert files.context.session_stats()["number"] == 0


def test_a_key_with_a_password(tls: dict[str, str]) -> None:
    encrypt(tls["key_file"], b"tweety")
    assert tls_context(TlsConfig.model_validate({**tls, "key_password": "tweety"})) is not None
    with pytest.raises(ConfigError, match=r"tls\.key_password: the key in .* is encrypted: set its password"):
        tls_context(TlsConfig(**tls))
    with pytest.raises(ConfigError, match=r"is key_password right\?") as caught:
        tls_context(TlsConfig.model_validate({**tls, "key_password": "sylvester"}))
    assert "sylvester" not in str(caught.value)
