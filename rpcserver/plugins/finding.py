"""Finds service plugins: by entry points (group ``rpcserver.services``) and in single files. The built-in services are
found in the same way."""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from rpcserver.config import ConfigError, PluginsConfig, name_keys
from rpcwire.errors import describe_fields, field_errors
from rpcwire.secret import hide, secrets_in
from rpcwire.service import Service, ServiceConfig, name_of_class
from rpcwire.trusted_files import UntrustedFile, check_file, check_folder

from .old_roles import explain_old_roles

GROUP = "rpcserver.services"


class PluginImportError(ConfigError):
    """The code of a plugin cannot be imported. The cause is the exception of the import."""


@dataclass(frozen=True, slots=True)
class BrokenPlugin:
    """A plugin whose code cannot be imported.

    Attributes:
        name: the name of its service: that of its entry point, or what the file says.
        error: names the plugin and says what is wrong. Its cause is the exception of the import.
        make: imports it once more, and makes its service.
    """

    name: str
    error: PluginImportError
    make: Callable[[], Service[Any]]


def find_installed() -> dict[str, EntryPoint]:
    """Find the installed plugins, by the names of their entry points in alphabetical order.

    Raises:
        ConfigError: two distributions use the same name.
    """
    points: dict[str, EntryPoint] = {}
    for point in sorted(entry_points(group=GROUP), key=lambda p: p.name):
        other = points.get(point.name)
        if other is not None and other.value != point.value:
            raise ConfigError(
                f"two installed plugins are called {point.name!r}: {other.value} and {point.value}: uninstall one"
            )
        points[point.name] = point
    return points


def find_services(
    config: PluginsConfig, sections: Mapping[str, Any] | None = None, broken_plugins: list[BrokenPlugin] | None = None
) -> list[type[Service[Any]]]:
    """Find the service classes that the configuration names.

    Parameters:
        config: the settings.
        sections: the tables below ``[services]``, for services that can be imported later only.
        broken_plugins: gets the plugins that cannot be imported; ``None`` if these are errors like others.

    Raises:
        ConfigError: a service is missing, or cannot be imported.
    """
    points = find_installed()
    for name in (*config.enabled, *config.disabled):
        if name not in points:
            raise ConfigError(f"plugins: no service {name!r} is installed; there are: {', '.join(points) or 'none'}")
    names = [name for name in (config.enabled or points) if name not in config.disabled]
    sources: list[tuple[Callable[[], list[type[Service[Any]]]], Callable[[], list[str]]]] = []
    sources += [(partial(_load, points[name]), partial(list, [name])) for name in names]
    sources += [(partial(services_in, Path(file)), partial(names_in, Path(file))) for file in config.files]
    classes: list[type[Service[Any]]] = []
    for load, list_names in sources:
        try:
            classes += load()
        except PluginImportError as exc:
            if broken_plugins is None:
                raise
            for name in list_names():
                make = partial(_make_later, load, name, sections or {})
                broken_plugins.append(BrokenPlugin(name, exc, make))
    return classes


def _make_later(load: Callable[[], list[type[Service[Any]]]], name: str, sections: Mapping[str, Any]) -> Service[Any]:
    """Import the code of a plugin that could not be imported, and make its service.

    Raises:
        ConfigError: it still cannot be imported, or not be made.
    """
    importlib.invalidate_caches()  # What it needs may have been installed meanwhile.
    classes = load()
    matches = [cls for cls in classes if cls.name == name]
    if not matches:
        there = ", ".join(cls.name for cls in classes)
        raise ConfigError(f"plugin {name!r}: it offers {there}, and no service of that name: start the server again")
    (service,) = create_services(matches, {name: sections[name]} if name in sections else {})
    return service


def names_in(path: Path) -> list[str]:
    """Return the names of the services in a file that cannot be imported, as far as its text tells: else the name of
    the file."""
    try:
        body = ast.parse(path.read_bytes()).body
    except (OSError, SyntaxError, ValueError):
        return [path.stem]
    classes = [node for node in body if isinstance(node, ast.ClassDef)]
    return [_name_of(node) for node in classes if any(map(_is_service, node.bases))] or [path.stem]


def _is_service(base: ast.expr) -> bool:
    """Return whether the base of a class looks like that of a service: ``Service``, ``rpcserver.Service[Any]``."""
    while isinstance(base, ast.Subscript):
        base = base.value
    return ast.unparse(base).rpartition(".")[2].endswith("Service")


def _name_of(node: ast.ClassDef) -> str:
    for statement in node.body:
        match statement:
            case (
                ast.Assign(targets=[ast.Name("name")], value=ast.Constant(value))
                | ast.AnnAssign(target=ast.Name("name"), value=ast.Constant(value))
            ):
                return str(value)
            case _:
                pass
    return name_of_class(node.name)


def _load(point: EntryPoint) -> list[type[Service[Any]]]:
    try:
        cls = point.load()
    except Exception as exc:
        raise PluginImportError(f"plugin {point.name!r} ({point.value}): {type(exc).__name__}: {exc}") from exc
    if not (isinstance(cls, type) and issubclass(cls, Service)):
        raise ConfigError(f"plugin {point.name!r} ({point.value}): not a subclass of rpcserver.Service")
    return [cls]


def services_in(path: Path) -> list[type[Service[Any]]]:
    """Find the service classes that a file defines, without those that are only bases of others there.

    Raises:
        ConfigError: the file cannot be read or run, others may change it, or it defines no service class.
    """
    if not path.is_file():
        raise ConfigError(f"plugins.files: {path}: no such file: give the path of a Python file")
    _check(path)
    where = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]  # Two folders may have files of the same name.
    name = f"rpcserver_plugin_{path.stem}_{where}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"plugins.files: {path}: not a Python file; its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # Needed before it runs: postponed annotations are looked up there.
    try:
        spec.loader.exec_module(module)
    except Exception as exc:
        del sys.modules[name]
        raise PluginImportError(f"plugins.files: {path}: {type(exc).__name__}: {exc}") from exc
    classes = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Service) and value.__module__ == name
    ]
    if not classes:
        raise ConfigError(f"plugins.files: {path}: defines no subclass of rpcserver.Service")
    bases = {base for cls in classes for base in cls.__mro__[1:]}
    return [cls for cls in classes if cls not in bases]


def _check(path: Path) -> None:
    """Refuse a file that others may change, and a folder in which others may put compiled code for it."""
    try:
        check_file(path)
        compiled_file = Path(importlib.util.cache_from_source(str(path.resolve())))
        if compiled_file.parent.exists():
            check_folder(compiled_file.parent)
        if compiled_file.exists():
            check_file(compiled_file)
    except UntrustedFile as exc:
        raise ConfigError(f"plugins.files: {exc}") from None
    except OSError as exc:
        raise ConfigError(f"plugins.files: {path}: {exc.strerror}: give the path of a Python file") from exc


def create_services(
    classes: Iterable[type[Service[Any]]], sections: Mapping[str, Any], absent: Iterable[str] = ()
) -> list[Service[Any]]:
    """Make the services, each with its section of the configuration.

    Parameters:
        classes, sections, absent: as of :func:`read_sections`.

    Raises:
        ConfigError: as of :func:`read_sections`, or a service cannot be made with its settings.
    """
    classes = list(classes)
    configs = read_sections(classes, sections, absent)
    return [make_service(cls, config) for cls, config in zip(classes, configs, strict=True)]


def read_sections(
    classes: Iterable[type[Service[Any]]], sections: Mapping[str, Any], absent: Iterable[str] = ()
) -> list[ServiceConfig]:
    """Validate the settings of services.

    Parameters:
        classes: the service classes.
        sections: the tables below ``[services]``.
        absent: the names of services that cannot be imported. Their sections are not read.

    Raises:
        ConfigError: a section does not fit its service, belongs to no service, or has the tables of roles that services
            had of their own: then the message has the new text, which says the same.
    """
    classes = list(classes)
    try:
        old_roles = explain_old_roles(classes, sections)
    except ValueError as exc:
        raise ConfigError(str(exc)) from exc
    if old_roles is not None:
        raise ConfigError(old_roles)
    configs: list[ServiceConfig] = []
    for cls in classes:
        section = sections.get(cls.name, {})
        try:
            configs.append(cls.config_model.model_validate(section))
        except ValidationError as exc:
            errors = field_errors(exc, prefix=("services", cls.name))
            name_keys(errors, cls.config_model, 2)
            raise ConfigError(describe_fields(errors, 5), errors) from exc
    unknown = sorted(set(sections) - {cls.name for cls in classes} - set(absent))
    if unknown:
        names = ", ".join(cls.name for cls in classes)
        raise ConfigError(f"services.{unknown[0]}: no such service is loaded; there are: {names}")
    return configs


def make_service(cls: type[Service[Any]], config: ServiceConfig) -> Service[Any]:
    """Make a service.

    Parameters:
        cls: its class.
        config: its settings, an instance of the class's model.

    Raises:
        ConfigError: it cannot be made with these settings.
    """
    try:
        return cls(config)
    except Exception as exc:
        text = hide(f"{type(exc).__name__}: {exc}", secrets_in(config))
        raise ConfigError(f"services.{cls.name}: cannot be made: {text}") from exc
