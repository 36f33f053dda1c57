"""Contracts: a typed Python signature decides how the bodies of a method are read and written. A :class:`Contract`
reads and writes (by :mod:`rpcwire.values.wiretypes`) a method's parameters, by position and by name, its result, and
the items of its streams. Both sides build it from the same annotations.
"""

from __future__ import annotations

import inspect
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Generator,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from msgspec import Raw
from pydantic import PydanticUserError, StringConstraints, ValidationError
from pydantic.dataclasses import dataclass as pydantic_dataclass
from pydantic.experimental.arguments_schema import generate_arguments_schema
from pydantic_core import CoreSchema, core_schema

from rpcwire.values.encoded import EncodedType, is_marked
from rpcwire.values.unsendable import Unsendable, unsendable
from rpcwire.values.wiretypes import WireType, check_parts

from .codec import Codec
from .errors import FIELD_ERRORS, InvalidParams, describe_fields, field_errors
from .limits import BODY_LEVELS, ID_CHARACTERS, WHOLE_TURN
from .secret import is_secret
from .sending import UNSENDABLE, raise_interruption

_STREAMS = (AsyncIterator, AsyncIterable, AsyncGenerator, Iterator, Iterable, Generator)


_FREE_TEXTS = frozenset({"value_error", "assertion_error"})
"""The types of pydantic's errors whose text is that of an exception."""


def stream_item(annotation: Any) -> Any | None:
    """Return ``T`` of ``AsyncIterator[T]`` and similar types; ``None`` if the annotation is not a stream."""
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    origin = get_origin(annotation)
    if origin in _STREAMS or (isinstance(origin, type) and issubclass(origin, (AsyncIterator, Iterator))):
        item = get_args(annotation)[0]
        return type(None) if item is None else item
    return None


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a method.

    Attributes:
        name: its name on the wire and in Python.
        annotation: its type; for a stream, ``AsyncIterator[T]``.
        kind: reads and writes its value in ``params``; for a stream, the reference to it.
        item: reads and writes the items of a stream; ``None`` if the parameter is not a stream.
        positional: whether it may be given by position.
        default: the default; ``inspect.Parameter.empty`` if the parameter is required.
    """

    name: str
    annotation: Any
    kind: WireType
    item: WireType | None
    positional: bool
    default: Any

    @property
    def is_required(self) -> bool:
        """Whether the parameter has no default."""
        return self.default is inspect.Parameter.empty


class Contract:
    """The types of a method's parameters and result.

    Parameters:
        function: a function whose parameters and result are annotated; ``self`` is left out.
        context_type: the type of a parameter that is not on the wire (the context of a handler).

    Raises:
        TypeError: an annotation is missing or cannot be sent; the message names it.

    Attributes:
        parameters: the parameters on the wire, in order.
        context_name: the name of the injected parameter; ``None`` if there is none.
        returns: the annotation of the result.
        result: reads and writes the result; ``None`` if the method answers with a stream.
        item: reads and writes the items of that stream; ``None`` if the method answers with a value.
        stream_parameters: the parameters that are streams, and the types that read and write their items.
        turn_share: how much a small call takes of a turn of the event loop, see :data:`~rpcwire.limits.TURN_EVENTS`.
        secret_parameters: the names of the parameters that are marked as secret (:mod:`rpcwire.secret`).
        dump_result: encodes the result, as :meth:`~rpcwire.values.wiretypes.WireType.dump`. Every call uses it.
    """

    def __init__(self, function: Callable[..., Any], *, context_type: type | None = None) -> None:
        self.function = function
        where = f"{function.__module__}.{function.__qualname__}"
        try:
            hints = get_type_hints(function, include_extras=True)
        except NameError as exc:
            raise TypeError(f"{where}: an annotation names something unknown: {exc}") from exc
        self.context_name: str | None = None
        self.parameters: tuple[Parameter, ...] = ()
        for name, parameter in inspect.signature(function).parameters.items():
            if name == "self":
                continue
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                raise TypeError(f"{where}: *{name} cannot be sent; declare each parameter, or take a list or a dict")
            if parameter.kind is parameter.POSITIONAL_ONLY:
                raise TypeError(f"{where}: {name!r} is positional only, and callers may name it; remove the '/'")
            if name not in hints:
                raise TypeError(f"{where}: the parameter {name!r} has no annotation")
            if context_type is not None and hints[name] is context_type:
                self.context_name = name
                continue
            item = stream_item(hints[name])
            self.parameters += (
                Parameter(
                    name=name,
                    annotation=hints[name],
                    kind=_wire_type(hints[name] if item is None else StreamReference, where, name),
                    item=None if item is None else _wire_type(item, where, name),
                    positional=parameter.kind is not parameter.KEYWORD_ONLY,
                    default=parameter.default,
                ),
            )
        if "return" not in hints:
            raise TypeError(f"{where}: the result has no annotation; write '-> None' where there is none")
        self.returns = hints["return"]
        item = stream_item(self.returns)
        self.item = None if item is None else _wire_type(item, where, "return")
        self.result = None if item is not None else _wire_type(self.returns, where, "return")
        self.stream_parameters: Mapping[str, WireType] = {p.name: p.item for p in self.parameters if p.item is not None}
        self.secret_parameters = frozenset(p.name for p in self.parameters if is_secret(p.annotation))
        self.turn_share = 1
        self._where = where
        self._params = _ParamsType(self.parameters, where)
        self.dump_result: Callable[[Any, Codec], bytes] = _dump_nothing if self.result is None else self.result.dump
        self._by_keyword = self.context_name is not None or bool(self.stream_parameters)

    def bound_work(self) -> None:
        """Bound the number of values in calls whose types take many steps to read one: otherwise one call could keep
        its reader busy for seconds. Whoever offers the method to others asks for this.

        Raises:
            TypeError: no number would be small enough; the message says what to do.
        """
        try:
            self._params.bound()
        except TypeError as exc:
            raise TypeError(f"{self._where}: {exc}") from None
        if self._params.is_bounded:
            self.turn_share = WHOLE_TURN
            self._params = _BoundedParamsType(self.parameters, self._where)
            self._params.bound()
        for name, item in self.stream_parameters.items():
            try:
                item.bound()
            except TypeError as exc:
                raise TypeError(f"{self._where}: {name}: {exc}") from None

    @property
    def most_nodes(self) -> int | None:
        """The most values, names, arrays and objects in one call, if its types bound them (:meth:`bound_work`)."""
        return self._params.most_nodes if self._params.is_bounded else None

    def load_params(
        self, raw: Raw | bytes | None, codec: Codec, *, is_large: bool = False
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Read positional and keyword arguments from ``params``, an array or an object. A stream's argument is a
        :class:`StreamReference`. If an injected parameter or a stream is among them, all are keyword arguments.

        Parameters:
            raw: the parameters; ``None`` if there are none.
            codec: the form of the wire.
            is_large: whether they are large, and the work that they cause must be bounded
                (:meth:`~rpcwire.values.wiretypes.WireType.load_large`).

        Raises:
            InvalidParams: the parameters do not fit; ``errors`` names each field.
            TooLarge: they have more values than the types allow.
        """
        try:
            if is_large and raw is not None:
                args, kwargs = self._params.load_large(raw, codec)
            elif raw is None:
                args, kwargs = self._params.load(b"\x80" if codec.packed else b"{}", codec)
            else:
                args, kwargs = self._params.load(raw, codec)
        except ValidationError as exc:
            errors = self._name_parameters(self._params.describe_errors(exc, raw, codec))
            raise InvalidParams(f"invalid parameters: {describe_fields(errors)}", errors=errors) from None
        except ValueError as exc:
            raise InvalidParams(f"invalid parameters: {exc}") from None
        if args and self._by_keyword:
            kwargs.update(zip((p.name for p in self.parameters), args, strict=False))
            return (), kwargs
        return args, kwargs

    def dump_params(self, arguments: Mapping[str, Any], codec: Codec) -> bytes:
        """Write ``params`` by name. The argument for a stream is a :class:`StreamReference`.

        Raises:
            InvalidParams: the arguments do not fit; ``errors`` names each field.
        """
        try:
            return self._params.dump(arguments, codec)
        except ValidationError as exc:
            errors = field_errors(exc)
            raise InvalidParams(f"invalid parameters: {describe_fields(errors)}", errors=errors) from None
        except Unsendable as exc:
            errors = [{"loc": exc.loc, "msg": exc.reason, "type": "unsendable"}]
            raise InvalidParams(f"invalid parameters: {exc}", errors=errors) from None
        except ValueError as exc:
            raise InvalidParams(f"invalid parameters: {exc}") from None

    def name_arguments(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return valid arguments, as of :meth:`load_params`, by name, without those that are missing."""
        return {**dict(zip((p.name for p in self.parameters), args, strict=False)), **kwargs}

    def bind(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments of a call by name, as Python would bind them, without those that are missing.

        Raises:
            TypeError: the arguments do not fit the signature.
        """
        return dict(self.signature.bind(*args, **kwargs).arguments)

    @cached_property
    def signature(self) -> inspect.Signature:
        """The signature as a caller sees it: without ``self`` and the injected parameter."""
        kinds = inspect.Parameter
        return inspect.Signature(
            [
                kinds(
                    p.name,
                    kinds.POSITIONAL_OR_KEYWORD if p.positional else kinds.KEYWORD_ONLY,
                    default=p.default,
                    annotation=p.annotation,
                )
                for p in self.parameters
            ],
            return_annotation=None if self.returns is type(None) else self.returns,
        )

    def _name_parameters(self, errors: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Replace positions of parameters with their names in field errors. The texts of a service's own validators may
        repeat the value, so they are left out for secret parameters."""
        for error in errors:
            place = error["loc"][0] if error["loc"] else None
            # In MessagePack a name may be a number by mistake: that is no position.
            is_name = error["type"] == "invalid_key" and len(error["loc"]) == 1
            if isinstance(place, int) and not is_name and place < len(self.parameters):
                error["loc"][0] = self.parameters[place].name
            if error["type"] in ("unexpected_keyword_argument", "unexpected_positional_argument"):
                error["msg"] += f"; there are: {', '.join(p.name for p in self.parameters) or 'none'}"
            elif error["loc"] and error["loc"][0] in self.secret_parameters and error["type"] in _FREE_TEXTS:
                error["msg"] = "this is not valid"
        return errors


@pydantic_dataclass(frozen=True, slots=True)
class StreamReference:
    """Stands for a stream in ``params`` or ``result``: ``{"stream": "s7"}``."""

    stream: Annotated[str, StringConstraints(max_length=ID_CHARACTERS)]


class _ParamsType(WireType):
    """All parameters of a method as one type: reads an array or an object, writes an object."""

    def __init__(self, parameters: Sequence[Parameter], where: str) -> None:
        def stand_in() -> None: ...

        kinds = inspect.Parameter
        stand_in.__annotations__ = {p.name: p.kind.annotation for p in parameters}
        stand_in.__signature__ = inspect.Signature([  # type: ignore[attr-defined]
            kinds(
                p.name,
                kinds.POSITIONAL_OR_KEYWORD if p.positional else kinds.KEYWORD_ONLY,
                annotation=p.kind.annotation,
                default=p.default,
            )
            for p in parameters
        ])  # fmt: skip
        try:
            schema = generate_arguments_schema(stand_in, schema_type="arguments")
        except PydanticUserError as exc:
            raise TypeError(f"{where}: {exc.message}") from exc
        self._set_schema(schema, _as_typed_dict(schema))

    def describe_errors(self, exc: ValidationError, raw: Raw | bytes | None, codec: Codec) -> list[dict[str, Any]]:
        """Describe the errors of some parameters. Of very many only the first is described: to describe them takes
        several times as long as to find them, and a frame has room for hundreds of calls with hundreds of them.

        Parameters:
            exc: all errors.
            raw: the parameters.
            codec: the form of the wire.
        """
        if raw is None or exc.error_count() <= FIELD_ERRORS:
            return field_errors(exc)
        try:
            self.load_large(raw, codec)
        except ValidationError as first:
            more = {"loc": [], "msg": "and more values are wrong", "type": "too_many_errors"}
            return [*field_errors(first)[:FIELD_ERRORS], more]
        except ValueError:
            pass
        return field_errors(exc)

    def dump(self, value: Any, codec: Codec, around: int = BODY_LEVELS) -> bytes:
        try:
            return self._dump(value, codec, around)
        except UNSENDABLE as exc:
            raise_interruption(exc)  # As in WireType.dump: convert the value by validation, or find the error.
        _, arguments = self._validator.validate_python(value)
        try:
            return self._dump({name: arguments[name] for name in value}, codec, around)
        except UNSENDABLE as exc:
            raise_interruption(exc)
            raise unsendable(value, exc, binary=codec.packed) from exc


class _BoundedParamsType(_ParamsType):
    """Parameters whose types take many steps to read a value. All others do without the comparison."""

    def load(self, raw: Raw | bytes, codec: Codec) -> Any:
        check_parts(self, raw, codec, "params: this call", ("params",))
        return super().load(raw, codec)

    def load_large(self, raw: Raw | bytes, codec: Codec) -> Any:
        check_parts(self, raw, codec, "params: this call", ("params",))
        return super().load_large(raw, codec)


def _dump_nothing(_value: Any, _codec: Codec) -> bytes:
    raise TypeError("the method answers with a stream, and has no result")


def _as_typed_dict(schema: Any) -> CoreSchema:
    """Turn the schema of arguments into that of a dictionary of them by name."""
    if schema["type"] == "definitions":
        return core_schema.definitions_schema(_as_typed_dict(schema["schema"]), schema["definitions"])
    fields = {p["name"]: core_schema.typed_dict_field(p["schema"], required=False) for p in schema["arguments_schema"]}
    return core_schema.typed_dict_schema(fields)


def _wire_type(annotation: Any, where: str, name: str) -> WireType:
    try:
        return EncodedType(annotation) if is_marked(annotation) else WireType(annotation)
    except TypeError as exc:
        raise TypeError(f"{where}: {name}: {exc}") from exc
