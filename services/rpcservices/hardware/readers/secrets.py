"""Where secrets stand in command lines: data for :mod:`redaction`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Taken(NamedTuple):
    """What a program takes secrets by.

    Attributes:
        next: options whose value is the next word, or follows after ``=``.
        joined: how words begin whose rest is the value.
        flags: one-letter options without a value, which may stand before one of ``next`` in the same word.
        after: plain words that are followed by a secret.
        last: the last plain word is one, where there are two or more.
        under: what else it takes behind a plain word: its commands that log in.
    """

    next: tuple[str, ...] = ()
    joined: tuple[str, ...] = ()
    flags: str = ""
    after: tuple[str, ...] = ()
    last: bool = False
    under: Mapping[str, Taken] = {}


_MYSQL = Taken(joined=("-p",))  # "-p word" asks for the password; the word is a database.
_SNMP = Taken(next=("-A", "-X", "-c"), joined=("-A", "-X", "-c"))
_LDAP = Taken(next=("-w",), joined=("-w",))
_MONGO = Taken(next=("-p",), joined=("-p",))
_ARCHIVE = Taken(next=("-P",), joined=("-P",))
_MOSQUITTO = Taken(next=("-P", "--pw"), joined=("-P",))
_LOGIN = Taken(under={"login": Taken(next=("-p",), joined=("-p",))})
"""Elsewhere its ``-p`` is a port, or a project."""
_LAST = Taken(last=True)
_REDIS = Taken(next=("--requirepass", "--masterauth"))
_HTTPIE = Taken(next=("-a", "--auth"), joined=("-a",))
_RDP = Taken(next=("-p",), joined=("/p:", "/pth:", "/gp:", "-p"))
_CURL = Taken(
    next=("-u", "-U", "-b", "--user", "--proxy-user", "--cookie", "--oauth2-bearer"),
    joined=("-u", "-U", "-b"),
    flags="#0123456789aBfgGiIjJklLnNOpqRsSvZ",
)

PROGRAMS: Mapping[str, Taken] = {
    "mysql": _MYSQL, "mysqldump": _MYSQL, "mysqladmin": _MYSQL, "mysqlimport": _MYSQL, "mysqlcheck": _MYSQL,
    "mariadb": _MYSQL, "mariadb-dump": _MYSQL, "mariadb-admin": _MYSQL,
    "curl": _CURL,
    "sshpass": Taken(next=("-p",), joined=("-p",)),
    "ssh": Taken(),  # Its -p is a port, whatever stood before it.
    "ssh-keygen": Taken(next=("-N", "-P"), joined=("-N", "-P")),
    "redis-server": _REDIS, "valkey-server": _REDIS, "redis-sentinel": _REDIS,
    "docker": _LOGIN, "podman": _LOGIN, "buildah": _LOGIN, "skopeo": _LOGIN, "nerdctl": _LOGIN, "helm": _LOGIN,
    "oc": _LOGIN, "oras": _LOGIN, "crane": _LOGIN, "az": _LOGIN,
    "http": _HTTPIE, "https": _HTTPIE, "xh": _HTTPIE, "xhs": _HTTPIE,
    "mosquitto_pub": _MOSQUITTO, "mosquitto_sub": _MOSQUITTO, "mosquitto_rr": _MOSQUITTO,
    "vault": Taken(under={"login": _LAST, "unwrap": _LAST, "unseal": _LAST}),
    "bao": Taken(under={"login": _LAST, "unwrap": _LAST, "unseal": _LAST}),
    "ngrok": Taken(after=("authtoken", "add-authtoken")),
    "redis-cli": Taken(next=("-a",), joined=("-a",)),
    "ldapsearch": _LDAP, "ldapmodify": _LDAP, "ldapadd": _LDAP, "ldapdelete": _LDAP, "ldapwhoami": _LDAP,
    "smbclient": Taken(next=("-U",), joined=("-U",)), "rpcclient": Taken(next=("-U",), joined=("-U",)),
    "mongosh": _MONGO, "mongo": _MONGO, "mongodump": _MONGO, "mongorestore": _MONGO,
    "sqlcmd": Taken(next=("-P",), joined=("-P",)), "bcp": Taken(next=("-P",), joined=("-P",)),
    "snmpget": _SNMP, "snmpgetnext": _SNMP, "snmpwalk": _SNMP, "snmpbulkwalk": _SNMP, "snmpset": _SNMP,
    "ipmitool": Taken(next=("-P", "-k", "-y"), joined=("-P",)),
    "openssl": Taken(next=("-k", "-K", "-pass", "-passin", "-passout")),
    "htpasswd": Taken(last=True), "wpa_passphrase": Taken(last=True),
    "lftp": Taken(next=("-u", "--user"), joined=("-u",)),
    "ncftp": Taken(next=("-p",)), "ncftpget": Taken(next=("-p",)), "ncftpput": Taken(next=("-p",)),
    "7z": Taken(joined=("-p",)), "7za": Taken(joined=("-p",)), "rar": Taken(joined=("-p", "-hp")),
    "unrar": Taken(joined=("-p",)), "zip": _ARCHIVE, "unzip": _ARCHIVE,
    "xfreerdp": _RDP, "wlfreerdp": _RDP, "rdesktop": Taken(next=("-p",), joined=("-p",)),
    "nmcli": Taken(after=("password", "wifi-sec.psk", "802-11-wireless-security.psk", "802-1x.password", "psk")),
    "wpa_cli": Taken(after=("psk", "password", "wep_key0")),
}  # fmt: skip
"""Programs by name. One without an entry has no options of its own; those whose names speak are known everywhere."""

WORDS = (
    r"pass(?:word|wd|phrase|code)?|pwd|secret|token|api[-_]?key|access[-_]?key|private[-_]?key"
    r"|(?:encryption|signing|master|shared|storage|account)[-_]?key|auth(?:orization|[-_]?key)?"
    r"|credentials?|cookie|bearer|sas|signature|dsn|connection[-_]?string"
)
"""What the names of options, variables and fields speak of, as a regular expression."""

SHORT_WORDS = r"pw|pin|psk|otp"
"""Such words that have other meanings as a part of a name; they count at its end only."""
