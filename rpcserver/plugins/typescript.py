"""Generates a typed client stub in TypeScript: the models and errors of a service, and an interface of its methods."""

from __future__ import annotations

import collections.abc
import dataclasses
import datetime as dt
import inspect
import json
import re
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints
from uuid import UUID

import typing_extensions
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from rpcwire.contracts import Parameter, stream_item
from rpcwire.errors import ServiceError
from rpcwire.limits import DEFAULT_DEADLINE_S
from rpcwire.rows.rows import Rows
from rpcwire.service import MethodSpec, Service, SlowPolicy
from rpcwire.values.repeated import Repeated
from rpcwire.values.tagged import Value

PACKAGE = "@remote-services/client"
"""The module from which stubs import, unless they are told another one."""

_SAFE = 2**53 - 1
_TEXTS = (Decimal, UUID, dt.datetime, dt.date, dt.time, dt.timedelta, PurePath)
_LISTS = (list, collections.abc.Sequence, collections.abc.MutableSequence, collections.abc.Collection)
_SETS = (set, frozenset, collections.abc.Set, collections.abc.MutableSet)
_MAPPINGS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)
_VALUE = get_args(Value)[1]


def generate_typescript(service: type[Service[Any]], module: str = PACKAGE) -> str:
    """Generate a module of TypeScript with the stub of a service.

    Parameters:
        service: the service class.
        module: the module from which it imports the client.

    Returns:
        Its source.

    Raises:
        TypeError: a method cannot be offered.
    """
    writer = _Writer()
    methods = list(service.methods())
    members = [writer.write_member(spec) for spec in methods]
    rows = [row for spec in methods if (row := writer.write_row(spec))]
    name = service.__name__
    doc = _write_doc((inspect.getdoc(service) or name).strip(), "")
    body = "\n\n".join(members)
    table = "\n".join(rows)
    interface = f"{doc}export interface {name} {{\n{body}\n}}"
    stub = (
        f"/** The stub of the service `{service.name}`, for `client.service`. */\n"
        f'export const {service.name}: ServiceStub<{name}> = defineService<{name}>("{service.name}", {{\n{table}\n}});'
    )
    parts = [*writer.declarations.values(), *writer.shape_declarations(), *writer.error_tables(), interface, stub]
    text = "\n\n".join(part for part in parts if part)
    names = [each for each in ("RpcStream", "CallOptions", "Source", "Shape") if each in text]
    types_used = ", ".join(f"type {each}" for each in sorted([*names, "ServiceStub"]))
    values_used = ", ".join(sorted({"defineService", *writer.errors_used}))
    head = f"// Generated from the service {service.name}. Do not edit: change the service and generate anew."
    return f'{head}\n\nimport {{ {values_used}, {types_used} }} from "{module}";\n\n{text}\n'


@dataclass(frozen=True)
class _Field:
    """A member of a structured type.

    Attributes:
        name: its name on the wire.
        kind: its annotation.
        is_required: whether a caller must give it.
        doc: what it is.
    """

    name: str
    kind: Any
    is_required: bool
    doc: str


class _Writer:
    """Writes types, and the shapes by which the client reads and writes values at run time.

    Attributes:
        declarations: the models and errors so far, by their names here.
        errors_used: the classes of the client's own errors that are named.
    """

    def __init__(self) -> None:
        self.declarations: dict[str, str] = {}
        self.errors_used: set[str] = set()
        self._names: dict[Any, str] = {}
        self._shapes: dict[str, list[_Field]] = {}
        self._shape_homes: dict[Any, str] = {}
        self._tables: dict[str, str] = {}

    # --- methods --------------------------------------------------------------------------------------------------

    def write_member(self, spec: MethodSpec) -> str:
        """Write a method of the interface."""
        contract = spec.contract
        parameters = self._write_parameters(contract.parameters)
        if contract.item is None:
            answer = f"Promise<{self._answer_type(contract.returns)}>"
        else:
            answer = f"RpcStream<{self.type_of(stream_item(contract.returns))}>"
        doc = _write_doc(spec.doc, "  ") if spec.doc else ""
        return f"{doc}  {spec.name}({parameters}options?: CallOptions): {answer};"

    def _answer_type(self, annotation: Any) -> str:
        return "null" if annotation is type(None) else self.type_of(annotation)

    def _write_parameters(self, parameters: Sequence[Parameter]) -> str:
        if not parameters:
            return "params?: Readonly<Record<string, never>> | null, "
        members = []
        for each in parameters:
            item = stream_item(each.annotation)
            kind = f"Source<{self.type_of(item, True)}>" if item is not None else self.type_of(each.annotation, True)
            is_required = each.default is inspect.Parameter.empty
            members.append(f"    {_member(each.name)}{'' if is_required else '?'}: {kind};\n")
        mark = "" if any(each.default is inspect.Parameter.empty for each in parameters) else "?"
        return f"params{mark}: {{\n{''.join(members)}  }}{' | null' if mark else ''}, "

    def write_row(self, spec: MethodSpec) -> str:
        """Write what the client must know of a method at run time."""
        contract, options = spec.contract, spec.options
        parts = []
        params = {
            each.name: self.shape_of(each.annotation)
            for each in contract.parameters
            if each.item is None and self._has_values(each.annotation)
        }
        if params:
            parts.append(f"params: {_write_record(params)}")
        answer = stream_item(contract.returns) if contract.item is not None else contract.returns
        if (shape := self.shape_of(answer)) != _PLAIN:
            parts.append(f"returns: {shape}")
        if contract.item is not None:
            parts.append("isStream: true")
        if options.slow_policy is SlowPolicy.LATEST:
            parts.append("isLatest: true")
        uploads = {
            each.name: self.shape_of(stream_item(each.annotation))
            for each in contract.parameters
            if each.item is not None
        }
        if uploads:
            parts.append(f"uploads: {_write_record(uploads)}")
        if options.deadline_s != DEFAULT_DEADLINE_S:
            parts.append(f"deadlineS: {options.deadline_s:g}")
        if options.errors:
            parts.append(f"errors: {self._errors(options.errors)}")
        return f"  {spec.name}: {{ {', '.join(parts)} }}," if parts else f"  {spec.name}: {{}},"

    def _errors(self, errors: Sequence[type[ServiceError]]) -> str:
        """Write the table of the errors of a method. Many methods have the same ones."""
        table = f"{{ {', '.join(map(self._error, errors))} }}"
        return self._tables.setdefault(table, f"errors{len(self._tables) + 1}")

    def error_tables(self) -> Iterator[str]:
        """Write the tables of errors that were named."""
        for table, name in self._tables.items():
            yield f"const {name} = {table};"

    def _error(self, error: type[ServiceError]) -> str:
        name = error.__name__
        if error.__module__ == "rpcwire.errors":
            self.errors_used.add(name)
            return name
        if name not in self.declarations:
            self.errors_used.add("ServiceError")
            fields = error.details_model().model_fields
            details = "".join(f"{_member(n)}: {self.type_of(f.annotation, in_json=True)}; " for n, f in fields.items())
            doc = _write_doc((inspect.getdoc(error) or name).strip(), "")
            body = f"\n  declare readonly details: {{ {details}}};\n" if details else ""
            self.declarations[name] = f"{doc}export class {name} extends ServiceError {{{body}}}"
        return name

    # --- types ----------------------------------------------------------------------------------------------------

    def type_of(self, kind: Any, is_input: bool = False, *, in_json: bool = False) -> str:
        """Write a type.

        Parameters:
            kind: the annotation.
            is_input: whether callers give such values; otherwise they get them.
            in_json: whether the values come as JSON has them, whatever the form of the wire.
        """
        may_exceed = get_origin(kind) is Annotated and _may_exceed(kind)
        kind = _bare(kind)
        name = _PRIMITIVES.get(kind)
        if name is not None:
            return "string" if in_json and kind is bytes else name
        if kind is int and (is_input or may_exceed):
            return "number | bigint"
        if kind is int:
            return "number"
        origin, arguments = get_origin(kind), get_args(kind)

        def write(each: Any) -> str:
            return self.type_of(each, is_input, in_json=in_json)

        if origin is Literal:
            return " | ".join(json.dumps(each) for each in arguments)
        if origin in (Union, types.UnionType):
            return " | ".join(dict.fromkeys(map(write, arguments)))
        if origin in _LISTS or kind in _LISTS:
            item = write(arguments[0]) if arguments else "unknown"
            item = f"({item})[]" if " " in item else f"{item}[]"
            return f"readonly {item}" if is_input else item
        if origin in _SETS:
            return f"{'ReadonlySet' if is_input else 'Set'}<{write(arguments[0])}>"
        if origin is tuple:
            if arguments[-1:] == (...,):
                return self.type_of(list[arguments[0]], is_input, in_json=in_json)  # type: ignore[valid-type]
            return f"{'readonly ' if is_input else ''}[{', '.join(map(write, arguments))}]"
        if origin in _MAPPINGS:
            return self._mapping(arguments, write, is_input)
        if isinstance(kind, type) and issubclass(kind, Enum):
            return self._enum(kind)
        if isinstance(kind, type) and issubclass(kind, _TEXTS):
            return "string | Date" if is_input and issubclass(kind, dt.datetime) else "string"
        if kind is Rows:
            return "unknown[][]"
        if _is_named_tuple(kind):
            return f"[{', '.join(map(write, get_type_hints(kind, include_extras=True).values()))}]"
        if (fields := _fields_of(kind)) is not None:
            return self._model(kind, fields, is_input, in_json=in_json)
        return "unknown"

    @staticmethod
    def _mapping(arguments: tuple[Any, ...], write: Callable[[Any], str], is_input: bool) -> str:
        key, value = _bare(arguments[0]), write(arguments[1])
        if get_origin(key) is Literal or (isinstance(key, type) and issubclass(key, Enum)):
            return f"Partial<Record<{write(key)}, {value}>>"
        if key is str:
            return f"Readonly<Record<string, {value}>>" if is_input else f"Record<string, {value}>"
        return f"{'ReadonlyMap' if is_input else 'Map'}<{write(key)}, {value}>"

    def _enum(self, kind: type[Enum]) -> str:
        name = kind.__name__
        if name not in self.declarations:
            doc = _write_doc((kind.__doc__ or name).strip(), "")
            members = " | ".join(json.dumps(each.value) for each in kind)
            self.declarations[name] = f"{doc}export type {name} = {members};"
        return name

    def _model(self, kind: Any, fields: list[_Field], is_input: bool, *, in_json: bool) -> str:
        key = (kind, is_input, in_json)
        if key in self._names:
            return self._names[key]
        name = f"{_name_of(kind)}{'Input' if is_input else ''}{'Json' if in_json else ''}"
        while name in self._names.values():
            name += "_"
        self._names[key] = name
        self.declarations[name] = ""  # Its place, before those that have it as a member.
        lines = []
        for each in fields:
            doc = _write_doc(each.doc, "  ") if each.doc else ""
            mark = "?" if is_input and not each.is_required else ""
            lines.append(f"{doc}  {_member(each.name)}{mark}: {self.type_of(each.kind, is_input, in_json=in_json)};")
        own = get_origin(kind) or kind
        doc = own.__doc__ if own.__doc__ and not own.__doc__.startswith(f"{own.__name__}(") else own.__name__
        body = "\n".join(lines)
        self.declarations[name] = f"{_write_doc(inspect.cleandoc(doc), '')}export interface {name} {{\n{body}\n}}"
        return name

    # --- shapes ---------------------------------------------------------------------------------------------------

    def shape_of(self, kind: Any) -> str:
        """Write the shape of a type: how its values differ between the forms of the wire."""
        if not self._is_shaped(kind, frozenset()):
            return _PLAIN
        is_packed = get_origin(kind) is Annotated and any(isinstance(each, Repeated) for each in get_args(kind)[1:])
        shape = self._write_shape(_bare(kind))
        return f'["packed", {shape}]' if is_packed else shape

    def _write_shape(self, kind: Any) -> str:
        origin, arguments = get_origin(kind), get_args(kind)
        if kind in _PARTS:
            return f'"{_PARTS[kind]}"'
        if kind is Rows:
            return '"rows"'
        if origin in (Union, types.UnionType):
            shapes = dict.fromkeys(self.shape_of(each) for each in arguments if each is not type(None))
            return next(iter(shapes)) if len(shapes) == 1 else f'["union", {", ".join(shapes)}]'
        if origin in _LISTS or (origin is tuple and arguments[-1:] == (...,)):
            return f'["list", {self.shape_of(arguments[0])}]'
        if origin in _SETS:
            return f'["set", {self.shape_of(arguments[0])}]'
        if origin is tuple or _is_named_tuple(kind):
            members = arguments or tuple(get_type_hints(kind, include_extras=True).values())
            return f'["tuple", {", ".join(map(self.shape_of, members))}]'
        if origin in _MAPPINGS:
            if isinstance(_bare(arguments[0]), type) and issubclass(_bare(arguments[0]), (int, bytes, *_TEXTS)):
                return f'["map", {self.shape_of(arguments[0])}, {self.shape_of(arguments[1])}]'
            return f'["record", {self.shape_of(arguments[1])}]'
        fields = _fields_of(kind)
        assert fields is not None, kind
        if kind not in self._shape_homes:
            name = f"shapeOf{_name_of(kind)}"
            while name in self._shapes:
                name += "_"
            self._shape_homes[kind] = name
            self._shapes[name] = fields
        return self._shape_homes[kind]

    def _is_shaped(self, kind: Any, around: frozenset[Any], only: frozenset[str] | None = None) -> bool:
        """Tell whether values of a type differ between the forms of the wire.

        Parameters:
            kind: the annotation.
            around: the models in which it is a member.
            only: the parts that count; all where ``None``.
        """
        if get_origin(kind) is Annotated and _is_bounded(kind):
            return False
        if get_origin(kind) is Annotated and any(isinstance(each, Repeated) for each in get_args(kind)[1:]):
            return True
        kind = _bare(kind)
        if kind in _PARTS:
            return only is None or _PARTS[kind] in only
        if kind is Rows:
            return True
        if get_origin(kind) in _SETS and only is None:
            return True
        if get_origin(kind) in _MAPPINGS and only is None and _bare(get_args(kind)[0]) is int:
            return True
        if get_origin(kind) is Literal or kind in around:
            return False
        fields = _fields_of(kind)
        if fields is not None:
            return any(self._is_shaped(each.kind, around | {kind}, only) for each in fields)
        members = get_type_hints(kind, include_extras=True).values() if _is_named_tuple(kind) else get_args(kind)
        return any(self._is_shaped(each, around, only) for each in members if each is not ...)

    def _has_values(self, kind: Any) -> bool:
        return self._is_shaped(kind, frozenset(), frozenset({"value"}))

    def shape_declarations(self) -> Iterator[str]:
        """Write the shapes of the models that were named."""
        written: set[str] = set()
        while missing := [name for name in self._shapes if name not in written]:
            for name in missing:
                written.add(name)
                members = {each.name: self.shape_of(each.kind) for each in self._shapes[name]}
                # A union looks for the names of all members.
                yield f"const {name}: Shape = () => ({_write_record(members)});"


_PLAIN = '"plain"'
_PRIMITIVES: Mapping[Any, str] = {
    str: "string", bool: "boolean", float: "number", bytes: "Uint8Array", type(None): "null", None: "null",
    Any: "unknown", object: "unknown", _VALUE: "unknown",
}  # fmt: skip
_PARTS: Mapping[Any, str] = {int: "int", float: "float", bytes: "bytes", _VALUE: "value"}


def _bare(kind: Any) -> Any:
    """Return a type without its annotations and its other names. A value of any type is its marker."""
    while True:
        if isinstance(kind, typing_extensions.TypeAliasType):
            kind = kind.__value__
        elif get_origin(kind) is Annotated:
            first, *rest = get_args(kind)
            if _VALUE in rest:
                return _VALUE
            kind = first
        elif hasattr(kind, "__supertype__"):
            kind = kind.__supertype__
        else:
            return kind


def _is_bounded(kind: Any) -> bool:
    """Tell whether a number is the same in every form of the wire: a safe integer, or a finite float."""
    bounds = _all_bounds(kind)
    if get_args(kind)[0] is int:
        low, high = bounds.get("ge", bounds.get("gt")), bounds.get("le", bounds.get("lt"))
        return low is not None and high is not None and low >= -_SAFE and high <= _SAFE
    if get_args(kind)[0] is float:
        return bounds.get("allow_inf_nan") is False or ("le" in bounds and "ge" in bounds)
    return False


def _may_exceed(kind: Any) -> bool:
    """Tell whether an integer is meant to be beyond the safe ones, as its bounds say."""
    return get_args(kind)[0] is int and any(abs(bound) > _SAFE + 1 for bound in _all_bounds(kind).values())


def _all_bounds(kind: Any) -> dict[str, Any]:
    metadata = [
        part for each in get_args(kind)[1:] for part in (each.metadata if isinstance(each, FieldInfo) else (each,))
    ]
    return {name: value for each in metadata for name, value in _bounds_of(each).items()}


def _bounds_of(part: Any) -> dict[str, Any]:
    names = ("ge", "gt", "le", "lt", "allow_inf_nan")
    return {name: value for name in names if (value := getattr(part, name, None)) is not None}


def _is_named_tuple(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, tuple) and hasattr(kind, "_fields")


def _fields_of(kind: Any) -> list[_Field] | None:
    """Return the members of a model, a dataclass or a typed dictionary; ``None`` if it is none of them."""
    own = get_origin(kind) or kind
    if isinstance(own, type) and issubclass(own, BaseModel):
        return [
            _Field(
                field.serialization_alias or field.alias or name,
                _rebuild(field),
                field.is_required(),
                field.description or "",
            )
            for name, field in own.model_fields.items()
        ]
    if dataclasses.is_dataclass(own) and isinstance(own, type):
        return list(_dataclass_fields(own, kind))
    if typing_extensions.is_typeddict(own):
        hints = get_type_hints(own, include_extras=True)
        return [_Field(name, hint, name in vars(own)["__required_keys__"], "") for name, hint in hints.items()]
    return None


def _rebuild(field: FieldInfo) -> Any:
    """Return the annotation of a field with what was taken out of it."""
    return Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation


def _dataclass_fields(own: type, kind: Any) -> Iterator[_Field]:
    hints = get_type_hints(own, include_extras=True)
    parameters = getattr(own, "__parameters__", ())
    by_parameter: dict[Any, Any] = dict(zip(parameters, get_args(kind), strict=False))
    for each in dataclasses.fields(own):
        if not each.init:
            continue
        hint = hints[each.name]
        hint = by_parameter.get(hint, hint) if isinstance(hint, TypeVar) else hint
        default: Any = each.default
        if isinstance(default, FieldInfo):
            kind_here = Annotated[(hint, *default.metadata)] if default.metadata else hint
            yield _Field(each.name, kind_here, default.is_required(), default.description or "")
        else:
            is_required = default is dataclasses.MISSING and each.default_factory is dataclasses.MISSING
            yield _Field(each.name, hint, is_required, "")


def _name_of(kind: Any) -> str:
    own = get_origin(kind) or kind
    arguments = "".join(_name_of(each) for each in get_args(kind) if isinstance(each, type))
    return f"{own.__name__}Of{arguments}" if arguments else str(own.__name__)


def _member(name: str) -> str:
    return name if name.isidentifier() else json.dumps(name)


def _write_record(members: Mapping[str, str]) -> str:
    inside = ", ".join(f"{_member(name)}: {shape}" for name, shape in members.items())
    return f"{{ {inside} }}"


def _write_doc(text: str, indent: str) -> str:
    plain = _ROLE.sub(_write_code, text.replace("*/", "* /"))
    lines = _to_tags(_LITERAL.sub(r"`\1`", plain).splitlines())
    if len(lines) == 1:
        return f"{indent}/** {lines[0]} */\n"
    body = "".join(f"{indent} * {line}".rstrip() + "\n" for line in lines)
    return f"{indent}/**\n{body}{indent} */\n"


def _write_code(role: re.Match[str]) -> str:
    """Write what a role of Sphinx refers to as editors of TypeScript show code: without modules behind a tilde, and
    without the target of a reference that has a text."""
    text = " ".join(role[1].split())
    text = text.partition(" <")[0]
    return f"`{text.rpartition('.')[2] if text.startswith('~') else text}`"


_ROLE = re.compile(r":(?:[a-z]+:)?[a-z]+:`([^`]+)`")
"""A role of Sphinx, such as ``:meth:`read```; its text may go on in the next line."""
_LITERAL = re.compile(r"``([^`\n]+)``")
_SECTIONS = {"Parameters:": "@param params.", "Returns:": "@returns", "Raises:": "@throws"}
_ENTRY = re.compile(r"    (\w[\w, ]*): (.*)")


def _to_tags(lines: Sequence[str]) -> list[str]:
    """Write the sections of a docstring as the tags of TSDoc, which editors show with the parameters."""
    written: list[str] = []
    tag = ""
    for line in lines:
        if line in _SECTIONS:
            tag = _SECTIONS[line]
            while written and not written[-1]:
                written.pop()
            if tag == "@returns":
                written.append(tag)
        elif line and not line.startswith(" "):
            tag = ""
            written.append(line)
        elif tag == "@returns" and line and written[-1] == tag:
            written[-1] += f" {line.strip()}"
        elif tag and (entry := _ENTRY.fullmatch(line)) is not None:
            written += _write_entries(tag, entry[1], entry[2])
        else:
            written.append(f"  {line.strip()}" if tag and line else line)
    return written


def _write_entries(tag: str, names: str, text: str) -> Iterator[str]:
    for name in names.split(", "):
        yield f"@throws {name}: {text}" if tag == "@throws" else f"{tag}{name} - {text}"
