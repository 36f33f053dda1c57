"""What the clients know of a method: its whole contract, from a generated stub, or its name only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

from msgspec import Raw

from rpcwire.codec import Codec
from rpcwire.errors import InvalidParams, RpcError, ServiceError, describe_fields, from_wire
from rpcwire.limits import DEFAULT_DEADLINE_S, ITEM_LEVELS
from rpcwire.values.dynamic import dump_plain, load_plain
from rpcwire.values.unsendable import Unsendable

if TYPE_CHECKING:
    # What reads typed values loads pydantic. Plain data need neither.
    from rpcwire.contracts import Contract
    from rpcwire.values.wiretypes import WireType


@lru_cache(maxsize=1024)
def _wire_type(annotation: Any) -> WireType:
    """Return what reads values of a type. It is kept: making it takes a hundred times as long as using it."""
    from rpcwire.values.wiretypes import WireType

    return WireType(annotation)


class Method:
    """A method of which only the name is known. Its parameters are standard values, its result is plain data.

    Parameters:
        name: the full name.
        returns: the type of the result, or of a stream's items; plain data if not given.
        deadline_s: how long a call may take if the caller sets no limit, in seconds.
        latest: whether a slow reader of its stream gets the newest item only.
    """

    streams: frozenset[str] = frozenset()
    """The names of the parameters that are streams."""
    window: int | None = None
    """How many items of its stream the server may be ahead of the reader; the client's own window where ``None``."""
    is_for_groups: bool = True
    """Whether it may be called on many nodes at once."""
    declared_errors: Mapping[str, type[ServiceError]] = {}
    """The errors that it declares, by class name."""

    def __init__(
        self, name: str, returns: Any = None, deadline_s: float = DEFAULT_DEADLINE_S, *, latest: bool = False
    ) -> None:
        self.name = name
        self.latest = latest
        self.deadline_s = deadline_s
        self._kind = None if returns is None else _wire_type(returns)

    def dump(self, params: Any, codec: Codec) -> bytes | None:
        """Encode the parameters.

        Raises:
            InvalidParams: they cannot be sent, or do not fit the method.
        """
        return None if params is None else dump_plain(params, codec)

    def dump_item(self, parameter: str, item: Any, codec: Codec) -> bytes:
        """Encode one item of a parameter that is a stream.

        Raises:
            InvalidParams: the item cannot be sent; ``errors`` names the parameter, and the place in the item.
        """
        try:
            return dump_plain(item, codec, ITEM_LEVELS)
        except InvalidParams as exc:
            raise bad_item_error(parameter, exc.errors, exc) from exc

    def load(self, raw: Raw | bytes, codec: Codec) -> Any:
        """Decode the result, or an item of the stream that is the result.

        Raises:
            RemoteProtocolError: it does not have the type of the result.
        """
        kind = self._kind
        return load_plain(raw, codec) if kind is None else kind.load_answer(raw, codec)

    def error(self, code: int, message: str, data: object) -> RpcError:
        """Make the exception for an error that the server has sent."""
        return from_wire(code, message, data)

    def to_declared_error(self, error: RpcError) -> RpcError:
        """Turn an error that has ended a stream into the class that the method declares for it, if it declares one."""
        if type(error) is not ServiceError:
            return error
        wire = error.to_wire()
        return self.error(wire["code"], wire["message"], wire["data"])


@lru_cache(maxsize=1024)
def method_of(name: str, returns: Any = None) -> Method:
    """Return a method by its name. It is made once for each name and type."""
    return Method(name, returns)


def not_iterable_error(parameter: str, value: object) -> InvalidParams:
    """Make the error for a parameter that is a stream, but whose value is no iterable."""
    return InvalidParams(
        f"{parameter}: a stream is sent from an iterable, not from {type(value).__name__}",
        errors=[{"loc": [parameter], "msg": "must be an iterable", "type": "iterable_type"}],
    )


def bad_item_error(parameter: str, errors: Sequence[Mapping[str, Any]], cause: Exception) -> InvalidParams:
    """Make the error for an item of a parameter that is a stream, but cannot be sent. The call has begun by then.

    Parameters:
        parameter: the parameter's name.
        errors: what is wrong in the item, if that is known.
        cause: what the encoder raised.
    """
    field_errors = [{**error, "loc": [parameter, *error["loc"]]} for error in errors]
    text = describe_fields(field_errors) if field_errors else f"{parameter}: {cause}"
    return InvalidParams(f"an item cannot be sent: {text}", executed="yes", errors=field_errors)


class StubMethod(Method):
    """A method of a generated stub: its contract is the stub's own signature.

    Parameters:
        name: the full name.
        function: the stub's method.
        deadline_s: how long a call may take if the caller sets no limit, in seconds.
        errors: the classes of errors that the method declares.
        latest: whether a slow reader of its stream gets the newest item only.
        window: how many items of its stream the server may be ahead of the reader.
        group: whether it may be called on many nodes at once.
    """

    def __init__(
        self,
        name: str,
        function: Callable[..., Any],
        deadline_s: float = DEFAULT_DEADLINE_S,
        errors: tuple[type[ServiceError], ...] = (),
        window: int | None = None,
        *,
        latest: bool = False,
        group: bool = True,
    ) -> None:
        super().__init__(name, None, deadline_s, latest=latest)
        self.window = window
        self.is_for_groups = group
        self._function = function
        self.declared_errors = {error.__name__: error for error in errors}

    @cached_property
    def contract(self) -> Contract:
        """What the method takes and returns. It is made at the first call, so that importing a stub costs little."""
        from rpcwire.contracts import Contract

        return Contract(self._function)

    @property
    def streams(self) -> frozenset[str]:  # type: ignore[override]
        """The names of the parameters that are streams."""
        return frozenset(self.contract.stream_parameters)

    def dump(self, params: Any, codec: Codec) -> bytes | None:
        """Encode the parameters by name, without those that have their default: the server's own default applies."""
        contract = self.contract
        arguments = {p.name: params[p.name] for p in contract.parameters if params[p.name] is not p.default}
        return contract.dump_params(arguments, codec)

    def dump_item(self, parameter: str, item: Any, codec: Codec) -> bytes:
        """Encode one item of a parameter that is a stream."""
        try:
            return self.contract.stream_parameters[parameter].dump(item, codec, ITEM_LEVELS)
        except Unsendable as exc:
            raise bad_item_error(parameter, [{"loc": exc.loc, "msg": exc.reason, "type": "unsendable"}], exc) from exc
        except ValueError as exc:
            raise bad_item_error(parameter, [], exc) from exc

    def load(self, raw: Raw | bytes, codec: Codec) -> Any:
        """Decode the result, or an item of the stream that is the result."""
        kind = self.contract.item or self.contract.result
        assert kind is not None
        return kind.load_answer(raw, codec)

    def error(self, code: int, message: str, data: object) -> RpcError:
        """Make the exception for an error that the server has sent, of the class that the stub declares."""
        return from_wire(code, message, data, self.declared_errors)
