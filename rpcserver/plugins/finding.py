"""Finds service plugins: by entry point (group ``rpcserver.services``) and in single files. The built-in services
come in by the same door."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from rpcserver.config import ConfigError, PluginsConfig, name_keys
from rpcwire.errors import describe_fields, field_errors
from rpcwire.service import Service

GROUP = "rpcserver.services"


def installed() -> dict[str, EntryPoint]:
    """The installed plugins by the name of their entry point, in alphabetical order.

    Raises:
        ConfigError: two distributions use one name.
    """
    found: dict[str, EntryPoint] = {}
    for point in sorted(entry_points(group=GROUP), key=lambda p: p.name):
        other = found.get(point.name)
        if other is not None and other.value != point.value:
            raise ConfigError(
                f"two installed plugins are called {point.name!r}: {other.value} and {point.value}: uninstall one"
            )
        found[point.name] = point
    return found


def find_services(config: PluginsConfig) -> list[type[Service[Any]]]:
    """The service classes that the configuration asks for.

    Raises:
        ConfigError: one is missing, or cannot be imported.
    """
    points = installed()
    for name in (*config.enabled, *config.disabled):
        if name not in points:
            raise ConfigError(f"plugins: no service {name!r} is installed; there are: {', '.join(points) or 'none'}")
    wanted = [name for name in (config.enabled or points) if name not in config.disabled]
    classes = [_load(points[name]) for name in wanted]
    for file in config.files:
        classes += services_in(Path(file))
    return classes


def _load(point: EntryPoint) -> type[Service[Any]]:
    try:
        loaded = point.load()
    except Exception as exc:
        raise ConfigError(f"plugin {point.name!r} ({point.value}): {type(exc).__name__}: {exc}") from exc
    if not (isinstance(loaded, type) and issubclass(loaded, Service)):
        raise ConfigError(f"plugin {point.name!r} ({point.value}): not a subclass of rpcserver.Service")
    return loaded


def services_in(path: Path) -> list[type[Service[Any]]]:
    """The service classes that a file defines, without those that only serve others there as a base.

    Raises:
        ConfigError: the file cannot be read or run, or defines none.
    """
    if not path.is_file():
        raise ConfigError(f"plugins.files: {path}: no such file: give the path of a Python file")
    where = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]  # Two folders may hold files of one name.
    name = f"rpcserver_plugin_{path.stem}_{where}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"plugins.files: {path}: not a Python file; its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # Before it runs: postponed annotations are looked up there.
    try:
        spec.loader.exec_module(module)
    except Exception as exc:
        del sys.modules[name]
        raise ConfigError(f"plugins.files: {path}: {type(exc).__name__}: {exc}") from exc
    found = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Service) and value.__module__ == name
    ]
    if not found:
        raise ConfigError(f"plugins.files: {path}: defines no subclass of rpcserver.Service")
    bases = {base for cls in found for base in cls.__mro__[1:]}
    return [cls for cls in found if cls not in bases]


def create_services(classes: Iterable[type[Service[Any]]], sections: Mapping[str, Any]) -> list[Service[Any]]:
    """Instances, each with its section of the configuration.

    Parameters:
        classes: the service classes.
        sections: the tables below ``[services]``.

    Raises:
        ConfigError: a section is not what its service expects, or belongs to none.
    """
    made: list[Service[Any]] = []
    for cls in classes:
        section = sections.get(cls.name, {})
        try:
            config = cls.config_model.model_validate(section)
        except ValidationError as exc:
            errors = field_errors(exc, prefix=("services", cls.name))
            name_keys(errors, cls.config_model, 2)
            raise ConfigError(describe_fields(errors, 5)) from exc
        try:
            made.append(cls(config))
        except Exception as exc:
            raise ConfigError(f"services.{cls.name}: cannot be made: {type(exc).__name__}: {exc}") from exc
    unknown = sorted(set(sections) - {service.name for service in made})
    if unknown:
        offered = ", ".join(service.name for service in made)
        raise ConfigError(f"services.{unknown[0]}: no such service is loaded; there are: {offered}")
    return made
