"""Generates a typed client stub from a service: the models and errors that its methods name, copied from their source
with whatever they need, and two classes for each of the two clients: one for a server, one for a group of servers."""

from __future__ import annotations

import ast
import builtins
import importlib
import importlib.util
import inspect
import itertools
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from rpcwire.limits import DEFAULT_DEADLINE_S
from rpcwire.service import MethodSpec, Service, SlowPolicy

_SHARED_PACKAGES = frozenset({"pydantic", "pydantic_core", "typing_extensions", "annotated_types", "rpcwire"})
"""Packages, besides the standard library, that every client has: definitions in them are imported, not copied."""

_Import = tuple[str, str | None, str]
"""A module, the imported attribute of it (``None`` for the module itself), and its name here."""


class StubError(Exception):
    """A stub cannot be generated; the message names the definition that prevents it."""


@dataclass
class _Source:
    """A module's top-level definitions and imports, by the names they bind."""

    module: ModuleType
    definitions: dict[str, ast.stmt] = field(default_factory=dict)
    imports: dict[str, tuple[str, str | None]] = field(default_factory=dict)

    @staticmethod
    def read(module: ModuleType) -> _Source:
        source = _Source(module)
        for node in ast.parse(inspect.getsource(module)).body:
            for name in _bound_names(node):
                source.definitions[name] = node
            if isinstance(node, ast.Import):
                for alias in node.names:
                    source.imports[alias.asname or alias.name.partition(".")[0]] = (alias.name, None)
            elif isinstance(node, ast.ImportFrom):
                base = "." * node.level + (node.module or "")
                origin = importlib.util.resolve_name(base, module.__package__) if node.level else base
                for alias in node.names:
                    source.imports[alias.asname or alias.name] = (origin, alias.name)
        return source


def _bound_names(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
        yield node.name
    elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        yield node.target.id
    elif isinstance(node, ast.Assign):
        for target in node.targets:
            if isinstance(target, ast.Name):
                yield target.id


class _Collector:
    """Collects definitions and their dependencies, each once, in an order in which Python can run them."""

    def __init__(self) -> None:
        self._sources: dict[str, _Source] = {}
        self.origins: dict[str, str] = {}
        self.imports: set[_Import] = set()
        self.body: list[str] = []

    def source(self, module: str) -> _Source:
        if module not in self._sources:
            self._sources[module] = _Source.read(sys.modules.get(module) or importlib.import_module(module))
        return self._sources[module]

    def names_in(self, node: ast.AST, module: str) -> None:
        """Collect the definitions of all names in ``node``."""
        for name in _names(node):
            self.name(name, module)

    def name(self, name: str, module: str) -> None:
        source = self.source(module)
        if name in source.definitions:
            self._define(name, source)
        elif name in source.imports:
            origin, attribute = source.imports[name]
            self._import(name, origin, attribute)

    def _import(self, name: str, origin: str, attribute: str | None) -> None:
        if origin == "rpcserver" and attribute is not None:
            origin = _home(attribute)
        top = origin.partition(".")[0]
        if top in sys.stdlib_module_names or top in _SHARED_PACKAGES:
            self.imports.add((origin, attribute, name))
        elif attribute is not None and name == attribute:
            self.name(attribute, origin)
        else:
            raise StubError(f"{name}: comes from {origin}, which a client may not have; define it with the models")

    def _define(self, name: str, source: _Source) -> None:
        module = source.module.__name__
        origin = self.origins.get(name)
        if origin == module:
            return
        if origin is not None:
            raise StubError(f"{name}: defined in both {origin} and {module}; rename one")
        node = source.definitions[name]
        for bound_name in _bound_names(node):
            self.origins[bound_name] = module
        self.names_in(node, module)
        text = ast.get_source_segment(inspect.getsource(source.module), node, padded=True)
        decorators = getattr(node, "decorator_list", [])
        head = "".join(f"@{ast.unparse(d)}\n" for d in decorators)
        self.body.append(head + textwrap.dedent(text or ast.unparse(node)) + _doc_after(source, node))


def _doc_after(source: _Source, node: ast.stmt) -> str:
    """Return the string after an assignment that documents it; empty if there is none."""
    if isinstance(node, (ast.Assign, ast.AnnAssign)):
        body = ast.parse(inspect.getsource(source.module)).body
        for before, after in itertools.pairwise(body):
            if before.lineno == node.lineno and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
                return "\n" + ast.unparse(after)
    return ""


def _home(attribute: str) -> str:
    """Return the module that defines an attribute of ``rpcserver``."""
    value = getattr(importlib.import_module("rpcserver"), attribute)
    module: str = getattr(value, "__module__", "")
    return module if module.startswith("rpcwire.") else "rpcwire.values.tagged"


def _names(node: ast.AST) -> Iterator[str]:
    for inner in ast.walk(node):
        if isinstance(inner, ast.Name):
            yield inner.id
        elif isinstance(inner, ast.Constant) and isinstance(inner.value, str) and inner.value.isidentifier():
            yield inner.value  # A quoted annotation; no definition has the name of any other string.


# --- the modules -----------------------------------------------------------------------------------------------------


def generate(service: type[Service[Any]]) -> str:
    """Generate a Python module with the stubs of a service: its models, and for each of the two clients a class for a
    server and one for a group of servers.

    Parameters:
        service: the service class.

    Returns:
        Its source.

    Raises:
        StubError: a definition that its methods name cannot be given to a client.
        TypeError: a method cannot be offered.
    """
    contents = _Contents.of(service)
    head = f"# Generated by `rpcserver stubs {service.name}`. Do not edit: change the service and generate anew."
    colours = (ASYNCHRONOUS, SYNCHRONOUS)
    classes = [*map(contents.stub, colours), *map(contents.group_stub, colours)]
    imports = set(contents.imports)
    for colour in colours:
        imports |= contents.base_imports(colour) | contents.group_imports(colour)
    return _module(head, f"The service {service.name!r}, typed for both clients.", imports, contents.models, classes)


def generate_models(service: type[Service[Any]]) -> str:
    """Generate a Python module with only the models and errors of a service.

    Parameters, Raises:
        see :func:`generate`.

    Returns:
        Its source.
    """
    contents = _Contents.of(service)
    doc = f"What the service {service.name!r} takes, answers and raises."
    return _module(_made_of(service), doc, contents.used_in(contents.models), contents.models, [])


def generate_class(service: type[Service[Any]], colour: Colour, models: str) -> str:
    """Generate a Python module with the class for one of the two clients.

    Parameters:
        service: the service class.
        colour: the client.
        models: the module of :func:`generate_models`, from which it imports.

    Returns:
        Its source.

    Raises:
        StubError, TypeError: see :func:`generate`.
    """
    contents = _Contents.of(service)
    stub = contents.stub(colour)
    imports = contents.base_imports(colour) | contents.used_in([stub])
    imports |= {(models, name, name) for name in contents.model_names & _names_of([stub])}
    return _module(_made_of(service), f"The service {service.name!r}, typed {colour.purpose}.", imports, [], [stub])


def generate_group_class(service: type[Service[Any]], colour: Colour, models: str, stubs: str) -> str:
    """Generate a Python module with the class for groups of servers for one of the two clients.

    Parameters:
        service: the service class.
        colour: the client.
        models: the module of :func:`generate_models`, from which it imports.
        stubs: the module of :func:`generate_class`, from which it imports.

    Returns:
        Its source.

    Raises:
        StubError, TypeError: see :func:`generate`.
    """
    contents = _Contents.of(service)
    stub = contents.group_stub(colour)
    imports = contents.group_imports(colour) | contents.used_in([stub])
    imports |= {(models, name, name) for name in contents.model_names & _names_of([stub])}
    single = f"{colour.prefix}{service.__name__}"
    imports.add((stubs, single, single))
    doc = f"The service {service.name!r} of a group, typed {colour.purpose}."
    return _module(_made_of(service), doc, imports, [], [stub])


def _made_of(service: type[Service[Any]]) -> str:
    return f"# Generated from the service {service.name} by `make stubs`. Do not edit: change that, and generate anew."


def _module(head: str, doc: str, imports: set[_Import], models: list[str], classes: list[str]) -> str:
    lines = "\n".join(_import_lines(imports))
    parts = [head, f'"""{doc}"""', "from __future__ import annotations", lines, *models, *classes]
    return "\n\n".join(parts) + "\n"


@dataclass(frozen=True)
class Colour:
    """The names for the stubs of one of the two clients.

    Attributes:
        purpose: the client, in words.
        prefix: the beginning of the class's name.
        base: the module and the name of the base class.
        stream: the module and the name of the type that streaming methods return.
        items: the type of parameters that are streams.
        group_base: the module and the name of the base class for groups.
        outcomes: the module and the name of the type that methods of groups return.
        group_stream: the module and the name of the type that streaming methods of groups return.
    """

    purpose: str
    prefix: str
    base: tuple[str, str]
    stream: tuple[str, str]
    items: str
    group_base: tuple[str, str]
    outcomes: tuple[str, str]
    group_stream: tuple[str, str]


ASYNCHRONOUS = Colour(
    "for the asynchronous client",
    "Async",
    ("rpcclient.aio.stub", "AsyncStub"),
    ("rpcclient.aio.stream", "AsyncStream"),
    "AsyncIterable",
    ("rpcclient.aio.group_stub", "AsyncGroupStub"),
    ("rpcclient.aio.outcomes", "AsyncOutcomes"),
    ("rpcclient.aio.outcomes", "AsyncGroupStream"),
)
SYNCHRONOUS = Colour(
    "for the synchronous client",
    "",
    ("rpcclient.sync.stub", "SyncStub"),
    ("rpcclient.sync.stream", "Stream"),
    "Iterable",
    ("rpcclient.sync.group_stub", "GroupStub"),
    ("rpcclient.sync.outcomes", "Outcomes"),
    ("rpcclient.sync.outcomes", "GroupStream"),
)


@dataclass(frozen=True)
class _Contents:
    """The parts of a service's stubs.

    Attributes:
        service: the service.
        methods: its methods.
        models: the source of each definition that the methods need, in order.
        model_names: the names that these definitions bind.
        imports: the imports of both the models and the classes.
    """

    service: type[Service[Any]]
    methods: list[_StubbedMethod]
    models: list[str]
    model_names: frozenset[str]
    imports: set[_Import]

    @staticmethod
    def of(service: type[Service[Any]]) -> _Contents:
        collector = _Collector()
        methods = [_StubbedMethod.of(spec, collector) for spec in service.methods()]
        return _Contents(service, methods, collector.body, frozenset(collector.origins), collector.imports)

    def stub(self, colour: Colour) -> str:
        """Generate the source of the class for one client."""
        service = self.service
        doc = textwrap.indent(_write_docstring((inspect.getdoc(service) or service.__name__).strip()), "    ")
        rows = "\n".join(f"        {method.row}" for method in self.methods)
        table = f"    _methods: ClassVar[Mapping[str, StubMethod]] = {{\n{rows}\n    }}"
        methods = [textwrap.indent(_render(m.spec, m.node, m.arguments, colour), "    ") for m in self.methods]
        return "\n\n".join([f"class {colour.prefix}{service.__name__}({colour.base[1]}):\n{doc}", *methods, table])

    def group_stub(self, colour: Colour) -> str:
        """Generate the source of the class for a group, for one client."""
        service = self.service
        text = (inspect.getdoc(service) or service.__name__).strip()
        text += (
            "\n\nEach method calls all nodes of a group. What takes streams, or belongs to a connection, is left out."
        )
        doc = textwrap.indent(_write_docstring(text), "    ")
        single = f"    _stub: ClassVar[type[{colour.base[1]}]] = {colour.prefix}{service.__name__}"
        methods = [
            textwrap.indent(_render_for_group(m.spec, m.node, m.arguments, colour), "    ")
            for m in self.methods
            if m.is_for_groups
        ]
        return "\n\n".join(
            [f"class {colour.prefix}Group{service.__name__}({colour.group_base[1]}):\n{doc}", *methods, single]
        )

    def group_imports(self, colour: Colour) -> set[_Import]:
        """Return the imports of the class for a group, without those for names in its methods."""
        methods = [method.spec for method in self.methods if method.is_for_groups]
        imports: set[_Import] = {
            ("typing", "ClassVar", "ClassVar"),
            (*colour.base, colour.base[1]),
            (*colour.group_base, colour.group_base[1]),
        }
        if any(spec.contract.item is None for spec in methods):
            imports.add((*colour.outcomes, colour.outcomes[1]))
        if any(spec.contract.item is not None for spec in methods):
            imports.add((*colour.group_stream, colour.group_stream[1]))
        if _method_names_of_builtins(self.service):
            imports.add(("builtins", None, "builtins"))
        return imports

    def base_imports(self, colour: Colour) -> set[_Import]:
        """Return the imports of the class for one client, without those for names in its methods."""
        imports: set[_Import] = {
            ("typing", "ClassVar", "ClassVar"),
            ("collections.abc", "Mapping", "Mapping"),
            ("rpcclient.methods", "StubMethod", "StubMethod"),
            (*colour.base, colour.base[1]),
        }
        if any(method.spec.contract.item is not None for method in self.methods):
            imports.add((*colour.stream, colour.stream[1]))
        if any(method.spec.contract.stream_parameters for method in self.methods):
            imports.add(("collections.abc", colour.items, colour.items))
        if _method_names_of_builtins(self.service):
            imports.add(("builtins", None, "builtins"))
        return imports

    def used_in(self, parts: list[str]) -> set[_Import]:
        """Return the imports that these parts of the source need."""
        names = _names_of(parts)
        return {each for each in self.imports if each[2] in names}


def _names_of(parts: list[str]) -> set[str]:
    return {name for part in parts for name in _names(ast.parse(part))}


def _import_lines(imports: set[_Import]) -> Iterator[str]:
    for origin, attribute, name in sorted(imports, key=lambda i: (i[0], i[1] or "", i[2])):
        if attribute is None:
            alias = "" if name == origin.partition(".")[0] else f" as {name}"
            yield f"import {origin}{alias}"
        else:
            alias = "" if name == attribute else f" as {name}"
            yield f"from {origin} import {attribute}{alias}"


def _write_docstring(text: str) -> str:
    source = text.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    if source.endswith('"'):
        source += " "
    return f'"""{source}\n"""' if "\n" in source else f'"""{source}"""'


@dataclass(frozen=True)
class _StubbedMethod:
    """One method.

    Attributes:
        spec: its declaration.
        node: its definition.
        arguments: its parameters on the wire.
    """

    spec: MethodSpec
    node: ast.FunctionDef | ast.AsyncFunctionDef
    arguments: ast.arguments

    @staticmethod
    def of(spec: MethodSpec, collector: _Collector) -> _StubbedMethod:
        module = spec.function.__module__
        node = ast.parse(textwrap.dedent(inspect.getsource(spec.options.event or spec.function))).body[0]
        assert isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        if spec.options.event is not None:
            node = _event_method(node, collector)
        contract = spec.contract
        arguments = _without(node.args, {"self", contract.context_name})
        for part in (*_annotations(arguments), *_defaults(arguments)):
            collector.names_in(part, module)
        assert node.returns is not None
        if contract.item is None:
            collector.names_in(node.returns, module)
        else:
            collector.names_in(_item_of(node.returns), module)
        for error in spec.options.errors:
            if error.__module__.partition(".")[0] != "rpcwire":
                collector.name(error.__name__, error.__module__)
            else:
                collector.imports.add((error.__module__, error.__name__, error.__name__))
        return _StubbedMethod(spec, node, arguments)

    @property
    def is_for_groups(self) -> bool:
        """Whether it may be called on many nodes at once."""
        return self.spec.options.group and not self.spec.contract.stream_parameters

    @property
    def row(self) -> str:
        """The row of the method in the class's table."""
        options = self.spec.options
        extra = "" if options.deadline_s == DEFAULT_DEADLINE_S else f", deadline_s={options.deadline_s!r}"
        if options.window is not None:
            extra += f", window={options.window}"
        if options.errors:
            extra += f", errors=({', '.join(e.__name__ for e in options.errors)},)"
        if options.slow_policy is SlowPolicy.LATEST:
            extra += ", latest=True"
        if not options.group:
            extra += ", group=False"
        short = self.spec.name
        return f'"{short}": StubMethod("{self.spec.full_name}", {short}{extra}),'


def _event_method(declaration: ast.FunctionDef | ast.AsyncFunctionDef, collector: _Collector) -> ast.FunctionDef:
    """Return the definition of the method that answers with a stream of an event, and collect what it needs."""
    (value,) = (each.annotation for each in declaration.args.args if each.arg != "self")
    assert value is not None
    names = ("BUFFER_ITEMS", "BufferItems", "Event", "EventPolicy")
    collector.imports |= {("rpcwire.publishing", name, name) for name in names}
    text = (
        'def follow(self, policy: EventPolicy = "drop_oldest", buffer_items: BufferItems = BUFFER_ITEMS) '
        f"-> AsyncIterator[Event[{ast.unparse(value)}]]: ..."
    )
    node = ast.parse(text).body[0]
    assert isinstance(node, ast.FunctionDef)
    return node


def _without(arguments: ast.arguments, names: set[str | None]) -> ast.arguments:
    """Return the parameters without those of these names."""
    positional = [*arguments.posonlyargs, *arguments.args]
    no_defaults: list[ast.expr | None] = [None] * (len(positional) - len(arguments.defaults))
    positional_pairs = [
        (argument, default)
        for argument, default in zip(positional, [*no_defaults, *arguments.defaults], strict=True)
        if argument.arg not in names
    ]
    keyword_pairs = [
        (argument, default)
        for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
        if argument.arg not in names
    ]
    return ast.arguments(
        posonlyargs=[],
        args=[argument for argument, _ in positional_pairs],
        defaults=[default for _, default in positional_pairs if default is not None],
        kwonlyargs=[argument for argument, _ in keyword_pairs],
        kw_defaults=[default for _, default in keyword_pairs],
        vararg=None,
        kwarg=None,
    )


def _annotations(arguments: ast.arguments) -> Iterator[ast.expr]:
    for argument in (*arguments.args, *arguments.kwonlyargs):
        if argument.annotation is not None:
            yield _item_of(argument.annotation) if _is_stream_node(argument.annotation) else argument.annotation


def _defaults(arguments: ast.arguments) -> Iterator[ast.expr]:
    yield from arguments.defaults
    yield from (default for default in arguments.kw_defaults if default is not None)


_STREAM_NAMES = frozenset({"AsyncIterator", "AsyncIterable", "AsyncGenerator", "Iterator", "Iterable", "Generator"})


def _is_stream_node(node: ast.expr) -> bool:
    return isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id in _STREAM_NAMES


def _item_of(node: ast.expr) -> ast.expr:
    """``T`` of ``AsyncIterator[T]`` or ``AsyncGenerator[T, None]``."""
    assert isinstance(node, ast.Subscript)
    return node.slice.elts[0] if isinstance(node.slice, ast.Tuple) else node.slice


class _Qualify(ast.NodeTransformer):
    """Writes ``builtins.list`` for ``list`` in a class with a method ``list``, where ``list[str]`` would mean the
    method."""

    def __init__(self, names: frozenset[str]) -> None:
        self.names = names

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id not in self.names:
            return node
        return ast.Attribute(ast.Name("builtins", ast.Load()), node.id, ast.Load())


def _method_names_of_builtins(service: type[Service[Any]]) -> frozenset[str]:
    return frozenset(spec.name for spec in service.methods() if hasattr(builtins, spec.name))


def _read_signature(
    spec: MethodSpec, node: ast.FunctionDef | ast.AsyncFunctionDef, arguments: ast.arguments
) -> tuple[ast.arguments, ast.expr]:
    """Return the parameters and the type of the answer, as they can be written into a class."""
    assert node.returns is not None
    signature = ast.parse(f"def f({ast.unparse(arguments)}) -> ({ast.unparse(node.returns)}): ...").body[0]
    assert isinstance(signature, ast.FunctionDef)
    signature = _Qualify(_method_names_of_builtins(spec.service)).visit(signature)
    return signature.args, signature.returns


def _write_parts(spec: MethodSpec, arguments: ast.arguments) -> tuple[str, str]:
    """Return the parameters, and a dictionary of the arguments by name."""
    parameters = f"self, {ast.unparse(arguments)}" if spec.contract.parameters else "self"
    arguments_by_name = ", ".join(f'"{p.name}": {p.name}' for p in spec.contract.parameters)
    return parameters, f"{{{arguments_by_name}}}"


def _render_for_group(
    spec: MethodSpec, node: ast.FunctionDef | ast.AsyncFunctionDef, arguments: ast.arguments, colour: Colour
) -> str:
    arguments, answer = _read_signature(spec, node, arguments)
    parameters, arguments_by_name = _write_parts(spec, arguments)
    if spec.contract.item is None:
        returns, act = f"{colour.outcomes[1]}[{ast.unparse(answer)}]", "_call"
    else:
        returns, act = f"{colour.group_stream[1]}[{ast.unparse(_item_of(answer))}]", "_stream"
    doc = f"{_write_docstring(spec.doc)}\n" if spec.doc else ""
    body = f'return self.{act}("{spec.name}", {arguments_by_name})'
    return f"def {spec.name}({parameters}) -> {returns}:\n{textwrap.indent(doc + body, '    ')}"


def _render(
    spec: MethodSpec, node: ast.FunctionDef | ast.AsyncFunctionDef, arguments: ast.arguments, colour: Colour
) -> str:
    contract = spec.contract
    arguments, answer = _read_signature(spec, node, arguments)
    for argument in (*arguments.args, *arguments.kwonlyargs):
        if argument.arg in contract.stream_parameters:
            assert argument.annotation is not None
            item = ast.unparse(_item_of(argument.annotation))
            argument.annotation = ast.parse(f"{colour.items}[{item}]", mode="eval").body
    parameters, arguments_by_name = _write_parts(spec, arguments)
    if contract.item is not None:
        item = ast.unparse(_item_of(answer))
        head = f"def {spec.name}({parameters}) -> {colour.stream[1]}[{item}]:"
        body = f'return self._stream("{spec.name}", {arguments_by_name})'
    else:
        asynchronous = colour is ASYNCHRONOUS
        returns = ast.unparse(answer)
        call = f'self._call("{spec.name}", {arguments_by_name})'
        call = f"await {call}" if asynchronous else call
        head = f"{'async ' if asynchronous else ''}def {spec.name}({parameters}) -> {returns}:"
        body = call if returns == "None" else f"result: {returns} = {call}\nreturn result"
    doc = f"{_write_docstring(spec.doc)}\n" if spec.doc else ""
    return f"{head}\n{textwrap.indent(doc + body, '    ')}"
