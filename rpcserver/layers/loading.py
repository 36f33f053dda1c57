"""Reads the configuration. Layers, the later one wins: the defaults, ``/etc/rpcserver/rpcserver.toml``, the files of
``/etc/rpcserver/conf.d`` in the order of their names, the user's own file, the credentials of systemd, the environment
(``RPCSERVER_LISTEN__PORT=9000``), the command line. A file that is named (``--config``) takes the place of all
files."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsError,
)

from rpcserver.config import ConfigError, ServerConfig, name_keys
from rpcserver.credentials import VARIABLE, read_credentials
from rpcwire.errors import describe_fields, field_errors

from .files import find_closed_folder, find_files, parse_layer, read_layer, system_file
from .layer import Layer, merge, origin_of
from .lines import Path as KeyPath

PREFIX = "RPCSERVER_"
_FIELD = re.compile(r'field "([a-z_]++)"')
"""Where the name of a setting stands in a message of pydantic-settings."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """A configuration that has been read.

    Attributes:
        config: the settings.
        content: what was set of them, nested as in a file.
        origins: where each value that was set comes from, by its path.
        files: the files that were read, in the order of their rank.
        closed_folder: the folder of the machine's configuration if it was left out, because this user may not look into
            it; else ``None``.
    """

    config: ServerConfig
    content: Mapping[str, Any]
    origins: Mapping[KeyPath, str]
    files: Sequence[Path]
    closed_folder: Path | None = None

    @property
    def notice(self) -> str:
        """What the user should know before anything is done with this configuration; empty for nothing."""
        if self.closed_folder is None:
            return ""
        return (
            f"{self.closed_folder} is closed to this user: without it, the configuration is that of a server of the "
            "user's own. For the machine's server use sudo"
        )

    def explain(self, exc: ConfigError) -> ConfigError:
        """Add to an error where the value comes from that it is about, as far as the error names one."""
        return locate(exc, self.origins)


class _LayerConfig(ServerConfig):
    """Takes its values from the layers only, which have read the environment already."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - an override
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - an override
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - an override
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - an override
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


def load_config(file: Path | None = None, overrides: Mapping[str, Any] | None = None) -> ServerConfig:
    """Read the configuration. See :func:`load`."""
    return load(file, overrides).config


def load(
    file: Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    *,
    new_texts: Mapping[Path, str] | None = None,
    may_leave_machine_out: bool = True,
) -> Configuration:
    """Read the configuration with the origins of its values.

    Parameters:
        file: a TOML file that takes the place of those of the machine and the user; ``None`` for these.
        overrides: the settings of the command line, nested as in a file.
        new_texts: texts that stand for files which have not been written yet.
        may_leave_machine_out: whether to do without the machine's files if their folder is closed to this user.

    Raises:
        ConfigError: a file cannot be read, others may change it, or a value is not allowed. The message names the key,
            and the file and line, the variable or the option that has set it.
    """
    closed_folder = find_closed_folder() if file is None and may_leave_machine_out else None
    files = find_files(with_machine=closed_folder is None) if file is None else [file]
    new_texts = new_texts or {}
    files[:0] = [each for each in new_texts if each not in files and each == system_file()]
    files += [each for each in new_texts if each not in files]
    layers = [parse_layer(each, new_texts[each]) if each in new_texts else read_layer(each) for each in files]
    configuration = build([*layers, *_outer_layers(overrides or {})], files)
    return configuration if closed_folder is None else replace(configuration, closed_folder=closed_folder)


def build(layers: Sequence[Layer], files: Sequence[Path]) -> Configuration:
    """Make a configuration of layers.

    Parameters:
        layers: the layers, the one that wins last.
        files: the files that were read for them.

    Raises:
        ConfigError: a value is not allowed, or a key does not exist.
    """
    content, origins = merge(layers)
    try:
        return Configuration(_LayerConfig(**content), content, origins, files)
    except ValidationError as exc:
        errors = field_errors(exc)
        name_keys(errors, ServerConfig)
        raise ConfigError("; ".join(_with_origins(errors, origins))) from exc


def _outer_layers(overrides: Mapping[str, Any]) -> list[Layer]:
    """The layers that are no files."""
    try:
        credentials = read_credentials(ServerConfig, os.environ)
    except ValueError as exc:
        raise ConfigError(str(exc)) from exc
    try:
        environment = _with_lists(EnvSettingsSource(ServerConfig)())
    except SettingsError as exc:
        name = _FIELD.search(str(exc))
        variable = f"variable {_find_variable(name[1])}" if name is not None else "variables"
        raise ConfigError(
            f"environment {variable}: this is no JSON: write JSON, or a variable for each key, with __ before its name"
        ) from exc
    except RecursionError:
        raise ConfigError("environment variables: JSON is nested too deeply: write fewer brackets") from None
    return [
        Layer(credentials, lambda path: f"credential {'.'.join(map(str, path))} (${VARIABLE})"),
        Layer(environment, _name_variable),
        Layer(overrides, lambda _: "command line"),
    ]


def _find_variable(field: str) -> str:
    """Name the variables that set a field or keys in it, for a message about one of them: the library that reads them
    tells the field only."""
    name = f"{PREFIX}{field}".upper()
    of_field = [variable for variable in os.environ if variable.upper() == name]
    if of_field and not _is_json(os.environ[of_field[-1]]):  # The last one wins.
        return of_field[-1]
    names = sorted(each for each in os.environ if each.upper() == name or each.upper().startswith(f"{name}__"))
    return " or ".join(names) or name


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _name_variable(path: KeyPath) -> str:
    """Name the variable that has set the value at a path: that of the value, or of a table around it, in JSON."""
    names = {name.upper() for name in os.environ}
    places = [PREFIX + "__".join(map(str, path[:length])).upper() for length in range(len(path), 0, -1)]
    return f"environment variable {next((name for name in places if name in names), places[0])}"


def _with_origins(errors: Sequence[Mapping[str, Any]], origins: Mapping[KeyPath, str], limit: int = 5) -> list[str]:
    """Describe the first few field errors, each with where the value comes from."""
    texts = []
    for error in errors[:limit]:
        if error["loc"]:
            text, path = describe_fields([error]), tuple(error["loc"])
        else:  # A check of the whole, whose message begins with a key.
            text = str(error["msg"]).removeprefix("Value error, ")
            path = tuple(text.partition(": ")[0].split("."))
        origin = origin_of(origins, path)
        texts.append(f"{origin}: {text}" if origin else text)
    return [*texts, f"and {len(errors) - limit} more"] if len(errors) > limit else texts


def locate(exc: ConfigError, origins: Mapping[KeyPath, str]) -> ConfigError:
    """Add to an error where the value comes from that it is about.

    Parameters:
        exc: an error that has field errors, or whose message begins with a key and a colon.
        origins: of :func:`.layer.merge`.

    Returns:
        Another error, or the same if nothing is known of the value.
    """
    if exc.errors:
        return ConfigError("; ".join(_with_origins(exc.errors, origins)))
    key = str(exc).partition(": ")[0]
    origin = origin_of(origins, tuple(key.split("."))) if " " not in key else None
    return exc if origin is None else ConfigError(f"{origin}: {exc}")


def _with_lists(environment: dict[str, Any]) -> dict[str, Any]:
    """What the environment says, with lists and tables for services read from JSON, as those of the server itself are
    already: of a service's settings it is not known here which they are."""
    return {key: _read_json(value) if key == "services" else value for key, value in environment.items()}


def _read_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _read_json(inner) for key, inner in value.items()}
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        with contextlib.suppress(ValueError):
            return json.loads(value)
    return value
