"""The hardware service."""

from __future__ import annotations

from .device_methods import DeviceMethods
from .following_methods import FollowingMethods
from .process_methods import ProcessMethods
from .reading_methods import ReadingMethods
from .serial_methods import SerialMethods


class Hardware(ReadingMethods, FollowingMethods, ProcessMethods, DeviceMethods, SerialMethods):
    """See and use the server's machine: processors, memory, disks, network, sensors, battery, GPUs, processes.

    A value that cannot be read is None, and ``reasons`` beside it says why. Names are psutil's where it has them, with
    the unit added.
    """
