"""Reads the host, and the container or hypervisor around it."""

from __future__ import annotations

import platform
import socket
import time

import psutil

from rpcservices.hardware.models import Host

from .places import HERE, Places, text
from .plain import plain
from .reasons import Reasons


def host(places: Places = HERE) -> Host:
    """The machine and its system."""
    reasons = Reasons()
    names = platform.uname()
    booted_at = psutil.boot_time()
    distribution = reasons.attempt("distribution", lambda: platform.freedesktop_os_release().get("PRETTY_NAME"))
    reasons.note(distribution, "distribution", "absent: the system does not say")
    vendor, model = maker(places)
    reasons.note(vendor, "hardware_vendor", "absent: the firmware does not say")
    reasons.note(model, "hardware_model", "absent: the firmware does not say")
    around = virtualization(places)
    reasons.note(around, "virtualization", "absent: the system shows none")
    return Host(
        hostname=plain(socket.gethostname()),
        system=names.system,
        release=plain(names.release),
        version=plain(names.version),
        machine=names.machine,
        distribution=distribution,
        python=platform.python_version(),
        boot_time=booted_at,
        uptime_s=max(time.time() - booted_at, 0.0),
        virtualization=around,
        hardware_vendor=vendor,
        hardware_model=model,
        reasons=reasons,
    )


def maker(places: Places) -> tuple[str | None, str | None]:
    """The maker and the model of the machine: from DMI, else from the device tree."""
    dmi = places.sys / "class" / "dmi" / "id"
    vendor, model = text(dmi / "sys_vendor"), text(dmi / "product_name")
    if model is None:
        model = text(places.proc / "device-tree" / "model")
    return vendor, model


_BY_DMI = {
    "qemu": "qemu",
    "kvm": "kvm",
    "vmware": "vmware",
    "innotek": "oracle",
    "oracle corporation": "oracle",
    "xen": "xen",
    "bochs": "bochs",
    "parallels": "parallels",
    "amazon ec2": "amazon",
    "google": "google",
}


def virtualization(places: Places) -> str | None:
    """The container or hypervisor around the system, in systemd-detect-virt's words; ``None`` where there is no sign of
    one."""
    container = text(places.run / "systemd" / "container")
    if container is not None:
        return container
    if (places.run.parent / ".dockerenv").exists():
        return "docker"
    if (places.run / ".containerenv").exists():
        return "podman"
    hypervisor = text(places.sys / "hypervisor" / "type")
    if hypervisor is not None:
        return hypervisor
    dmi = places.sys / "class" / "dmi" / "id"
    for file in ("product_name", "sys_vendor", "board_vendor", "bios_vendor"):
        vendor = (text(dmi / file) or "").lower()
        for sign, name in _BY_DMI.items():
            if vendor.startswith(sign):
                return name
    if (text(dmi / "sys_vendor"), text(dmi / "product_name")) == ("Microsoft Corporation", "Virtual Machine"):
        return "microsoft"
    for line in (text(places.proc / "cpuinfo") or "").splitlines():
        if line.startswith("flags") and " hypervisor" in line:
            return "vm-other"
    return None
