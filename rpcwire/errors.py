"""Every error that may cross the wire or that a client raises: one table of codes, and one tree of exceptions.

The tree (codes of JSON-RPC 2.0, section 5.1, and of its range for implementations)::

    RpcError
    ├── ProtocolError                    a rule of the protocol was broken
    │   ├── LocalProtocolError           by this side: a bug in the calling code
    │   ├── RemoteProtocolError          by the other side
    │   ├── ParseError          -32700   the frame is not valid JSON or MessagePack
    │   └── InvalidRequest      -32600   the frame is not a JSON-RPC 2.0 message
    ├── MethodNotFound          -32601
    ├── InvalidParams           -32602   ``errors`` names each field
    ├── InternalError           -32603   the handler failed in a way it does not declare
    ├── Unauthenticated         -32001   the credentials are missing or wrong
    │   ├── TicketUnknown                there is no such ticket
    │   ├── TicketUsed                   somebody has exchanged it before
    │   ├── TicketExpired                nobody has exchanged it in time
    │   ├── SessionUnknown               there is no such session
    │   └── SessionEnded                 it has expired, was revoked, or ended with what it was made of
    ├── PermissionDenied        -32002   the caller is known, but not allowed
    ├── Busy                    -32003   a limit was reached before the call began
    ├── DeadlineExceeded        -32004   the call's time was over
    ├── TooLarge                -32005   a message is larger than the limit
    ├── Unavailable             -32006   the server is stopping, or the service is not running
    ├── SlowConsumer            -32007   the stream's reader fell behind, and its policy is to close
    ├── Cancelled               -32800   the caller cancelled, and the work has stopped
    ├── ServiceError            -32000   the root of what services declare themselves
    └── TransportError                   never on the wire: raised by the client
        ├── ConnectFailed                no connection could be made; nothing was executed
        ├── NotSent                      the call was never sent; nothing was executed
        ├── ConnectionLost               the call was sent, its answer did not come; outcome unknown
        └── ConnectionClosed             this side has closed the connection

``data`` on the wire is an object with ``type`` (the class name), ``executed`` and ``retryable``, and if they apply with
``retry_after_ms``, ``errors`` and ``details``. It never contains a traceback, a path of the server, or a secret.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_origin, get_type_hints

from .forms import without_forms
from .logs import printable, shorten

if TYPE_CHECKING:
    # Where nobody declares details, pydantic is not needed: loading it takes a third of the start of a command.
    from pydantic import BaseModel, ValidationError

Executed = Literal["no", "yes", "unknown"]
"""Whether the handler of a failed call has run: no, yes (it has begun at least), or unknown."""


class RpcError(Exception):
    """The root of the tree. Catch it to catch every error that a call can raise.

    Parameters:
        message: one sentence for a person, naming the field and the remedy where there is one.
        executed: whether the handler has run; ``None`` for the default of the class.
        retryable: whether the same call may succeed later without a change.
        retry_after_ms: how long to wait before the next try, in milliseconds.
        errors: for invalid input, one entry per field: ``{"loc": [...], "msg": ..., "type": ...}``.
        details: the values of the fields that a :class:`ServiceError` declares.
        code: the code on the wire, if the class does not define it.
        remote_type: the ``type`` that was received, if no class has this name here.
    """

    code: int = -32603
    executed: Executed = "unknown"
    retryable: bool = False

    def __init__(
        self,
        message: str = "",
        *,
        executed: Executed | None = None,
        retryable: bool | None = None,
        retry_after_ms: int | None = None,
        errors: Sequence[Mapping[str, Any]] = (),
        details: Mapping[str, Any] | None = None,
        code: int | None = None,
        remote_type: str | None = None,
    ) -> None:
        self.message = message or (type(self).__doc__ or type(self).__name__).partition("\n")[0]
        super().__init__(self.message)
        if executed is not None:
            self.executed = executed
        if retryable is not None:
            self.retryable = retryable
        if code is not None:
            self.code = code
        self.retry_after_ms = retry_after_ms
        self.errors = list(errors)
        self.details: dict[str, Any] = dict(details or {})
        self.remote_type = remote_type

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the error by its attributes, as a process pool does for its answer."""
        return _restore, (type(self), self.args, self.__dict__.copy())

    @property
    def type(self) -> str:
        """The name of this error on the wire."""
        return self.remote_type or type(self).__name__

    def wire_details(self) -> dict[str, Any]:
        """Return the ``details`` for the wire, as plain values."""
        return self.details

    def to_wire(self) -> dict[str, Any]:
        """Return the error object (JSON-RPC 2.0, section 5.1) as plain values."""
        data: dict[str, Any] = {"type": self.type, "executed": self.executed, "retryable": self.retryable}
        if self.retry_after_ms is not None:
            data["retry_after_ms"] = self.retry_after_ms
        if self.errors:
            data["errors"] = self.errors
        if details := self.wire_details():
            data["details"] = details
        return {"code": self.code, "message": self.message, "data": data}


def _restore(cls: type[RpcError], args: tuple[Any, ...], state: dict[str, Any]) -> RpcError:
    """Make an error from its attributes. The constructor is not called, because those of subclasses differ."""
    error = cls.__new__(cls, *args)
    error.__dict__.update(state)
    return error


class ProtocolError(RpcError):
    """The rules of the wire were broken."""

    executed = "no"


class LocalProtocolError(ProtocolError):
    """This side tried something that the protocol does not allow now."""


class RemoteProtocolError(ProtocolError):
    """The other side sent something that the protocol does not allow now."""


class ParseError(ProtocolError):
    """The frame is not valid JSON or MessagePack."""

    code = -32700


class InvalidRequest(ProtocolError):
    """The message is not a JSON-RPC 2.0 request or response."""

    code = -32600


class MethodNotFound(RpcError):
    """No method has this name."""

    code = -32601
    executed = "no"


class InvalidParams(RpcError):
    """The parameters do not fit the method."""

    code = -32602
    executed = "no"


class InternalError(RpcError):
    """The handler failed in a way that it does not declare."""

    code = -32603


class Unauthenticated(RpcError):
    """Credentials are missing or wrong."""

    code = -32001
    executed = "no"


class TicketUnknown(Unauthenticated):
    """The server has made no such ticket, has forgotten it, or does not accept it from here."""


class TicketUsed(Unauthenticated):
    """Somebody has exchanged this ticket before."""


class TicketExpired(Unauthenticated):
    """Nobody has exchanged this ticket in time."""


class SessionUnknown(Unauthenticated):
    """There is no such session, or it is not accepted from here."""


class SessionEnded(Unauthenticated):
    """This session has expired, was revoked, or has ended with the credentials or the role that it was made of."""


class PermissionDenied(RpcError):
    """The caller is known, but may not do this."""

    code = -32002
    executed = "no"


class Busy(RpcError):
    """A limit was reached before the call began."""

    code = -32003
    executed = "no"
    retryable = True


class DeadlineExceeded(RpcError):
    """The call's time was over before its answer was there."""

    code = -32004


class TooLarge(RpcError):
    """A message is larger than the limit."""

    code = -32005


class Unavailable(RpcError):
    """The server is stopping, or the service is not running."""

    code = -32006
    executed = "no"
    retryable = True


class SlowConsumer(RpcError):
    """The reader of a stream fell behind, and the stream's policy is to close."""

    code = -32007
    executed = "yes"


class Cancelled(RpcError):
    """The caller cancelled the call, and its work has stopped."""

    code = -32800


class TransportError(RpcError):
    """The connection could not be made or was lost. Raised by the client, never sent."""

    retryable = True


class ConnectFailed(TransportError):
    """No connection could be made."""

    executed = "no"


class NotSent(TransportError):
    """The call never left this side."""

    executed = "no"


class ConnectionLost(TransportError):
    """The connection broke while the call was under way: its outcome is not known."""


class ConnectionClosed(TransportError):
    """This side has closed the connection."""

    executed = "no"
    retryable = False


class ServiceError(RpcError):
    """The root of the errors that a service declares. The annotated attributes are its details, typed on both sides::

        class ProgramNotFound(ServiceError):
            "No program has this id."
            id: str

        raise ProgramNotFound("no program has the id p7", id="p7")

    The client raises the class that its stub names, with the same attributes.

    Raises:
        TypeError: a detail is not declared, or a declared one without a default is missing.
    """

    code = -32000
    executed: Executed = "yes"
    _details_model: ClassVar[Any] = None

    def __init__(
        self,
        message: str = "",
        *,
        executed: Executed | None = None,
        retryable: bool | None = None,
        retry_after_ms: int | None = None,
        **details: Any,
    ) -> None:
        from pydantic import ValidationError

        super().__init__(message, executed=executed, retryable=retryable, retry_after_ms=retry_after_ms)
        try:
            values = self.details_model()(**details)
        except ValidationError as exc:
            problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in exc.errors(include_url=False))
            raise TypeError(f"{type(self).__name__}: {problems}") from exc
        for name in type(values).model_fields:
            setattr(self, name, getattr(values, name))
        self.details = details

    @classmethod
    def details_model(cls) -> type[BaseModel]:
        """Return a pydantic model of the declared details. It is made once for each class."""
        model: type[BaseModel] | None = cls.__dict__.get("_details_model")
        if model is None:
            from pydantic import ConfigDict, create_model

            hints = get_type_hints(cls, include_extras=True)
            own_names = {name for base in ServiceError.__mro__ for name in inspect.get_annotations(base)}
            fields: dict[str, Any] = {
                name: (hint, getattr(cls, name, ...))
                for name, hint in hints.items()
                if name not in own_names and not name.startswith("_") and get_origin(hint) is not ClassVar
            }
            config = ConfigDict(extra="forbid", ser_json_bytes="base64", val_json_bytes="base64")
            model = create_model(f"{cls.__name__}Details", __config__=config, **fields)
            cls._details_model = model
        return model

    def wire_details(self) -> dict[str, Any]:
        """Return the declared details as plain values; for an error without a class here, the details that were
        received."""
        if type(self) is ServiceError:
            return self.details
        return self.details_model()(**self.details).model_dump(mode="json")


_EVERY: tuple[type[RpcError], ...] = (
    ParseError, InvalidRequest, MethodNotFound, InvalidParams, InternalError, Unauthenticated, PermissionDenied,
    Busy, DeadlineExceeded, TooLarge, Unavailable, SlowConsumer, Cancelled,
)  # fmt: skip
BY_CODE: Mapping[int, type[RpcError]] = {cls.code: cls for cls in _EVERY}
"""The table of codes: each code that the protocol uses, and its class."""

BY_TYPE: Mapping[str, type[RpcError]] = {
    cls.__name__: cls for cls in (TicketUnknown, TicketUsed, TicketExpired, SessionUnknown, SessionEnded)
}
"""Those whose code another class has, too: the type tells them apart."""


def from_wire(
    code: int, message: str, data: object = None, known: Mapping[str, type[ServiceError]] | None = None
) -> RpcError:
    """Make the exception for a received error object.

    Parameters:
        code, message, data: the members of the error object (JSON-RPC 2.0, section 5.1).
        known: the errors that the method declares, by class name.

    Returns:
        An instance of the declared class, or of the class with this code. If there is neither, a :class:`ServiceError`
        (code -32000) or an :class:`RpcError` with this code, message and type.
    """
    fields: Mapping[str, Any] = data if isinstance(data, dict) else {}
    name = fields.get("type") if isinstance(fields.get("type"), str) else None
    executed = fields.get("executed")
    retry_after = fields.get("retry_after_ms")
    details = fields.get("details")
    common: dict[str, Any] = {
        "executed": executed if executed in ("no", "yes", "unknown") else None,
        "retryable": fields["retryable"] if isinstance(fields.get("retryable"), bool) else None,
        "retry_after_ms": retry_after if isinstance(retry_after, int) else None,
    }
    declared_class = known.get(name) if known and name else None
    if declared_class is not None:
        try:
            return declared_class(message, **common, **(details if isinstance(details, dict) else {}))
        except TypeError:
            # The other side has another version of this error, with other details: keep them untyped.
            pass
    errors = fields.get("errors")
    common["errors"] = [e for e in errors if isinstance(e, dict)] if isinstance(errors, list) else ()
    common["details"] = details if isinstance(details, dict) else None
    cls = BY_TYPE.get(name) if name else None
    if cls is None or cls.code != code:
        cls = BY_CODE.get(code)
    if cls is not None:
        return cls(message, **common)
    if code == ServiceError.code:
        error = ServiceError.__new__(ServiceError)
        RpcError.__init__(error, message, **common, code=code, remote_type=name)
        return error
    return RpcError(message, **common, code=code, remote_type=name)


class WireError(Exception):
    """A received error object whose class is not known yet. Peers raise it, and the code that knows the method's
    contract turns it into an :class:`RpcError`.

    Parameters:
        code, message, data: see :func:`from_wire`.
    """

    def __init__(self, code: int, message: str, data: object) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data


def forget_origin(error: BaseException) -> None:
    """Make an error forget its traceback and the errors before it.

    What keeps an error and is not followed by Python's collector (``gc=False``) must do so: the frames of a traceback
    lead to their callers, and a caller's variables to what keeps the error. Nothing would ever free such a circle.
    """
    error.__traceback__ = error.__context__ = error.__cause__ = None


def _place(loc: Sequence[str | int]) -> str:
    return printable(".".join(map(str, loc))) or "params"


FIELD_ERRORS = 32
"""The most field errors in one answer: more would only make it larger than the call."""


def field_errors(exc: ValidationError, prefix: Sequence[str | int] = ()) -> list[dict[str, Any]]:
    """Turn pydantic's errors into plain entries: place, text and rule. There are at most :data:`FIELD_ERRORS`, and one
    more that counts the rest. The entries do not repeat the input, since it may be a secret."""
    count = exc.error_count()
    if count > 100 * FIELD_ERRORS:  # A list of them would take far more memory than the input.
        return [{"loc": [*prefix], "msg": f"{count} values are wrong", "type": "too_many_errors"}]
    entries = without_forms([
        {"loc": [*prefix, *error["loc"]], "msg": error["msg"], "type": error["type"]}
        for error in exc.errors(include_url=False, include_context=False, include_input=False)
    ])  # fmt: skip
    count = len(entries)
    if count > FIELD_ERRORS:
        text = f"and {count - FIELD_ERRORS} more values are wrong"
        entries[FIELD_ERRORS:] = [{"loc": [*prefix], "msg": text, "type": "too_many_errors"}]
    return entries


def count_rows(error: InvalidParams, rows: int, name: str = "params") -> InvalidParams:
    """Return an error about members of a list that came in parts, with their numbers in the whole list.

    Parameters:
        error: the error about one part.
        rows: the number of members in the parts before it.
        name: the name of the parameter.
    """
    errors = [
        {**each, "loc": [name, loc[1] + rows, *loc[2:]]}
        if len(loc := each.get("loc", [])) > 1 and loc[0] == name and type(loc[1]) is int
        else each
        for each in error.errors
    ]
    if errors == error.errors:
        return error
    beginning = error.message.partition(": ")[0]
    return InvalidParams(f"{beginning}: {describe_fields(errors)}", errors=errors, executed=error.executed)


_RAISED = "Value error, "
"""What pydantic writes before the text of a ValueError of our own."""


def describe_fields(errors: Sequence[Mapping[str, Any]], limit: int = 3) -> str:
    """Describe the first few field errors in one line."""
    texts = [f"{_place(e['loc'])}: {shorten(e['msg'].removeprefix(_RAISED))}" for e in errors[:limit]]
    more = len(errors) - limit
    return "; ".join(texts) + (f"; and {more} more" if more > 0 else "")
