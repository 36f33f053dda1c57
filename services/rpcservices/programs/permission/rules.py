"""The policy in the configuration: who may run what, where, as which user, and with which limits."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from rpcservices.programs.models import Limits
from rpcwire.service import ServiceConfig

from .patterns import compile_pattern

ArgumentKind = Literal["flag", "choice", "integer", "path", "pattern", "text"]
"""What an argument may be: nothing but the option itself, one of some words, a whole number, a path below a folder, a
text that a regular expression matches as a whole, or any printable text. None of them may begin with a hyphen."""


def _absolute(path: str) -> str:
    if not path.startswith("/") or os.path.normpath(path) != path:
        raise ValueError("write an absolute path without . and ..")
    return path


def _expression(pattern: str) -> str:
    if pattern:
        compile_pattern(pattern)
    return pattern


AbsolutePath = Annotated[str, AfterValidator(_absolute)]


class ArgumentRule(ServiceConfig):
    """What one argument, or the value of an option, may be."""

    kind: ArgumentKind = Field(description="What it may be: flag, choice, integer, path, pattern or text.")
    choices: tuple[str, ...] = Field(default=(), description="For a choice: the words.")
    minimum: int | None = Field(default=None, description="For an integer: the smallest.")
    maximum: int | None = Field(default=None, description="For an integer: the largest.")
    under: AbsolutePath | None = Field(
        default=None, description="For a path: the folder, wherever links lead; itself included."
    )
    pattern: Annotated[str, AfterValidator(_expression)] = Field(
        default="", description="For a pattern: a regular expression of RE2 for the whole argument."
    )
    max_chars: int = Field(default=4096, ge=1, description="The longest that it may be, in characters.")
    optional: bool = Field(default=False, description="Whether it may be left out; then those after it are, too.")
    repeat: bool = Field(default=False, description="Whether more like it may follow. For the last argument.")

    @model_validator(mode="after")
    def _complete(self) -> ArgumentRule:
        key = {"choice": "choices", "path": "under", "pattern": "pattern"}.get(self.kind)
        if key is not None and not getattr(self, key):
            raise ValueError(f"a {self.kind} needs {key}")
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError(f"minimum: {self.minimum} is more than the maximum, {self.maximum}")
        return self


class ProgramRule(ServiceConfig):
    """One program, and the arguments that it may be given."""

    path: AbsolutePath = Field(description="The program, by its absolute path; callers give exactly this as argv[0].")
    any_arguments: bool = Field(default=False, description="Whether it may be given any arguments at all.")
    options: Mapping[str, ArgumentRule] = Field(default={}, description="Its options by name, such as --lines.")
    arguments: tuple[ArgumentRule, ...] = Field(default=(), description="Its arguments after the options, in order.")
    separator: bool = Field(default=True, description="Whether -- is put between options and arguments.")

    @model_validator(mode="after")
    def _sound(self) -> ProgramRule:
        for name in self.options:
            if not re.fullmatch(r"-[A-Za-z0-9]|--[A-Za-z0-9][A-Za-z0-9-]*", name):
                raise ValueError(f"options: {name!r} is not an option: write -x or --long-name")
        for place, rule in enumerate(self.arguments):
            if rule.kind == "flag":
                raise ValueError("arguments: a flag is an option")
            if rule.repeat and place != len(self.arguments) - 1:
                raise ValueError("arguments: only the last may repeat")
        return self


class RoleRule(ServiceConfig):
    """What the members of a role may run, if its permissions let them run programs."""

    may_run: Literal["listed", "anything"] = Field(
        default="listed", description="What they may run: the programs listed here, or anything."
    )
    programs: Mapping[str, ProgramRule] = Field(default={}, description="The programs, each under a name.")
    cwd: tuple[AbsolutePath, ...] = Field(
        default=(), description="Folders in and below which programs may be started; the first is the default."
    )
    env: tuple[str, ...] = Field(
        default=(),
        description='Variables that callers may set; "LC_*" allows all that begin so. Those that change what a '
        "program loads or runs, such as PATH and LD_PRELOAD, only by their full names.",
    )
    user: str = Field(
        default="",
        description="The user as whom programs run if callers name none; the server's own is then allowed only if "
        '`users` lists it. Another user needs a server of root. "" for the server\'s own user, who can read its token.',
    )
    users: tuple[str, ...] = Field(
        default=(), description="Further users as whom programs may be run; needs a server of root."
    )
    limits: Limits = Field(default=Limits(), description="The most that a program may take.")
    no_new_privs: bool = Field(
        default=True, description="Whether nothing may give programs rights that they lack, such as set-user-ID files."
    )
    others: Literal["none", "view", "control"] = Field(
        default="none", description="What they may do to the programs of others."
    )
