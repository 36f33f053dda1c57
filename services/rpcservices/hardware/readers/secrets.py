"""Where secrets stand in command lines: data for :mod:`redaction`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class SecretPlaces(NamedTuple):
    """The places in a command line where a program takes secrets.

    Attributes:
        next: options whose value is the next word, or follows after ``=``.
        prefixes: the beginnings of words whose rest is the value.
        flags: one-letter options without a value, which may stand before one of ``next`` in the same word.
        after: plain words that stand before a secret.
        last: whether the last of two or more plain words is a secret.
        under: further places behind a plain word, for commands that log in.
    """

    next: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    flags: str = ""
    after: tuple[str, ...] = ()
    last: bool = False
    under: Mapping[str, SecretPlaces] = {}


_MYSQL = SecretPlaces(prefixes=("-p",))  # "-p word" asks for the password; the word is a database.
_SNMP = SecretPlaces(next=("-A", "-X", "-c"), prefixes=("-A", "-X", "-c"))
_LDAP = SecretPlaces(next=("-w",), prefixes=("-w",))
_MONGO = SecretPlaces(next=("-p",), prefixes=("-p",))
_ARCHIVE = SecretPlaces(next=("-P",), prefixes=("-P",))
_MOSQUITTO = SecretPlaces(next=("-P", "--pw"), prefixes=("-P",))
_LOGIN = SecretPlaces(under={"login": SecretPlaces(next=("-p",), prefixes=("-p",))})
"""In other commands of these programs ``-p`` is a port or a project."""
_LAST = SecretPlaces(last=True)
_REDIS = SecretPlaces(next=("--requirepass", "--masterauth"))
_HTTPIE = SecretPlaces(next=("-a", "--auth"), prefixes=("-a",))
_RDP = SecretPlaces(next=("-p",), prefixes=("/p:", "/pth:", "/gp:", "-p"))
_CURL = SecretPlaces(
    next=("-u", "-U", "-b", "--user", "--proxy-user", "--cookie", "--oauth2-bearer"),
    prefixes=("-u", "-U", "-b"),
    flags="#0123456789aBfgGiIjJklLnNOpqRsSvZ",
)

PROGRAMS: Mapping[str, SecretPlaces] = {
    "mysql": _MYSQL, "mysqldump": _MYSQL, "mysqladmin": _MYSQL, "mysqlimport": _MYSQL, "mysqlcheck": _MYSQL,
    "mariadb": _MYSQL, "mariadb-dump": _MYSQL, "mariadb-admin": _MYSQL,
    "curl": _CURL,
    "sshpass": SecretPlaces(next=("-p",), prefixes=("-p",)),
    "ssh": SecretPlaces(),  # Its -p is a port, whatever stands before ssh.
    "ssh-keygen": SecretPlaces(next=("-N", "-P"), prefixes=("-N", "-P")),
    "redis-server": _REDIS, "valkey-server": _REDIS, "redis-sentinel": _REDIS,
    "docker": _LOGIN, "podman": _LOGIN, "buildah": _LOGIN, "skopeo": _LOGIN, "nerdctl": _LOGIN, "helm": _LOGIN,
    "oc": _LOGIN, "oras": _LOGIN, "crane": _LOGIN, "az": _LOGIN,
    "http": _HTTPIE, "https": _HTTPIE, "xh": _HTTPIE, "xhs": _HTTPIE,
    "mosquitto_pub": _MOSQUITTO, "mosquitto_sub": _MOSQUITTO, "mosquitto_rr": _MOSQUITTO,
    "vault": SecretPlaces(under={"login": _LAST, "unwrap": _LAST, "unseal": _LAST}),
    "bao": SecretPlaces(under={"login": _LAST, "unwrap": _LAST, "unseal": _LAST}),
    "ngrok": SecretPlaces(after=("authtoken", "add-authtoken")),
    "redis-cli": SecretPlaces(next=("-a",), prefixes=("-a",)),
    "ldapsearch": _LDAP, "ldapmodify": _LDAP, "ldapadd": _LDAP, "ldapdelete": _LDAP, "ldapwhoami": _LDAP,
    "smbclient": SecretPlaces(next=("-U",), prefixes=("-U",)),
    "rpcclient": SecretPlaces(next=("-U",), prefixes=("-U",)),
    "mongosh": _MONGO, "mongo": _MONGO, "mongodump": _MONGO, "mongorestore": _MONGO,
    "sqlcmd": SecretPlaces(next=("-P",), prefixes=("-P",)), "bcp": SecretPlaces(next=("-P",), prefixes=("-P",)),
    "snmpget": _SNMP, "snmpgetnext": _SNMP, "snmpwalk": _SNMP, "snmpbulkwalk": _SNMP, "snmpset": _SNMP,
    "ipmitool": SecretPlaces(next=("-P", "-k", "-y"), prefixes=("-P",)),
    "openssl": SecretPlaces(next=("-k", "-K", "-pass", "-passin", "-passout")),
    "htpasswd": SecretPlaces(last=True), "wpa_passphrase": SecretPlaces(last=True),
    "lftp": SecretPlaces(next=("-u", "--user"), prefixes=("-u",)),
    "ncftp": SecretPlaces(next=("-p",)), "ncftpget": SecretPlaces(next=("-p",)),
    "ncftpput": SecretPlaces(next=("-p",)),
    "7z": SecretPlaces(prefixes=("-p",)), "7za": SecretPlaces(prefixes=("-p",)),
    "rar": SecretPlaces(prefixes=("-p", "-hp")),
    "unrar": SecretPlaces(prefixes=("-p",)), "zip": _ARCHIVE, "unzip": _ARCHIVE,
    "xfreerdp": _RDP, "wlfreerdp": _RDP, "rdesktop": SecretPlaces(next=("-p",), prefixes=("-p",)),
    "nmcli": SecretPlaces(after=("password", "wifi-sec.psk", "802-11-wireless-security.psk", "802-1x.password", "psk")),
    "wpa_cli": SecretPlaces(after=("psk", "password", "wep_key0")),
}  # fmt: skip
"""The places by the name of the program. Options whose names stand for a secret need no entry: they count for every
program."""

WORDS = (
    r"pass(?:word|wd|phrase|code)?|pwd|secret|token|api[-_]?key|access[-_]?key|private[-_]?key"
    r"|(?:encryption|signing|master|shared|storage|account)[-_]?key|auth(?:orization|[-_]?key)?"
    r"|credentials?|cookie|bearer|sas|signature|dsn|connection[-_]?string"
)
"""The words for secrets in names of options, variables and fields, as a regular expression."""

SHORT_WORDS = r"pw|pin|psk|otp"
"""Further such words. They have other meanings inside a name, so they count only at its end."""
