"""Who a client is that comes from another node: its name there, and the node that vouches for it.

Only the operator of this node decides which nodes may vouch. The broker lets each node speak under its own id only, so
the id is what can be relied on; a name is what a node says of itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rpcwire.context import VIA, Principal
from rpcwire.errors import InvalidParams, PermissionDenied
from rpcwire.logs import printable

METHOD = "node"
"""How such clients have authenticated, where that is told."""
NAME_CHARACTERS = 400
"""The longest name of a client that another node tells, in characters. Each node on the way adds its own."""


@dataclass(frozen=True, slots=True)
class Gateways:
    """The nodes that may vouch for clients.

    Attributes:
        ids: the ids of nodes by the names under which roles know them.
        trusts_names: whether every other node of the group may vouch, too, under the name that it tells.
    """

    ids: Mapping[str, str] = field(default_factory=dict)
    trusts_names: bool = False

    def name_of(self, node_id: str, told_name: str) -> str | None:
        """Return the name under which roles know a node; ``None`` if it may not vouch.

        Parameters:
            node_id: its id.
            told_name: the name that it tells. Nobody else can have one that the settings give to a node.
        """
        for name, each in self.ids.items():
            if each == node_id:
                return name
        return told_name if self.trusts_names and told_name and told_name not in self.ids else None

    def still_vouch(self, principal: Principal) -> bool:
        """Return whether the node that has vouched for somebody may do so now, under the same name."""
        return self.name_of(principal.credential, principal.via) == principal.via


def identify(gateways: Gateways, node_id: str, told_name: str, client: str) -> Principal:
    """Return the principal of a client of another node.

    Parameters:
        gateways: the nodes that may vouch.
        node_id: the id of the node that vouches.
        told_name: the name that this node tells.
        client: the name of the client there.

    Raises:
        PermissionDenied: the node may not vouch. The message names the setting.
        InvalidParams: the name of the client cannot be used.
    """
    gateway = gateways.name_of(node_id, told_name)
    if gateway is None:
        where = printable(told_name, 60)
        raise PermissionDenied(
            f"this node takes no clients from the node {where} ({node_id}): have its operator name it in "
            f'group.gateways, such as gateways = {{ "{where}" = "{node_id}" }}, or set group.trust_gateway_names',
            executed="no",
        )
    if not client or len(client) > NAME_CHARACTERS or not client.isprintable():
        raise InvalidParams(f"principal: must have 1 to {NAME_CHARACTERS} characters that can be printed")
    return Principal(f"{client}{VIA}{gateway}", METHOD, credential=node_id, via=gateway)
