"""How a server becomes a member of its group, as ``[group]`` in the configuration says."""

from __future__ import annotations

import importlib.util
import logging
import ssl
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from rpcserver.config import EMBEDDED, ConfigError, ServerConfig
from rpcwire.trusted_files import UntrustedFile

from .broker import Broker
from .broker_settings import BrokerSettings, BrokerTls, Login, NodeLogin, read_node_login
from .identity import Identity, begin_identity, make_identity
from .lease_bucket import BucketStore
from .lease_file import LEASES, FileStore
from .leases import Leases
from .link import Link, LinkSettings
from .members import InvalidGroupMessage
from .node import Description, Node
from .witness import Witness

logger = logging.getLogger("rpcserver.group")

_ANY_HOST = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - compared, not bound


class Membership:
    """What makes a server a node: the node, and the broker if the server brings one.

    Parameters:
        config: the configuration.
        describe: returns what the node tells about itself; it is asked when the server listens, and then again and
            again.
        name: the name of the node.
    """

    def __init__(self, config: ServerConfig, describe: Callable[[], Description], name: str) -> None:
        self._config = config
        self._describe = describe
        self._name = name
        self._broker: Broker | None = None
        self._witness: Witness | None = None
        self._login: NodeLogin | None = None
        self._node: Node | None = None
        self._leases: Leases | None = None
        self._store: BucketStore | None = None

    @property
    def leases(self) -> Leases:
        """What grants leases. It is there once the membership has been prepared."""
        assert self._leases is not None, "the membership has not been prepared"
        return self._leases

    @property
    def node(self) -> Node:
        """The node. It is there once the membership has been prepared."""
        assert self._node is not None, "the membership has not been prepared"
        return self._node

    @property
    def grants(self) -> Leases | None:
        """What grants leases; ``None`` until the membership has been prepared."""
        return self._leases

    @property
    def broker(self) -> Broker | None:
        """The embedded broker, if there is one."""
        return self._broker

    def check(self) -> None:
        """Check what :meth:`prepare` needs. Nothing is changed.

        Raises:
            ConfigError: something is missing or cannot be used.
        """
        group = self._config.group
        if not group.url:
            return
        if importlib.util.find_spec("nats") is None:
            raise ConfigError("group.url: a group needs the package nats-py: pip install 'remote-services[group]'")
        self._login = self._read_login()
        if group.url != EMBEDDED:
            self._make_tls()

    async def prepare(self) -> None:
        """Say who this node is, and start the broker if it is embedded. The state folder must be locked.

        Raises:
            ConfigError: something is missing or cannot be used.
        """
        config, group = self._config, self._config.group
        self.check()
        if not group.url:
            self._node = Node(make_identity(time.time()), self._describe)
            self._leases = Leases(FileStore(config.group_path / LEASES), self._name)
            return
        own = None if self._login is None else self._login.id
        identity = begin_identity(config.group_path, own, time.time())
        if group.url == EMBEDDED:
            self._broker = Broker(self._broker_settings(identity.id))
            await self._broker.start()
        link = Link(identity.id, self._name, self._make_settings())
        renew = self._renew if self._may_renew else None
        maker = None if self._broker is None else self._as_user(self._broker.credentials.store)
        self._node = Node(identity, self._describe, link, renew, maker=maker)
        self._store = BucketStore(link, maker=maker)
        self._node.on_up = self._store.begin
        self._leases = Leases(self._store, self._name)
        if self._broker is not None:
            credentials = self._broker.credentials
            self._witness = Witness(
                self._as_user(credentials.system),
                {each.login.user: each.id for each in credentials.others},
                self._node.note_disconnect,
            )

    def start(self) -> None:
        """Become a member, in the background: call this when the server listens."""
        self.node.start()
        if self._witness is not None:
            self._witness.start()

    def leave(self) -> None:
        """Tell the others that this node is about to leave."""
        if self._node is not None:
            self._node.leave()

    async def stop(self) -> None:
        """Leave, and stop the broker. This may be called at any time."""
        if self._leases is not None:
            self._leases.close()
        if self._store is not None:
            self._store.stop()
        if self._witness is not None:
            await self._witness.close()
        if self._node is not None:
            await self._node.stop()
        if self._broker is not None:
            await self._broker.stop()

    # --- the parts -----------------------------------------------------------------------------------------------

    @property
    def _may_renew(self) -> bool:
        """Whether this node may take another id: neither its credentials nor the rules of its broker name the id."""
        return self._login is None and self._broker is None

    def _renew(self) -> Identity:
        return begin_identity(self._config.group_path, None, time.time(), is_new=True)

    def _read_login(self) -> NodeLogin | None:
        path = self._config.group_credentials_path
        if path is None or self._config.group.url == EMBEDDED:
            return None
        try:
            return read_node_login(path)
        except UntrustedFile as exc:
            raise ConfigError(f"group.credentials_file: {exc}") from None
        except OSError as exc:
            raise ConfigError(f"group.credentials_file: {path}: {exc.strerror}") from exc
        except (ValueError, KeyError, TypeError, InvalidGroupMessage):
            raise ConfigError(
                f"group.credentials_file: {path} must be a JSON object with id (16 hexadecimal digits), user and "
                "password, as the embedded broker writes it for each of group.broker.nodes"
            ) from None

    def _broker_settings(self, own: int) -> BrokerSettings:
        broker = self._config.group.broker
        tls = None
        if broker.certificate_file:
            authority = Path(broker.client_ca_file) if broker.client_ca_file else None
            tls = BrokerTls(Path(broker.certificate_file), Path(broker.key_file), authority)
        return BrokerSettings(
            folder=self._config.broker_path,
            host=broker.host,
            port=broker.port,
            tls=tls,
            memory_bytes=broker.memory_bytes,
            disk_bytes=broker.disk_bytes,
            program=Path(broker.program) if broker.program else None,
            own=own,
            nodes=broker.nodes,
        )

    def _as_user(self, login: Login) -> Callable[[], LinkSettings]:
        """Return how to reach the broker as another user."""
        settings = self._make_settings()
        return lambda: replace(settings(), user=login.user, password=login.password)

    def _make_settings(self) -> Callable[[], LinkSettings]:
        if self._broker is not None:
            broker, login = self._broker, self._broker.credentials.node
            scheme = "nats" if broker.settings.tls is None else "tls"
            host = _ANY_HOST.get(broker.settings.host, broker.settings.host)
            host = f"[{host}]" if ":" in host.strip("[]") and not host.startswith("[") else host
            tls = None if broker.settings.tls is None else self._make_tls()
            return lambda: LinkSettings(
                urls=(f"{scheme}://{host}:{broker.port}",), user=login.user, password=login.password, tls=tls
            )
        urls = tuple(url.strip() for url in self._config.group.url.split(","))
        tls = self._make_tls() if any(url.startswith("tls://") for url in urls) else None
        if self._login is None:
            return lambda: LinkSettings(urls=urls, tls=tls)
        user = self._login.login
        return lambda: LinkSettings(urls=urls, user=user.user, password=user.password, tls=tls)

    def _make_tls(self) -> ssl.SSLContext:
        files = self._config.group.tls
        try:
            context = ssl.create_default_context(cafile=files.ca_file or None)
            if self._config.group.url == EMBEDDED:
                # It is reached on this machine, so that its name says nothing: no other certificate will do.
                context.load_verify_locations(self._config.group.broker.certificate_file)
                context.check_hostname = False
                context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
            if files.certificate_file:
                context.load_cert_chain(files.certificate_file, files.key_file or None)
        except (OSError, ssl.SSLError) as exc:
            raise ConfigError(f"group.tls: {exc}: name PEM files that this server can read") from exc
        return context
