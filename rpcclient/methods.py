"""What the clients know of a method: from a generated stub, from ``rpc.discover``, or nothing but its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Any

from msgspec import Raw

from rpcwire.codec import Codec
from rpcwire.contracts import Contract
from rpcwire.errors import InvalidParams, RpcError, ServiceError, describe_fields, from_wire
from rpcwire.limits import DEFAULT_DEADLINE_S, ITEM_LEVELS
from rpcwire.values.dynamic import dump_plain, load_plain
from rpcwire.values.unsendable import Unsendable
from rpcwire.values.wiretypes import WireType, load_answer


@lru_cache(maxsize=1024)
def _wire_type(annotation: Any) -> WireType:
    """What reads values of a type; making one takes a hundred times as long as using it."""
    return WireType(annotation)


class Method:
    """A method that is known by name only: standard values go out, plain data comes in.

    Parameters:
        name: the full name.
        returns: the type of the result, or of a stream's items; plain data where not given.
        deadline_s: how long a call may take where nobody says, in seconds.
        latest: a slow reader of its stream wants the newest item only.
    """

    streams: frozenset[str] = frozenset()
    """Parameters that are streams."""
    window: int | None = None
    """Of a stream of large items: how many the server may be ahead where nobody says; else the client's own window."""

    def __init__(
        self, name: str, returns: Any = None, deadline_s: float = DEFAULT_DEADLINE_S, *, latest: bool = False
    ) -> None:
        self.name = name
        self.latest = latest
        self.deadline_s = deadline_s
        self._kind = None if returns is None else _wire_type(returns)

    def dump(self, params: Any, codec: Codec) -> bytes | None:
        """The parameters, encoded.

        Raises:
            InvalidParams: they cannot be sent, or do not fit.
        """
        return None if params is None else dump_plain(params, codec)

    def dump_item(self, parameter: str, item: Any, codec: Codec) -> bytes:
        """One item of a parameter that is a stream.

        Raises:
            InvalidParams: it cannot be sent; ``errors`` names the parameter, and the place in the item.
        """
        try:
            return dump_plain(item, codec, ITEM_LEVELS)
        except InvalidParams as exc:
            raise bad_item(parameter, exc.errors, exc) from exc

    def load(self, raw: Raw | bytes, codec: Codec) -> Any:
        """The result, or an item of the stream that is the result.

        Raises:
            RemoteProtocolError: it does not fit.
        """
        kind = self._kind
        return load_plain(raw, codec) if kind is None else load_answer(kind, raw, codec)

    def error(self, code: int, message: str, data: object) -> RpcError:
        """The exception that a received error stands for."""
        return from_wire(code, message, data)

    def typed(self, error: RpcError) -> RpcError:
        """The exception that an error stands for which has ended a stream."""
        if type(error) is not ServiceError:
            return error
        wire = error.to_wire()
        return self.error(wire["code"], wire["message"], wire["data"])


@lru_cache(maxsize=1024)
def method_of(name: str, returns: Any = None) -> Method:
    """A method by its name, made once for each name and type."""
    return Method(name, returns)


def not_iterable(parameter: str, given: object) -> InvalidParams:
    """What to raise where a parameter that is a stream was given something else."""
    return InvalidParams(
        f"{parameter}: a stream is sent from an iterable, not from {type(given).__name__}",
        errors=[{"loc": [parameter], "msg": "must be an iterable", "type": "iterable_type"}],
    )


def bad_item(parameter: str, errors: Sequence[Mapping[str, Any]], cause: Exception) -> InvalidParams:
    """What to raise where an item of a parameter that is a stream cannot be sent. The call has begun by then.

    Parameters:
        parameter: its name.
        errors: what is wrong in the item, if that is known.
        cause: what the encoder raised.
    """
    found = [{**error, "loc": [parameter, *error["loc"]]} for error in errors]
    text = describe_fields(found) if found else f"{parameter}: {cause}"
    return InvalidParams(f"an item cannot be sent: {text}", executed="yes", errors=found)


class StubMethod(Method):
    """A method of a generated stub: its contract is the stub's own signature.

    Parameters:
        name: the full name.
        function: the stub's method.
        deadline_s: how long a call may take where nobody says, in seconds.
        errors: what the method declares.
        latest: a slow reader of its stream wants the newest item only.
        window: of a stream of large items, how many the server may be ahead where nobody says.
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
    ) -> None:
        super().__init__(name, None, deadline_s, latest=latest)
        self.window = window
        self._function = function
        self._errors: Mapping[str, type[ServiceError]] = {error.__name__: error for error in errors}

    @cached_property
    def contract(self) -> Contract:
        """What it takes and gives. Made at the first call, so that importing a stub costs little."""
        return Contract(self._function)

    @property
    def streams(self) -> frozenset[str]:  # type: ignore[override]
        """Parameters that are streams."""
        return frozenset(self.contract.stream_parameters)

    def dump(self, params: Any, codec: Codec) -> bytes | None:
        """The parameters by name, encoded; those left at their default stay out, so that the server's own holds."""
        contract = self.contract
        given = {p.name: params[p.name] for p in contract.parameters if params[p.name] is not p.default}
        return contract.dump_params(given, codec)

    def dump_item(self, parameter: str, item: Any, codec: Codec) -> bytes:
        """One item of a parameter that is a stream."""
        try:
            return self.contract.stream_parameters[parameter].dump(item, codec, ITEM_LEVELS)
        except Unsendable as exc:
            raise bad_item(parameter, [{"loc": exc.loc, "msg": exc.reason, "type": "unsendable"}], exc) from exc
        except ValueError as exc:
            raise bad_item(parameter, [], exc) from exc

    def load(self, raw: Raw | bytes, codec: Codec) -> Any:
        """The result, or an item of the stream that is the result."""
        kind = self.contract.item or self.contract.result
        assert kind is not None
        return load_answer(kind, raw, codec)

    def error(self, code: int, message: str, data: object) -> RpcError:
        """The exception that a received error stands for: the very class that the stub names."""
        return from_wire(code, message, data, self._errors)
