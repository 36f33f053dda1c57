"""What lets a node of the crowd answer group calls as a server does, and the server through which clients make them.

Of a server there are, for each node of the crowd: its roster, whose changes are followed; what reads requests, decides
who may vouch, remembers what has run and answers late or twice (:mod:`rpcserver.group.executing`); the connections, of
which each call gets one, with their quotas and accounts of memory; and the dispatch with the gate of the roles, which
counts calls. What settings make of servers is the same for all of them, so that the nodes of a process share it: the
roles, the methods, and the threads.

Left out is what group calls do not touch: listeners, the life of services, the audit log, telemetry besides the
counting, events, leases, and connections with one node through another.
"""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

from rpcclient import AsyncClient
from rpcserver.config import ServerConfig
from rpcserver.connections import Connections
from rpcserver.group.call_link import CallDispatch, CallLink
from rpcserver.group.calls import GroupCalls
from rpcserver.group.directory import NodeDirectory
from rpcserver.group.executing import Executing
from rpcserver.group.node import Node
from rpcserver.group.reporting import Reporter
from rpcserver.group.vouching import Gateways
from rpcserver.security.authentication import Authentication
from rpcserver.security.gate import RoleGate
from rpcserver.security.roles import Roles
from rpcserver.security.tokens import TokenStore
from rpcserver.server import Server
from rpcserver.system import System
from rpcserver.telemetry.calls import CallMeter
from rpcwire.codec import Subprotocol
from rpcwire.dispatch import Dispatch
from rpcwire.errors import Busy
from rpcwire.pool import Pool
from rpcwire.registry import Registry
from rpcwire.service import Service

TOKEN = "t" * 32
GATEWAY = "gateway"
"""The name of the server through which clients make calls."""
ROLES = {"all": {"principals": [f"* via {GATEWAY}"], "permissions": ["*"]}}
logger = logging.getLogger("crowd")


class Shared:
    """What the nodes of a process share, since the settings are the same.

    Parameters:
        service: what each node offers.
    """

    def __init__(self, service: Service) -> None:
        self.config = ServerConfig.model_validate({"roles": ROLES})
        self.registry = Registry(logger)
        self.registry.add(service)
        self.roles = Roles(self.config.roles, [service], os.geteuid(), System)
        self.gate = RoleGate(self.roles)
        self.authentication = Authentication(
            TokenStore(TOKEN), os.geteuid(), self.config.auth, unix_peer_credentials=True
        )
        self.pool = Pool(self.config.limits.threads, "crowd-handler")


class AnsweringNode:
    """Answers the group calls that a node gets. The node must have started.

    Parameters:
        node: the node.
        shared: what it shares with others.

    Attributes:
        meter: counts the calls.
    """

    def __init__(self, node: Node, shared: Shared) -> None:
        limits = shared.config.limits
        self.meter = CallMeter(shared.registry)
        self._dispatch = Dispatch(shared.registry, shared.gate.decide, logger=logger)
        self._dispatch.measure(self.meter)
        self._connections = Connections(
            self._dispatch,
            shared.authentication,
            shared.roles,
            limits,
            shared.config.auth.violations,
            shared.pool,
            logger,
        )
        self._connections.start()
        directory, gateways = NodeDirectory(node), Gateways(trusts_names=True)
        executing = Executing(
            directory, lambda: gateways, self._adopt, lambda: limits.message_bytes, Reporter(self._dispatch)
        )
        self.calls = GroupCalls(node.link, directory, executing, lambda: node.is_settled)
        self.calls.start(node.watch())

    def _adopt(self, link: CallLink, subprotocol: Subprotocol) -> None:
        if (reason := self._connections.refuse(link)) is not None:
            raise Busy(reason, executed="no")
        self._connections.adopt(link, subprotocol, cast("Dispatch", CallDispatch(self._dispatch, link)))


@asynccontextmanager
async def open_gateway(url: str, folder: Path, service: Service) -> AsyncIterator[AsyncClient]:
    """A whole server that is a node of the group, in this process, and a client of it over a WebSocket.

    Parameters:
        url: those of the broker.
        folder: where its state goes.
        service: what it offers.
    """
    config = ServerConfig.model_validate(
        {
            "state_dir": str(folder / GATEWAY),
            "listen": {"port": 0, "unix": "none"},
            "grace_s": 0,
            "group": {"url": url, "name": GATEWAY, "trust_gateway_names": True},
            "roles": ROLES,
        }
    )
    server = Server(config, (service,), token=TOKEN)
    await server.start()
    try:
        async with AsyncClient(server.addresses[0], token=TOKEN, proxy=None) as client:
            yield client
    finally:
        await server.stop(grace_s=0)


async def wait_for_all(client: AsyncClient, count: int) -> None:
    """Wait until the node of a client has seen so many others that are up.

    Parameters:
        client: the client.
        count: how many.
    """
    ids: set[str] = set()
    async with client.watch_nodes() as events:
        async for event in events:
            ids.update(node.id for node in event.nodes if node.state == "up")
            if len(ids) > count:
                return
