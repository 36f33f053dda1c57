"""Decides whether a token may be sent to what is at the other end of a socket, and whether that may call services of
the client: such calls tell a program what to do, so that it matters as much who may make them.

A token leaves only over TLS that verifies the server, or to a listener of which the kernel says that it belongs to the
user who runs this process, or to root. Whoever else listens on a port of this machine, or has put a Unix socket into an
open folder, gets nothing. What a plugin's transport has connected is trusted: the transport vouches for the other end.

Linux names the owner of a TCP socket of this machine (sock_diag(7), or ``/proc/net/tcp`` where a sandbox lacks that).
It knows the sockets of this network namespace only: behind a port that is forwarded into a container by address
translation it finds none. Other systems do not name the owner at all."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import struct
import sys
from pathlib import Path

from rpcwire.errors import ConnectFailed
from rpcwire.trusted_files import UntrustedFile, check_folder

from .targets import Target

_ALLOW = "allow_token_in_clear=True sends it all the same"
_UNIX_REMEDY = "connect to a server of your own"
_OVERFLOW_UID = 65534
"""What the kernel shows in place of users that this user namespace does not have (user_namespaces(7))."""
_ALL_USERS = 2**32 - 1

# From <linux/inet_diag.h>, <linux/sock_diag.h> and <linux/netlink.h>.
_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_NLM_F_REQUEST = 1
_NLMSG_ERROR = 2
_HEADER = struct.Struct("=IHHII")  # Length, type, flags, sequence, port.
_ADDRESSES = struct.Struct("!HH16s16s")  # Source and destination port, source and destination address.
_REPLY_START = struct.Struct("=BBBB")  # Family, state, timer, retransmissions.
_REPLY_END = struct.Struct("=IIIII")  # Expiry, both queues, user, inode.
_NO_COOKIE = 0xFFFFFFFF

_WILDCARDS = ("0.0.0.0", "::")  # noqa: S104 - found in a table, and not bound

Place = tuple[str, int]
"""An address and a port."""


def check_way(target: Target) -> None:
    """Refuse to send a token through a proxy in clear: the proxy sees it, and so may everybody behind it.

    Parameters:
        target: the server.

    Raises:
        ConnectFailed: the token would be in clear.
    """
    if target.proxy is not None and target.secret is not None and not _may_leave(target):
        remedy = "let ssl_context verify it" if target.tls is not None else "write wss://"
        raise _refusal(
            target, f"the proxy {target.proxy} and whoever is behind it could read {target.secret}: {remedy}"
        )


def check_listener(sock: socket.socket, target: Target) -> None:
    """Refuse to send a token to a listener who may be somebody else. Call this before anything is sent.

    Parameters:
        sock: a socket that is connected to the server, without a proxy.
        target: the server.

    Raises:
        ConnectFailed: the token would be in clear, or somebody else would get it.
        OSError: the connection has ended.
    """
    if target.secret is None and not target.is_own_place:
        return
    if target.connect is not None or _may_leave(target):
        return
    if target.unix_path is not None:
        _check_unix(sock, target, target.unix_path)
    else:
        _check_tcp(sock, target)


def check_open_way(target: Target) -> None:
    """Refuse to offer a service over an open connection if nobody has looked who is at its other end, because there was
    nothing to protect when it was made.

    Parameters:
        target: the server.

    Raises:
        ConnectFailed: the other end may be somebody else.
    """
    if target.secret is not None or target.is_own_place or target.connect is not None or _may_leave(target):
        return
    if target.unix_path is None:
        raise _refusal(target, "whoever is there could call this service: offer it before connecting (services=)")
    try:
        check_folder(Path(target.unix_path).parent)
        owner = os.lstat(target.unix_path).st_uid
    except (UntrustedFile, OSError) as exc:
        raise _refusal(target, f"whoever listens there could call this service: {exc}") from None
    if not _is_trusted(owner):
        raise _refusal(target, f"user {owner} listens on this socket, and could call this service: {_UNIX_REMEDY}")


def _may_leave(target: Target) -> bool:
    return target.allow_token_in_clear or target.is_verified


def _check_unix(sock: socket.socket, target: Target, path: str) -> None:
    try:
        check_folder(Path(path).parent)
    except UntrustedFile as exc:
        raise _refusal(target, f"others could put a socket of theirs into the folder: {exc}") from None
    owner = unix_owner(sock, path)
    if not _is_trusted(owner):
        raise _refusal(
            target, f"user {owner} listens on this socket, and would get {target.secret or 'the calls'}: {_UNIX_REMEDY}"
        )


def _check_tcp(sock: socket.socket, target: Target) -> None:
    near, far = sock.getsockname(), sock.getpeername()
    if not _is_here(near[0], far[0]):
        if target.tls is not None:
            text = f"ssl_context does not verify the server, so that anybody could take {target.secret}: let it check"
            raise _refusal(target, f"{text} certificate and name, or give ca_file instead")
        raise _refusal(target, f"{target.secret} would cross the network in clear: write wss://, or use an SSH tunnel")
    owner = tcp_owner(sock)
    if owner is None:
        raise _refusal(
            target, f"the system does not tell who listens there and would get {target.secret}: use unix:// or wss://"
        )
    if not _is_trusted(owner):
        raise _refusal(target, f"user {owner} listens there, and would get {target.secret}: use wss://")


def _refusal(target: Target, text: str) -> ConnectFailed:
    return ConnectFailed(f"{target.url}: {text}; {_ALLOW}", retryable=False)


def _is_here(near: str, far: str) -> bool:
    """Whether the other end of a connection is on this machine."""
    address = ipaddress.ip_address(far)
    return near == far or (getattr(address, "ipv4_mapped", None) or address).is_loopback


def _is_trusted(uid: int) -> bool:
    """Whether a user is the one who runs this process, or root."""
    if uid == _OVERFLOW_UID and not _sees_all_users():
        return False
    return uid in (0, os.geteuid())


def _sees_all_users() -> bool:
    try:
        lines = Path("/proc/self/uid_map").read_text(encoding="ascii").splitlines()
    except OSError:
        return True  # A system without user namespaces.
    return sum(int(line.split()[2]) for line in lines) >= _ALL_USERS


# --- who listens ------------------------------------------------------------------------------------------------


def unix_owner(sock: socket.socket, path: str) -> int:
    """Return the user who listens on a Unix socket.

    Parameters:
        sock: a socket that is connected to it.
        path: its path. Where the kernel does not name the listener, the owner of the file is the one: nobody else can
            put a file of this user, or of root, into a trusted folder.

    Raises:
        OSError: the socket is gone.
    """
    if hasattr(socket, "SO_PEERCRED"):
        credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        uid: int = struct.unpack("iIi", credentials)[1]
        return uid
    return os.lstat(path).st_uid


def tcp_owner(sock: socket.socket) -> int | None:
    """Return the user at the other end of a TCP connection within this machine.

    Before the other side has accepted the connection, that is who listens on its port: if the listener is closed, the
    connection ends, too. Later it is who has accepted it: somebody else may listen on the port by then.

    Parameters:
        sock: the connection.

    Returns:
        The user's number; ``None`` if the system does not tell.

    Raises:
        OSError: the connection has ended.
    """
    if sys.platform != "linux":
        return None
    near, far = sock.getsockname(), sock.getpeername()
    here, there = (near[0].partition("%")[0], near[1]), (far[0].partition("%")[0], far[1])
    interface = far[3] if sock.family == socket.AF_INET6 else 0
    for find in (_ask_kernel, _read_table):
        owner, inode = find(sock.family, there, here, interface) or (0, 0)
        if inode:
            return owner
        listener = find(sock.family, there, (here[0], 0), interface)
        if listener is not None:
            return listener[0]
    return None


def _ask_kernel(family: int, source: Place, destination: Place, interface: int) -> tuple[int, int] | None:
    """Ask for a socket by its addresses; for one that listens, where the port of the destination is 0.

    Parameters:
        family: ``AF_INET`` or ``AF_INET6``.
        source: the address of the socket.
        destination: the address of its other end.
        interface: the number of the network interface of a link-local address; 0 for others.

    Returns:
        Its user and its inode, which is 0 until it is accepted; ``None`` if the kernel does not tell.
    """
    addresses = _ADDRESSES.pack(source[1], destination[1], *(_pack(family, p[0]) for p in (source, destination)))
    request = struct.pack("=BBBBI", family, socket.IPPROTO_TCP, 0, 0, _NO_COOKIE) + addresses
    request += struct.pack("=III", interface, _NO_COOKIE, _NO_COOKIE)
    header = _HEADER.pack(_HEADER.size + len(request), _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, 1, 0)
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG) as kernel:
            kernel.send(header + request)
            reply = kernel.recv(8192, socket.MSG_DONTWAIT)  # It is there already.
    except OSError:
        return None  # A sandbox forbids it, or lacks it.
    start = _HEADER.size + _REPLY_START.size
    end = start + _ADDRESSES.size + 12
    if len(reply) < end + _REPLY_END.size or _HEADER.unpack_from(reply)[1] == _NLMSG_ERROR:
        return None
    if _ADDRESSES.unpack_from(reply, start)[0] != source[1]:
        return None
    *_, uid, inode = _REPLY_END.unpack_from(reply, end)
    return uid, inode


def _pack(family: int, address: str) -> bytes:
    return socket.inet_pton(family, address).ljust(16, b"\0")


def _read_table(family: int, source: Place, destination: Place, interface: int) -> tuple[int, int] | None:  # noqa: ARG001 - as of _ask_kernel
    """Look for a socket in ``/proc/net/tcp`` and ``/proc/net/tcp6`` (proc_net(5)): parameters as of
    :func:`_ask_kernel`. If several listen there, their owners must all be the same."""
    is_listener = destination[1] == 0
    sources, owners = _spellings(source[0], wildcards=is_listener), set[tuple[int, int]]()
    others = _WILDCARDS if is_listener else _spellings(destination[0])
    for name, length in (("tcp", 4), ("tcp6", 16)):
        try:
            table = Path("/proc/net", name).read_bytes()
        except OSError as exc:
            if exc.errno in (errno.ENOENT, errno.EACCES, errno.EPERM):
                continue
            raise
        pairs = [
            (_hexadecimal(mine), _hexadecimal(other)) for mine in sources for other in others
            if len(ipaddress.ip_address(mine).packed) == len(ipaddress.ip_address(other).packed) == length
        ]  # fmt: skip
        for mine, other in pairs:
            row = f" {mine}:{source[1]:04X} {other}:{destination[1]:04X} ".encode()
            at = table.find(row)
            while at >= 0:
                fields = table[at : table.find(b"\n", at)].split()
                owners.add((int(fields[6]), int(fields[8])))
                at = table.find(row, at + 1)
    if len({uid for uid, _ in owners}) != 1:
        return None
    return owners.pop()


def _spellings(address: str, *, wildcards: bool = False) -> list[str]:
    """Return an address as sockets of both families have it; with those of sockets that listen on all addresses."""
    plain = ipaddress.ip_address(address)
    plain = getattr(plain, "ipv4_mapped", None) or plain
    if plain.version == 6:
        return [str(plain), "::"] if wildcards else [str(plain)]
    return [str(plain), f"::ffff:{plain}", *(_WILDCARDS if wildcards else ())]


def _hexadecimal(address: str) -> str:
    octets = ipaddress.ip_address(address).packed
    return "".join(f"{word:08X}" for word in struct.unpack(f"={len(octets) // 4}I", octets))
