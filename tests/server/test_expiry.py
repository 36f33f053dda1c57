"""When the certificates of a server expire, as the page /metrics tells."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography import x509

from rpcserver.security.der import GENERALIZED_TIME, UTC_TIME, read_time
from rpcserver.security.expiry import certificates_expire_at, lists_expire_at
from tests.server.issuing import Issuer

NAME = "rpcserver_tls_certificate_expiry_timestamp_seconds"


def in_days(days: int) -> dt.datetime:
    return dt.datetime.now(dt.UTC).replace(microsecond=0) + dt.timedelta(days=days)


def write(folder: Path, leaf: trustme.LeafCert, name: str) -> dict[str, str]:
    """Write a certificate with its chain, and its key, as the settings of a server."""
    chain, key = folder / f"{name}.pem", folder / f"{name}.key"
    chain.write_bytes(b"".join(part.bytes() for part in leaf.cert_chain_pems))
    leaf.private_key_pem.write_to_path(key)
    key.chmod(0o600)
    return {"certificate_file": str(chain), "key_file": str(key)}


@pytest.mark.parametrize("years", [1, 30, 60])  # From 2050 on the form of the time is another one.
def test_the_time_is_that_of_the_certificate(authority: trustme.CA, years: int) -> None:
    leaf = authority.issue_cert("localhost", not_after=in_days(365 * years))
    pem = leaf.cert_chain_pems[0].bytes()
    assert certificates_expire_at(pem) == x509.load_pem_x509_certificate(pem).not_valid_after_utc.timestamp()


def test_of_several_the_first_to_expire_counts(authority: trustme.CA) -> None:
    days = [30, 5, 90]
    leaves = [authority.issue_cert("localhost", not_after=in_days(each)) for each in days]
    pems = [leaf.cert_chain_pems[0].bytes() for leaf in leaves]
    key = leaves[0].private_key_pem.bytes()
    assert certificates_expire_at(b"a comment\n" + key + b"\n".join(pems)) == certificates_expire_at(pems[1])
    assert certificates_expire_at(key) is None


def test_lists_of_revoked_certificates(authority: trustme.CA, tmp_path: Path) -> None:
    issuer = Issuer(tmp_path, authority)
    for leaves in ([], [issuer.issue("ada.example")]):  # The dates of revocations do not count.
        pem = issuer.revoke(*leaves)
        crl = x509.load_pem_x509_crl(pem)
        assert crl.next_update_utc is not None
        assert lists_expire_at(pem) == crl.next_update_utc.timestamp()
    assert lists_expire_at(b"") is None


@pytest.mark.parametrize(
    ("tag", "content", "time"),
    [
        (UTC_TIME, b"491231235959Z", dt.datetime(2049, 12, 31, 23, 59, 59, tzinfo=dt.UTC)),
        (UTC_TIME, b"500101000000Z", dt.datetime(1950, 1, 1, tzinfo=dt.UTC)),
        (GENERALIZED_TIME, b"99991231235959Z", dt.datetime(9999, 12, 31, 23, 59, 59, tzinfo=dt.UTC)),
        (UTC_TIME, b"20491231235959Z", None),
        (GENERALIZED_TIME, b"491231235959Z", None),
        (UTC_TIME, b"4912312359Z", None),
        (UTC_TIME, b"491331235959Z", None),
        (0x04, b"491231235959Z", None),
    ],
)
def test_times(tag: int, content: bytes, time: dt.datetime | None) -> None:
    """RFC 5280, section 4.1.2.5."""
    if time is None:
        with pytest.raises(ValueError):
            read_time(tag, content)
    else:
        assert read_time(tag, content) == time.timestamp()


def test_whatever_is_cut_off_is_refused(authority: trustme.CA) -> None:
    lines = authority.issue_cert("localhost").cert_chain_pems[0].bytes().decode().splitlines()
    for cut in range(2, len(lines) - 1):
        with pytest.raises(ValueError, match=r"cut off|padding"):
            certificates_expire_at("\n".join([*lines[:cut], lines[-1]]).encode())


def test_the_page_tells_of_the_certificates_in_use(tools: Any, authority: trustme.CA, tmp_path: Path) -> None:
    """Of each setting that names some, by that setting; new files count when they are in use."""
    issuer = Issuer(tmp_path, authority)
    pem = issuer.revoke()
    tls: dict[str, Any] = write(tmp_path, authority.issue_cert("localhost", not_after=in_days(30)), "own")
    shop = authority.issue_cert("shop.example", not_after=in_days(20))
    tls |= {
        "names": {"shop.example": write(tmp_path, shop, "shop")},
        "client_ca_file": str(issuer.ca_file),
        "client_crl_file": str(issuer.crl_file),
        "client_certificates": "optional",
    }

    async def expiries(server: Any) -> dict[str, float]:
        lines = (await server.metrics.render()).splitlines()
        samples = [line.rpartition(" ") for line in lines if line.startswith(f"{NAME}{{")]
        return {key.partition('setting="')[2].rstrip('"}'): float(value) for key, _, value in samples}

    async def main() -> None:
        async with tools.serve(tls=tls) as server:
            before = await expiries(server)
            assert before == {
                "tls.certificate_file": certificates_expire_at(Path(tls["certificate_file"]).read_bytes()),
                "tls.names.shop.example.certificate_file": certificates_expire_at(shop.cert_chain_pems[0].bytes()),
                "tls.client_ca_file": certificates_expire_at(issuer.ca_file.read_bytes()),
                "tls.client_crl_file": lists_expire_at(pem),
            }
            files = server.door._certificate_files
            (tmp_path / "own.key").write_text("half of a key")
            files.look()
            files.look()
            assert await expiries(server) == before, "the old one stays in use"
            write(tmp_path, authority.issue_cert("localhost", not_after=in_days(60)), "own")
            files.look()
            files.look()
            now = await expiries(server)
            later = certificates_expire_at((tmp_path / "own.pem").read_bytes())
            assert (
                now == {**before, "tls.certificate_file": later} and later - before["tls.certificate_file"] > 29 * 86400
            )
        async with tools.serve() as server:
            assert NAME not in await server.metrics.render()

    tools.run(main())
