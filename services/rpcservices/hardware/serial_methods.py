"""The methods about serial ports."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from pydantic import Field

from rpcserver import Context, InvalidParams, method
from rpcservices.hardware.serial.ports import why_no_serial

from .core import HardwareCore
from .errors import (
    HardwareRefused,
    SectionUnavailable,
    SerialNotOpen,
    SerialPortBusy,
    SerialPortDenied,
    SerialPortGone,
    SerialPortNotFound,
    SerialTimeout,
)
from .models import ByteSize, Parity, SerialData, SerialLines, SerialPort, SerialSession, SerialSettings
from .roles import check_device

PORT_ERRORS = (SerialNotOpen, SerialPortGone)
_FLOW_S = 3600.0
"""The time limit of calls that wait for the other side of the line."""


class SerialMethods(HardwareCore):
    """Serial ports: list them, and use them."""

    @method(permission="hardware.read", kind="read")
    async def serial_ports(self) -> list[SerialPort]:
        """The serial ports of the machine."""
        return await self._serial.list()

    @method(
        permission="hardware.serial",
        errors=(SectionUnavailable, SerialPortNotFound, SerialPortBusy, SerialPortDenied, HardwareRefused),
        group=False,
    )
    async def open_serial(
        self,
        port: str,
        *,
        baudrate: Annotated[int, Field(ge=1, le=2**31 - 1)] = 9600,
        bytesize: ByteSize = 8,
        parity: Parity = "N",
        stopbits: Annotated[float, Field(ge=1, le=2, multiple_of=0.5)] = 1.0,
        xonxoff: bool = False,
        rtscts: bool = False,
        dsrdtr: bool = False,
        write_timeout_s: Annotated[float, Field(gt=0)] = 60.0,
        ctx: Context,
    ) -> SerialSession:
        """Open a serial port for this connection alone. It is closed when the connection ends. What comes in is kept
        from now on, until :meth:`read_serial` takes it.

        Parameters:
            port: its id, file or name, as :meth:`serial_ports` lists it.
            baudrate: bits per second.
            bytesize: data bits.
            parity: none, even, odd, mark or space.
            stopbits: 1, 1.5 or 2.
            xonxoff: flow control by characters.
            rtscts, dsrdtr: flow control by lines.
            write_timeout_s: how long a write may wait for the other side to take anything, in seconds.

        Raises:
            SectionUnavailable: serial ports cannot be opened on this server.
            SerialPortNotFound: there is no such port.
            SerialPortBusy: somebody has it open.
            SerialPortDenied: the server's user may not open it.
            HardwareRefused: the caller's role does not list the port.
            InvalidParams: the port refuses a setting.
        """
        reason = why_no_serial()
        if reason:
            raise SectionUnavailable(f"serial ports cannot be opened: {reason}", section="serial", reason=reason)
        settings = SerialSettings(
            baudrate=baudrate,
            bytesize=bytesize,
            parity=parity,
            stopbits=stopbits,
            xonxoff=xonxoff,
            rtscts=rtscts,
            dsrdtr=dsrdtr,
        )
        principal = ctx.principal
        role = self.runtime.role_of(principal)
        session = await self._serial.open(
            ctx, port, settings, write_timeout_s, lambda node, links: check_device(principal, role, node, links)
        )
        return SerialSession(id=session.id, port=session.node, settings=settings)

    @method(permission="hardware.serial", errors=(*PORT_ERRORS, SerialPortBusy), buffer_items=1, group=False)
    async def read_serial(self, id: str, *, ctx: Context) -> AsyncIterator[SerialData]:
        """Read what comes in, until the port is closed. A reader that grants no credit holds the port back: by its own
        flow control, once the server's buffer is full.

        Parameters:
            id: as of :meth:`open_serial`.

        Raises:
            SerialNotOpen: this connection has no such port.
            SerialPortBusy: it is being read already.
            SerialPortGone: it was unplugged. Everything that came before is given first.
        """
        return self._serial.get(ctx, id).read()

    @method(
        permission="hardware.serial",
        deadline_s=_FLOW_S,
        errors=(*PORT_ERRORS, SerialTimeout),
        message_bytes=None,
        group=False,
    )
    async def write_serial(
        self, id: str, data: bytes, *, timeout_s: Annotated[float, Field(ge=0, le=86_400)] | None = None, ctx: Context
    ) -> int:
        """Write bytes; returns how many, when the system has taken all of them.

        Parameters:
            id: as of :meth:`open_serial`.
            data: the bytes.
            timeout_s: how long the other side may take nothing, in seconds; as given to :meth:`open_serial` where not
                given. With 0, what the system does not take at once is not written.

        Raises:
            SerialNotOpen: this connection has no such port.
            SerialTimeout: the other side takes nothing; the error says how many bytes were written.
            SerialPortGone: it was unplugged.
        """
        return await self._serial.get(ctx, id).write(data, timeout_s)

    @method(permission="hardware.serial", deadline_s=_FLOW_S, errors=PORT_ERRORS, group=False)
    async def drain_serial(self, id: str, *, ctx: Context) -> None:
        """Wait until everything that was written has been sent.

        Parameters:
            id: as of :meth:`open_serial`.

        Raises:
            SerialNotOpen: this connection has no such port.
            SerialPortGone: it was unplugged.
        """
        await self._serial.get(ctx, id).drain()

    @method(permission="hardware.serial", errors=PORT_ERRORS, group=False)
    async def reset_serial(self, id: str, *, input: bool = True, output: bool = False, ctx: Context) -> int:
        """Throw away what has come in, or what was not sent yet.

        Parameters:
            id: as of :meth:`open_serial`.
            input: what has come in. Data of :meth:`read_serial` with fewer ``resets`` than this returns is void.
            output: what was not sent yet.

        Returns:
            How often input has been thrown away.

        Raises:
            SerialNotOpen: this connection has no such port.
            SerialPortGone: it was unplugged.
        """
        return await self._serial.get(ctx, id).reset(input=input, output=output)

    @method(permission="hardware.serial", kind="idempotent", errors=PORT_ERRORS, group=False)
    async def configure_serial(self, id: str, settings: SerialSettings, *, ctx: Context) -> SerialSettings:
        """Set a port up anew.

        Parameters:
            id: as of :meth:`open_serial`.
            settings: all of them.

        Raises:
            SerialNotOpen: this connection has no such port.
            SerialPortGone: it was unplugged.
            InvalidParams: the port refuses a setting.
        """
        port = self._serial.get(ctx, id)
        try:
            await port.configure(settings)
        except ValueError as exc:
            raise InvalidParams(
                f"settings: the port refuses them: {exc}", errors=[{"loc": ["settings"], "msg": str(exc)}]
            ) from None
        return port.settings

    @method(permission="hardware.serial", kind="read", errors=PORT_ERRORS, group=False)
    async def serial_lines(self, id: str, *, ctx: Context) -> SerialLines:
        """The control lines, and how many bytes wait.

        Parameters:
            id: as of :meth:`open_serial`.

        Raises:
            SerialNotOpen: this connection has no such port.
            SerialPortGone: it was unplugged.
        """
        return await self._serial.get(ctx, id).lines()

    @method(permission="hardware.serial", kind="idempotent", errors=PORT_ERRORS, group=False)
    async def set_serial_lines(
        self,
        id: str,
        *,
        dtr: bool | None = None,
        rts: bool | None = None,
        break_condition: bool | None = None,
        ctx: Context,
    ) -> None:
        """Set control lines. A port without lines, such as a pseudo-terminal, takes no notice.

        Parameters:
            id: as of :meth:`open_serial`.
            dtr: data terminal ready; stays as it is where not given, as do the others.
            rts: request to send.
            break_condition: hold the line at break.

        Raises:
            SerialNotOpen: this connection has no such port.
            SerialPortGone: it was unplugged.
        """
        await self._serial.get(ctx, id).set_lines(dtr=dtr, rts=rts, break_condition=break_condition)

    @method(permission="hardware.serial", errors=PORT_ERRORS, group=False)
    async def send_break(
        self, id: str, duration_s: Annotated[float, Field(gt=0, le=30)] = 0.25, *, ctx: Context
    ) -> None:
        """Hold the line at break for a while.

        Parameters:
            id: as of :meth:`open_serial`.
            duration_s: how long, in seconds.

        Raises:
            SerialNotOpen: this connection has no such port.
            SerialPortGone: it was unplugged.
        """
        await self._serial.get(ctx, id).send_break(duration_s)

    @method(permission="hardware.serial", kind="idempotent", errors=(SerialNotOpen,), group=False)
    async def close_serial(self, id: str, *, ctx: Context) -> None:
        """Close a port. Readers see the end of their stream.

        Parameters:
            id: as of :meth:`open_serial`.

        Raises:
            SerialNotOpen: this connection has no such port.
        """
        await self._serial.close(ctx, id)
