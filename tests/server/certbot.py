"""Certificates in files as certbot lays them out (``certbot._internal.storage``, of certbot 5.8): what the server is
given are links, which a renewal exchanges one after another. ``tests/other_tools/test_certbot.py`` runs certbot."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import trustme

KINDS = ("cert", "privkey", "chain", "fullchain")
"""The files of a certificate, in the order in which a renewal exchanges their links."""


class Lineage:
    """A certificate that is renewed.

    Parameters:
        root: what ``/etc/letsencrypt`` is elsewhere.
        name: the name of the certificate.
    """

    def __init__(self, root: Path, name: str) -> None:
        self.live, self.archive = root / "live" / name, root / "archive" / name
        self.version = 0
        for folder in (self.live, self.archive):
            folder.parent.mkdir(mode=0o700, parents=True)
            folder.mkdir(mode=0o755)
        (self.live / "README").touch()

    @property
    def tls(self) -> dict[str, str]:
        """The settings of a server that may read the files themselves."""
        return {"certificate_file": str(self.live / "fullchain.pem"), "key_file": str(self.live / "privkey.pem")}

    def renew(self, leaf: trustme.LeafCert) -> Iterator[str]:
        """Get another certificate, and stop after each step, whose name is yielded."""
        self.version += 1
        chain = b"".join(part.bytes() for part in leaf.cert_chain_pems[1:])
        certificate = leaf.cert_chain_pems[0].bytes()
        contents = {"privkey": leaf.private_key_pem.bytes(), "cert": certificate, "chain": chain,
                    "fullchain": certificate + chain}  # fmt: skip
        for kind, content in contents.items():
            file = self.archive / f"{kind}{self.version}.pem"
            file.touch(mode=0o600 if kind == "privkey" else 0o644)
            file.write_bytes(content)
            yield f"{kind} is written"
        for kind in KINDS:
            link = self.live / f"{kind}.pem"
            if link.is_symlink():
                link.unlink()
                yield f"the link {kind} is removed"
            link.symlink_to(f"../../archive/{self.live.name}/{kind}{self.version}.pem")
            yield f"the link {kind} is made"
