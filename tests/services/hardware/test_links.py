"""What network interfaces are, and that what goes through several of them is counted once.

The interfaces are real ones, in network namespaces of their own. Those that this machine's kernel cannot make, and
hardware, are links as rtnetlink(7) and Documentation/ABI/testing/sysfs-class-net have them.
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rpcclient import AsyncClient
from rpcclient.cli.figures import size
from rpcclient.cli.top_screen import draw
from rpcclient.cli.top_state import TopState
from rpcclient.stubs.hardware import Snapshot
from rpcservices.hardware.readers import linktable, network
from rpcservices.hardware.readers.links import Link, roles
from rpcservices.hardware.readers.linktable import LinkTable, link_of, messages, of_kernel, of_sysfs
from rpcservices.hardware.readers.network import NetworkReading
from rpcservices.hardware.readers.places import Places
from rpcservices.hardware.readers.reasons import Reasons

from .conftest import expand

Missing = Callable[[str], NoReturn]
LOOK = Path(__file__).parent / "look.py"

SEND = """
import socket, sys, time
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            for _ in range(10):
                sock.sendto(bytes(1400), (sys.argv[1], 9))
        except OSError:  # The other end is not up yet.
            pass
        time.sleep(0.001)
"""

BEGIN = """
    other() { nsenter --net="/proc/$OTHER/ns/net" "$@"; }
    unshare --net sleep 60 >&- 2>&- & OTHER=$!
    trap 'kill $OTHER ${SENDER:-}' EXIT
    until [ "$(readlink /proc/$OTHER/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do :; done
    send() { nsenter --net="/proc/$OTHER/ns/net" "$PYTHON" -c "$SEND" "$1" > /dev/null 2>&1 & SENDER=$!; }
"""


def scene(missing: Missing, script: str) -> list[str]:
    """The lines that a script writes in namespaces of its own for network and mounts, where ``other`` runs a command in
    a further one, and ``send ADDRESS`` sends from there."""
    done = subprocess.run(
        ["unshare", "--net", "--mount", "bash", "-euc", BEGIN + script, "bash", LOOK],
        capture_output=True,
        text=True,
        timeout=100,
        env={**os.environ, "PYTHON": os.sys.executable, "SEND": SEND},  # type: ignore[attr-defined]
    )
    if done.returncode:
        signs = ("not permitted", "Unknown device type", "not supported")
        for line in done.stderr.splitlines():
            if any(sign in line for sign in signs):
                # No package can help: the kernel has been built without it, or lends no namespaces.
                pytest.skip(f"the kernel makes no such interfaces here: {line}")
        pytest.fail(done.stderr)
    return done.stdout.splitlines()


def interfaces(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in found["network"]["interfaces"]}


BRIDGE = """
    ip link set lo up
    ip link add v0 type veth peer name v1
    ip link set v1 netns $OTHER
    ip link add br0 type bridge
    ip link set v0 master br0
    ip addr add 10.9.0.1/24 dev br0
    ip link set v0 up; ip link set br0 up
    other ip addr add 10.9.0.2/24 dev v1; other ip link set v1 up
    send 10.9.0.1
"""


def test_traffic_of_a_veth_in_a_bridge_counts_once(missing: Missing) -> None:
    (line,) = scene(missing, BRIDGE + '"$PYTHON" "$1" --interval 1 network')
    answer = json.loads(line)
    found, total = interfaces(answer["second"]), answer["second"]["network"]["total"]
    assert {name: (each["kind"], each["lies_on"], each["counted"]) for name, each in found.items()} == {
        "lo": ("loopback", [], "no"), "v0": ("veth", [], "total"), "br0": ("bridge", ["v0"], "no"),
    }  # fmt: skip
    # Both see all of it, and the bridge without Ethernet's headers.
    assert found["br0"]["bytes_recv_per_s"] > 0.8 * found["v0"]["bytes_recv_per_s"] > 10_000
    for field in ("bytes_recv_per_s", "packets_recv_per_s", "bytes_sent_per_s"):
        assert total[field] == found["v0"][field]
    assert answer["second"]["network"]["inside"]["bytes_recv_per_s"] == 0.0
    assert answer["sample"]["values"]["network.total.bytes_recv_per_s"] > 10_000
    assert "\nhardware_network_total_bytes_recv_per_s " in answer["page"]
    assert 'hardware_network_interfaces_bytes_recv_total{of="v0",kind="veth"} ' in answer["page"]
    state = TopState()
    state.add_sample(Snapshot.model_validate(answer["second"]))
    (shown,) = [line.plain for line in draw(state, 120, 30) if line.plain.startswith("net ")]
    assert f"↓ {size(found['v0']['bytes_recv_per_s'], '/s'):>12}" in shown


def test_what_lies_on_others(missing: Missing) -> None:
    script = (
        BRIDGE
        + """
    ip link add mac0 link v0 type macvlan 2>/dev/null || ip link add mac0 link br0 type macvlan
    ip link add vx0 type vxlan id 5 dstport 4789 dev br0
    ip link add ifbx type ifb
    ip tuntap add dev tun0 mode tun
    ip tuntap add dev tap0 mode tap
    ip link add br1 type bridge
    mount -t sysfs sysfs /sys
    "$PYTHON" "$1" network
    """
    )
    (line,) = scene(missing, script)
    found = interfaces(json.loads(line)["first"])
    kinds = {name: (each["kind"], each["counted"]) for name, each in found.items()}
    assert kinds == {
        "lo": ("loopback", "no"), "v0": ("veth", "total"), "br0": ("bridge", "no"), "mac0": ("macvlan", "no"),
        "vx0": ("tunnel", "no"), "ifbx": ("virtual", "no"), "tun0": ("tun", "no"),
        "tap0": ("tun", "total"), "br1": ("bridge", "no"),
    }  # fmt: skip
    assert found["mac0"]["lies_on"] in (["v0"], ["br0"])


@pytest.mark.parametrize(
    ("made", "kind", "lies_on"),
    [
        ("ip link add x0 link v0 type vlan id 5", "vlan", ["v0"]),
        (
            "ip link add x0 type bond; ip link set v0 down; ip link set v0 nomaster; ip link set v0 master x0",
            "bond",
            ["v0"],
        ),
        ("ip link add x0 link v0 type ipvlan", "macvlan", ["v0"]),
        ("ip link add x0 type dummy", "virtual", []),
        ("ip link add x0 type wireguard", "tunnel", []),
        ("ip link add x0 type geneve id 5 remote 10.9.0.2", "tunnel", []),
        ("ip link add x0 type ipip local 10.9.0.1 remote 10.9.0.2", "tunnel", []),
        ("ip link add x0 type gre local 10.9.0.1 remote 10.9.0.2", "tunnel", []),
    ],
    ids=lambda value: value.split(" type ")[-1].split(";")[0].split()[0] if isinstance(value, str) else "",
)
def test_others_that_the_kernel_may_have(missing: Missing, made: str, kind: str, lies_on: list[str]) -> None:
    (line,) = scene(missing, BRIDGE + made + '\n"$PYTHON" "$1" network')
    each = interfaces(json.loads(line)["first"])["x0"]
    assert (each["kind"], each["lies_on"], each["counted"]) == (kind, lies_on, "no")


def test_a_container_within_a_container(missing: Missing) -> None:
    """What leads out is what is no part of a bridge; the rest is inside, since the system forwards it."""
    script = """
    unshare --net sleep 60 >&- 2>&- & INNER=$!
    trap 'kill $OTHER $INNER ${SENDER:-}' EXIT
    until [ "$(readlink /proc/$INNER/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do :; done
    ip link add eth0 type veth peer name v1; ip link set v1 netns $OTHER
    ip addr add 10.9.0.1/24 dev eth0; ip link set eth0 up
    other ip addr add 10.9.0.2/24 dev v1; other ip link set v1 up
    ip link add docker0 type bridge; ip addr add 10.8.0.1/24 dev docker0; ip link set docker0 up
    ip link add vethx type veth peer name c1; ip link set c1 netns $INNER
    ip link set vethx master docker0; ip link set vethx up
    nsenter --net=/proc/$INNER/ns/net ip addr add 10.8.0.2/24 dev c1
    nsenter --net=/proc/$INNER/ns/net ip link set c1 up
    "$PYTHON" "$1" network
    echo 1 > /proc/sys/net/ipv4/ip_forward
    other ip route add 10.8.0.0/24 via 10.9.0.1
    send 10.8.0.2
    "$PYTHON" "$1" --interval 1 network
    """
    still, forwarding = (json.loads(line) for line in scene(missing, script))
    assert interfaces(still["first"])["vethx"]["counted"] == "total"
    found, seen = interfaces(forwarding["second"]), forwarding["second"]["network"]
    assert {name: each["counted"] for name, each in found.items()} == {
        "lo": "no", "eth0": "total", "docker0": "no", "vethx": "inside",
    }  # fmt: skip
    assert seen["total"]["bytes_recv_per_s"] == found["eth0"]["bytes_recv_per_s"] > 10_000
    assert seen["total"]["bytes_sent_per_s"] == found["eth0"]["bytes_sent_per_s"]
    assert seen["inside"]["bytes_sent_per_s"] == found["vethx"]["bytes_sent_per_s"] > 10_000
    state = TopState()
    state.add_sample(Snapshot.model_validate(forwarding["second"]))
    assert [line.plain[:4] for line in draw(state, 120, 30)].count("virt") == 1


def test_a_pair_within_one_namespace(missing: Missing) -> None:
    (line,) = scene(missing, 'ip link add name a type veth peer name b\n"$PYTHON" "$1" network')
    found = interfaces(json.loads(line)["first"])
    assert {name: (each["kind"], each["counted"], each["lies_on"]) for name, each in found.items()} == {
        "lo": ("loopback", "no", []), "a": ("veth", "total", []), "b": ("veth", "total", []),
    }  # fmt: skip


def test_sysfs_says_the_same(missing: Missing) -> None:
    """Where the kernel's socket is closed to the server; it has no words for what is virtual, but for those."""
    script = (
        BRIDGE
        + """
    ip tuntap add dev tun0 mode tun; ip tuntap add dev tap0 mode tap
    ip link add vx0 type vxlan id 5 dstport 4789 dev br0
    ip link add mac0 link br0 type macvlan
    ip link add ifbx type ifb
    mount -t sysfs sysfs /sys
    "$PYTHON" - <<'END'
import dataclasses, json, sys
sys.path[:0] = ROOTS
from rpcservices.hardware.readers.linktable import of_kernel, of_sysfs
for links in (of_kernel(), of_sysfs()):
    print(json.dumps(sorted((dataclasses.asdict(link) | {"kind": link.kind} for link in links), key=lambda each: each["name"])))
END
    """
    )
    roots = [str(LOOK.parents[3]), str(LOOK.parents[3] / "services")]
    kernel, sysfs = (json.loads(line) for line in scene(missing, script.replace("ROOTS", repr(roots))))
    assert len(kernel) == 8
    for ours, theirs in zip(kernel, sysfs, strict=True):
        for field in ("index", "name", "kind", "hardware", "below", "elsewhere", "master"):
            assert ours[field] == theirs[field], (field, ours["name"])


def test_changes_are_seen_at_once() -> None:
    table = LinkTable()
    name = f"rpclink{os.getpid() % 10_000}"
    assert name not in table.roles()
    assert table.roles() is table.roles()  # Nothing is read without a change, unless others make some meanwhile.
    made = subprocess.run(["ip", "link", "add", name, "type", "bridge"], capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"no network interface can be made here: {made.stderr.strip()}")
    try:
        assert table.known_roles() is None
        assert table.roles()[name].kind == "bridge"
        assert name in (table.known_roles() or table.roles())
    finally:
        subprocess.run(["ip", "link", "del", name], check=True)
    assert name not in table.roles()


def test_this_machine(serve: Callable[..., None]) -> None:
    async def scenario(client: AsyncClient) -> None:
        found = {each.name: each for each in (await client.hardware.network()).interfaces}
        assert found["lo"].kind == "loopback"
        for name, each in found.items():
            if (Path("/sys/class/net") / name / "device").exists():
                assert each.kind in ("ethernet", "wifi", "mobile", "infiniband", "other")
                assert each.counted == "total"

    serve(scenario)


# Links of other machines.

LO = Link(1, "lo", 772, 0x9)


def counted(*links: Link, forwards: bool = False) -> dict[str, str]:
    reading = NetworkReading({}, {}, {}, Reasons(), roles([LO, *links]), forwards)
    return {link.name: network._counted_in(link.name, reading) for link in links}


def test_a_bond_with_vlans_and_a_bridge_on_top() -> None:
    links = [
        Link(2, "eno1", master=4), Link(3, "eno2", master=4), Link(4, "bond0", word="bond"),
        Link(5, "bond0.7", word="vlan", below=4, master=6), Link(6, "br7", word="bridge"),
        Link(7, "vnet0", word="tun", master=6), Link(8, "vnet1", word="tun", master=9), Link(9, "virbr0", word="bridge"),
    ]  # fmt: skip
    assert counted(*links) == {
        "eno1": "total", "eno2": "total", "bond0": "no", "bond0.7": "no", "br7": "no",
        "vnet0": "inside",  # By its bridge it is joined with the hardware.
        "vnet1": "total", "virbr0": "no",  # What goes through these goes nowhere else.
    }  # fmt: skip
    assert counted(*links, forwards=True)["vnet1"] == "inside"
    found = roles(links)
    assert (found["bond0"].lies_on, found["bond0.7"].lies_on) == (("eno1", "eno2"), ("bond0",))
    assert found["br7"].lies_on == ("bond0.7", "vnet0")


def test_ways_that_are_one_interface() -> None:
    """Hyper-V's synthetic interface has the fast way as its part, and counts for both; so has virtio's failover."""
    links = [Link(2, "eth0"), Link(3, "enP1s1", master=2)]
    assert counted(*links) == {"eth0": "total", "enP1s1": "no"}


def test_ports_of_a_switch_within_the_machine() -> None:
    """DSA, as in home routers: all that concerns the system goes through the interface that leads to the switch."""
    links = [Link(2, "eth0"), Link(3, "lan1", word="dsa", below=2, master=5), Link(4, "lan2", below=2, master=5)]
    assert counted(*links, Link(5, "br-lan", word="bridge")) == {
        "eth0": "total", "lan1": "no", "lan2": "no", "br-lan": "no",
    }  # fmt: skip


def test_containers_without_hardware() -> None:
    assert counted(Link(5, "eth0", word="veth", below=9, elsewhere=True)) == {"eth0": "total"}
    assert counted(Link(5, "eth0", word="macvlan", below=2, elsewhere=True)) == {"eth0": "total"}
    assert counted(Link(5, "tap0", word="tun")) == {"tap0": "total"}  # Rootless, by slirp4netns.
    assert counted(Link(5, "wg0", 65534, word="wireguard")) == {"wg0": "total"}
    vpn = [Link(5, "eth0", word="veth", below=9, elsewhere=True), Link(6, "wg0", 65534, word="wireguard")]
    assert counted(*vpn, Link(7, "tun0", 65534, word="tun")) == {"eth0": "total", "wg0": "no", "tun0": "no"}
    # A virtual machine in a pod: the pod's end is a part of a bridge, too.
    pod = [Link(5, "net1", word="veth", below=9, elsewhere=True, master=7), Link(6, "tap0", word="tun", master=7)]
    assert counted(*pod, Link(7, "k6t", word="bridge")) == {"net1": "total", "tap0": "inside", "k6t": "no"}


def test_bridges_that_are_joined_by_a_pair() -> None:
    """As OpenStack has them: a tap in a bridge of its own, which a pair joins to the one with the hardware."""
    links = [
        Link(2, "eth0", master=3), Link(3, "br-ex", word="bridge"), Link(4, "tap1", word="tun", master=5),
        Link(5, "qbr1", word="bridge"), Link(6, "qvb1", word="veth", below=7, master=5),
        Link(7, "qvo1", word="veth", below=6, master=3),
    ]  # fmt: skip
    assert counted(*links) == {
        "eth0": "total", "br-ex": "no", "tap1": "inside", "qbr1": "no", "qvb1": "inside", "qvo1": "inside",
    }  # fmt: skip


def test_radios_and_others() -> None:
    links = [
        Link(2, "wlan0", wireless=True),
        Link(3, "ib0", 32),
        Link(4, "wwan0", 519, word="wwan"),
        Link(5, "usb0", 519),
    ]
    assert [link.kind for link in links] == ["wifi", "infiniband", "mobile", "other"]
    assert set(counted(*links).values()) == {"total"}
    assert [Link(1, "x", kind).kind for kind in (512, 768, 776, 778, 801)] == ["tunnel"] * 4 + ["wifi"]
    assert Link(1, "x", word="something-new").kind == "virtual"


def attribute(kind: int, body: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(body), kind) + body + bytes(-len(body) % 4)


def newlink(index: int, name: str, word: str, below: int = 0, master: int = 0) -> bytes:
    """A message RTM_NEWLINK, as rtnetlink(7) has it."""
    body = struct.pack("=BxHiII", 0, 1, index, 0x1043, 0) + attribute(3, name.encode() + b"\0")
    body += attribute(5, struct.pack("=I", below)) if below else b""
    body += attribute(10, struct.pack("=I", master)) if master else b""
    body += attribute(18 | 0x8000, attribute(1, word.encode() + b"\0")) if word else b""
    return struct.pack("=IHHII", 16 + len(body), 16, 2, 1, 0) + body


def test_the_kernels_messages() -> None:
    data = newlink(4, "bond0", "bond") + newlink(5, "bond0.7", "vlan", below=4) + newlink(2, "eno1", "", master=4)
    found = [link_of(body) for kind, _, body in messages(data) if kind == 16]
    assert [(link.name, link.kind, link.below, link.master) for link in found if link is not None] == [
        ("bond0", "bond", 0, 0), ("bond0.7", "vlan", 4, 0), ("eno1", "ethernet", 0, 4),
    ]  # fmt: skip


@given(st.binary(max_size=200))
def test_any_message(data: bytes) -> None:
    for _, _, body in messages(data):
        link_of(body)
    link_of(data)


@given(st.lists(st.builds(
    Link, st.integers(1, 6), st.sampled_from("abcdef"), st.sampled_from([1, 772, 65534]), st.sampled_from([0, 9]),
    st.sampled_from(["", "veth", "bridge", "vlan", "tun", "wireguard"]), st.integers(0, 6), st.booleans(),
    st.integers(0, 6),
), max_size=6))  # fmt: skip
def test_any_links_have_roles(links: list[Link]) -> None:
    """Also in circles, which the kernel allows for a moment while they change."""
    for role in roles(links).values():
        assert not (role.outer and role.inner)


SYSFS = """
@ /sys/devices/pci0000:00/net/eno1
ifindex: 2
iflink: 2
type: 1
flags: 0x1003
uevent: INTERFACE=eno1
master -> /sys/devices/virtual/net/bond0
device -> /sys/devices/pci0000:00
@ /sys/devices/pci0000:01/net/wlp3s0
ifindex: 3
iflink: 3
type: 1
flags: 0x1003
uevent: DEVTYPE=wlan
device -> /sys/devices/pci0000:01
phy80211 -> /sys/devices/pci0000:01
@ /sys/devices/virtual/net/bond0
ifindex: 4
iflink: 4
type: 1
flags: 0x1003
uevent: DEVTYPE=bond
@ /sys/devices/virtual/net/bond0/bonding
slaves: eno1
@ /sys/devices/virtual/net/bond0.7
ifindex: 5
iflink: 4
type: 1
flags: 0x1003
uevent: DEVTYPE=vlan
@ /sys/devices/virtual/net/wg0
ifindex: 6
iflink: 6
type: 65534
flags: 0x1003
uevent: DEVTYPE=wireguard
@ /sys/devices/virtual/net/dummy0
ifindex: 7
iflink: 7
type: 1
flags: 0x1003
uevent: INTERFACE=dummy0
@ /sys/class/net
eno1 -> /sys/devices/pci0000:00/net/eno1
wlp3s0 -> /sys/devices/pci0000:01/net/wlp3s0
bond0 -> /sys/devices/virtual/net/bond0
bond0.7 -> /sys/devices/virtual/net/bond0.7
wg0 -> /sys/devices/virtual/net/wg0
dummy0 -> /sys/devices/virtual/net/dummy0
bonding_masters: bond0
"""


def test_sysfs_of_other_machines(tmp_path: Path) -> None:
    expand(tmp_path, SYSFS)
    links = of_sysfs(Places.under(tmp_path))
    assert {link.name: link.kind for link in links} == {
        "eno1": "ethernet", "wlp3s0": "wifi", "bond0": "bond", "bond0.7": "vlan", "wg0": "tunnel", "dummy0": "virtual",
    }  # fmt: skip
    assert {name for name, of in counted(*links).items() if of == "total"} == {"eno1", "wlp3s0"}
    assert roles(links)["bond0.7"].lies_on == ("bond0",)


def test_where_the_kernels_socket_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As by systemd's RestrictAddressFamilies."""

    def closed(*_: object) -> NoReturn:
        raise OSError(97, "Address family not supported by protocol")

    table = LinkTable()
    monkeypatch.setattr(linktable.socket, "socket", closed)
    assert table.roles()["lo"].kind == "loopback"
    with pytest.raises(OSError, match="not supported"):
        of_kernel()


def names(of: Iterable[Link]) -> set[str]:
    return {link.name for link in of}


def test_both_list_what_proc_lists() -> None:
    listed = {line.partition(":")[0].strip() for line in Path("/proc/net/dev").read_text().splitlines()[2:]}
    assert len(listed & names(of_kernel())) >= 1
    assert "lo" in names(of_kernel()) & names(of_sysfs())


# States and addresses.


def test_states_and_addresses_are_read_again_after_a_change_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel reports changes of interfaces and of their addresses. Speeds change without, so they get old."""
    reads: list[str] = []
    moment = 100.0

    def states() -> dict[str, Any]:
        reads.append("states")
        return {"lo": len(reads)}

    monkeypatch.setattr(network.psutil, "net_if_stats", states)
    monkeypatch.setattr(network.time, "monotonic", lambda: moment)
    description, reasons = network._Description(), Reasons()
    assert description.now(1, reasons)[0] == {"lo": 1}
    assert description.now(1, reasons)[0] == {"lo": 1}
    assert description.now(2, reasons)[0] == {"lo": 2}
    moment += network._STATES_S
    assert description.now(2, reasons)[0] == {"lo": 3}
    assert description.now(None, reasons)[0] == {"lo": 4}
    assert description.now(None, reasons)[0] == {"lo": 5}
    assert "lo" in description.now(2, reasons)[1]
    assert reasons == {}


def test_what_could_not_be_read_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> NoReturn:
        raise PermissionError

    description = network._Description()
    with monkeypatch.context() as patched:
        patched.setattr(network.psutil, "net_if_addrs", fails)
        for _ in range(2):
            reasons = Reasons()
            assert description.now(1, reasons)[1] == {}
            assert reasons["addresses"].startswith("denied")
    reasons = Reasons()
    assert "lo" in description.now(1, reasons)[1]
    assert reasons == {}


def test_changes_are_counted() -> None:
    table = LinkTable()
    assert table.changes is None
    table.roles()
    before = table.changes
    assert before is not None
    name = f"rpcaddr{os.getpid() % 10_000}"
    made = subprocess.run(["ip", "link", "add", name, "type", "bridge"], capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"no network interface can be made here: {made.stderr.strip()}")
    try:
        table.roles()
        made_at = table.changes
        assert made_at is not None
        assert made_at > before
        subprocess.run(["ip", "address", "add", "192.0.2.77/32", "dev", name], check=True)
        table.roles()
        assert table.changes is not None
        assert table.changes > made_at
    finally:
        subprocess.run(["ip", "link", "del", name], check=True)
