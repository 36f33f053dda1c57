# Generated from rpcclient/aio/hardware.py by `make stubs`. Do not edit: change that, and generate anew.

"""The hardware service for the synchronous client: the generated stub, and serial ports as objects."""

from __future__ import annotations

from rpcclient.programs.results import signal_name
from rpcclient.serial_settings import SerialOptions
from rpcclient.sync.serial.port import RemoteSerial, open_port

from .stubs import hardware as stub


class Hardware(stub.Hardware):
    """See and use the server's machine."""

    def serial(
        self,
        port: str,
        baudrate: int = 9600,
        bytesize: int = 8,
        parity: str = "N",
        stopbits: float = 1,
        timeout: float | None = None,
        xonxoff: bool = False,
        rtscts: bool = False,
        write_timeout: float | None = None,
        dsrdtr: bool = False,
        inter_byte_timeout: float | None = None,
        exclusive: bool | None = None,
    ) -> RemoteSerial:
        """Open a serial port of the server for this client alone.

        Parameters:
            port: its id, file or name, as :meth:`serial_ports` lists it.
            baudrate, bytesize, parity, stopbits, xonxoff, rtscts, dsrdtr: as of ``serial.Serial`` of pyserial.
            timeout: how long a read waits for all the bytes it asks for, in seconds; ``None`` to wait for ever, 0 not
                to wait.
            write_timeout: how long a write waits for the other side to accept bytes, in seconds.
            inter_byte_timeout: how long a read waits for the next byte after it has received one, in seconds.
            exclusive: as of ``serial.Serial``. A port of the server is never shared, even if this is ``False``.

        Returns:
            The open port. Close it, or use it as a context manager.

        Raises:
            HardwareRefused, SectionUnavailable, SerialPortNotFound, SerialPortBusy, SerialPortDenied: as of
                :meth:`open_serial`.
        """
        options = SerialOptions(
            baudrate,
            bytesize,
            parity,
            stopbits,
            timeout,
            xonxoff,
            rtscts,
            write_timeout,
            dsrdtr,
            inter_byte_timeout,
            exclusive,
        )
        return open_port(self, port, options, self._calls.url)

    def signal_process(self, pid: int, create_time: float, signal: str | int = "TERM") -> None:
        """Send a signal to a process. If another process has its number by now, no signal is sent.

        Parameters:
            pid, create_time: the process, as :meth:`processes` lists it.
            signal: its name, such as ``TERM`` or ``SIGHUP``, its number, or a member of :class:`signal.Signals`.

        Raises:
            InvalidParams: there is no such signal.
            ProcessGone: it has ended.
            ProcessDenied: the server's user may not send it, or the caller's role allows only their own processes.
        """
        super().signal_process(pid, create_time, signal_name(signal))
