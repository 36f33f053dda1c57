"""The settings of the server, each with what a reload does with it. Services say that of their own settings
(:attr:`rpcwire.service.Service.restart_keys`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from pydantic import BaseModel

from rpcserver.config import ServerConfig

Path = tuple[str, ...]
"""The names of a key and of the tables around it."""


class Effect(Enum):
    """When a setting that has changed holds after a reload."""

    AT_ONCE = "at once"
    NEW_CONNECTIONS = "new connections"
    RESTART = "restart"


@dataclass(frozen=True, slots=True)
class Rule:
    """What a reload does with one setting.

    Attributes:
        effect: when the new value holds.
        reason: why it does not hold at once; empty if it does.
    """

    effect: Effect
    reason: str = ""


_AT_ONCE = Rule(Effect.AT_ONCE)
_SOCKETS = Rule(Effect.RESTART, "its sockets are open")
_AGREED = Rule(Effect.NEW_CONNECTIONS, "both sides agree upon it when a connection begins")
_OF_LINK = Rule(Effect.NEW_CONNECTIONS, "a connection keeps it from its beginning")
_AUDIT = Rule(Effect.RESTART, "the audit log begins and ends with the server, so that nothing is missing from it")
_AUDIT_FILES = Rule(Effect.RESTART, "the files are opened, and the end of the log compared with its head, at the start")
_PLUGINS = Rule(Effect.RESTART, "services are loaded at the start, and clients know their methods")
_GROUP = Rule(Effect.RESTART, "the node joins its group when the server starts, and other nodes know it by them")
_WAYS = Rule(Effect.RESTART, "ways to authenticate may keep connections of their own, which only their start opens")

_RULES: Mapping[str, Mapping[Rule, str]] = {
    "": {
        Rule(Effect.RESTART, "the server has locked the folder, and its services write there"): "state_dir",
        _AT_ONCE: "grace_s roles services",
    },
    "listen": {
        _SOCKETS: "host port tcp unix unix_mode unix_group also",
        Rule(Effect.RESTART, "the paths of pages are made at the start"): "path_prefix",
        _AT_ONCE: "allowed_hosts allowed_origins unix_peer_credentials",
        Rule(Effect.NEW_CONNECTIONS, "who a client is behind a proxy is found out once"): (
            "trusted_proxies forwarding_header proxy_protocol"
        ),
    },
    "tls": {
        Rule(Effect.NEW_CONNECTIONS, "TLS shows its certificate when a connection begins"): (
            "certificate_file key_file key_password names minimum_version"
        ),
        _AT_ONCE: "client_ca_file client_crl_file client_certificates",
    },
    "auth": {
        _AT_ONCE: (
            "token_file unix ticket_ttl_s session_ttl_s attempts free_attempts penalty_s delayed_connections "
            "delayed_per_address arriving_connections arriving_per_address unauthenticated_connections "
            "unauthenticated_per_address line_connections line_per_address certificates"
        ),
        _OF_LINK: "timeout_s violations unauthenticated_message_bytes",
        _WAYS: "ways",
    },
    "limits": {
        _AT_ONCE: (
            "connections connections_per_principal connections_per_address reserved_descriptors calls_in_flight "
            "calls_in_flight_per_principal calls_in_flight_total calls_per_s calls_per_s_per_principal "
            "calls_per_s_total streams streams_per_principal streams_total memory_bytes memory_per_principal_bytes "
            "memory_per_connection_bytes threads threads_share"
        ),
        _AGREED: "message_bytes json_message_bytes message_nodes batch_items",
        _OF_LINK: "stream_window outgoing_bytes stall_s violations",
    },
    "keepalive": {_OF_LINK: "ping_interval_s ping_timeout_s"},
    "log": {
        _AT_ONCE: "level",
        Rule(Effect.RESTART, "what writes the log is made at the start"): "form",
    },
    "audit": {
        _AT_ONCE: "levels when_full file_bytes files parameters buffer_bytes sync_s head_s",
        _AUDIT: "enabled",
        _AUDIT_FILES: "folder head_file",
    },
    "metrics": {
        Rule(Effect.RESTART, "calls are counted from the first one on, and the pages are made at the start"): "enabled"
    },
    "opentelemetry": {
        Rule(
            Effect.RESTART, "the SDK is set up at the start, and the server decides then how it handles calls"
        ): "enabled"
    },
    "console": {_AT_ONCE: "enabled public_docs"},
    "plugins": {_PLUGINS: "enabled disabled files", _AT_ONCE: "essential restart"},
    "group": {
        _GROUP: "url name labels addresses credentials_file tls broker",
        _AT_ONCE: "gateways trust_gateway_names",
    },
    "discovery": {Rule(Effect.RESTART, "the server is announced when it starts"): "enabled interfaces"},
}

RULES: Mapping[Path, Rule] = {
    (table, name) if table else (name,): rule
    for table, rules in _RULES.items()
    for rule, names in rules.items()
    for name in names.split()
}
"""The rule of each setting, by its path. A setting that is a table of names, such as ``roles``, has one."""


def list_keys() -> Iterator[Path]:
    """Yield the paths of all settings, as :data:`RULES` must have them, in the order of the configuration file."""
    for name, field in ServerConfig.model_fields.items():
        annotation = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield from ((name, inner) for inner in annotation.model_fields)
        else:
            yield (name,)


def tls_rules(*, is_on: bool, will_be_on: bool) -> Mapping[Path, Rule]:
    """Return the rules that hold in place of those of ``[tls]`` if TLS is turned on or off.

    Parameters:
        is_on: whether the server has TLS.
        will_be_on: whether the new settings want it.
    """
    if is_on == will_be_on:
        return {}
    what = "on" if will_be_on else "off"
    rule = Rule(Effect.RESTART, f"TLS cannot be turned {what} for a port that is open: its address would change")
    return {path: rule for path in RULES if path[0] == "tls"}
