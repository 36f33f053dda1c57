"""Client and AsyncClient are twins, method for method; so are their streams, batches, stubs and proxies."""

from __future__ import annotations

import inspect
import re
from typing import Any

import pytest

from rpcclient import AsyncClient, AsyncStream, Client, Stream
from rpcclient.aio.batch import AsyncBatch
from rpcclient.aio.database import AsyncDatabase
from rpcclient.aio.dynamic import AsyncServiceProxy
from rpcclient.aio.group import AsyncGroup, AsyncGroupServiceProxy, AsyncPick
from rpcclient.aio.group_programs import AsyncGroupPrograms
from rpcclient.aio.group_stub import AsyncGroupStub
from rpcclient.aio.hardware import AsyncHardware
from rpcclient.aio.outcomes import AsyncGroupStream, AsyncOutcomes
from rpcclient.aio.program import AsyncProgram
from rpcclient.aio.program_streams import AsyncProgramChunks, AsyncProgramInput, AsyncProgramOutput
from rpcclient.aio.programs import AsyncPrograms
from rpcclient.aio.stub import AsyncStub
from rpcclient.aio.transaction import AsyncDatabaseTransaction, AsyncSavepoint
from rpcclient.sync.batch import Batch
from rpcclient.sync.database import Database
from rpcclient.sync.dynamic import ServiceProxy
from rpcclient.sync.group import Group, GroupServiceProxy, Pick
from rpcclient.sync.group_programs import GroupPrograms
from rpcclient.sync.group_stub import GroupStub
from rpcclient.sync.hardware import Hardware
from rpcclient.sync.outcomes import GroupStream, Outcomes
from rpcclient.sync.program import Program
from rpcclient.sync.program_streams import ProgramChunks, ProgramInput, ProgramOutput
from rpcclient.sync.programs import Programs
from rpcclient.sync.stub import SyncStub
from rpcclient.sync.transaction import DatabaseTransaction, Savepoint

TWINS: list[tuple[type[Any], type[Any]]] = [
    (Client, AsyncClient),
    (Stream, AsyncStream),
    (Batch, AsyncBatch),
    (ServiceProxy, AsyncServiceProxy),
    (SyncStub, AsyncStub),
    (Database, AsyncDatabase),
    (DatabaseTransaction, AsyncDatabaseTransaction),
    (Savepoint, AsyncSavepoint),
    (Programs, AsyncPrograms),
    (Program, AsyncProgram),
    (ProgramChunks, AsyncProgramChunks),
    (ProgramOutput, AsyncProgramOutput),
    (ProgramInput, AsyncProgramInput),
    (Hardware, AsyncHardware),
    (Group, AsyncGroup),
    (Pick, AsyncPick),
    (GroupServiceProxy, AsyncGroupServiceProxy),
    (GroupStub, AsyncGroupStub),
    (GroupPrograms, AsyncGroupPrograms),
    (Outcomes, AsyncOutcomes),
    (GroupStream, AsyncGroupStream),
]
NAMES = {
    "__aenter__": "__enter__", "__aexit__": "__exit__", "__aiter__": "__iter__", "__anext__": "__next__",
    "aclose": "close",
}  # fmt: skip
WORDS = (
    (r"\bAsyncClient\b", "Client"), (r"\bAsync(?=[A-Z])", ""), (r"\b(an )?async (?=with|for)", ""), (r"\bawait ", ""),
)  # fmt: skip
SPECIAL = {"__init__", *NAMES.values()}


def public(cls: type[Any]) -> dict[str, Any]:
    """What a class offers, by the name that its synchronous twin uses."""
    found = {}
    for base in reversed(cls.__mro__[:-1]):
        if base.__module__.startswith("rpcclient"):
            found.update({NAMES.get(name, name): value for name, value in vars(base).items()})
    return {name: value for name, value in found.items() if not name.startswith("_") or name in SPECIAL}


def in_words_of_the_sync_twin(text: str) -> str:
    for pattern, replacement in WORDS:
        text = re.sub(pattern, replacement, text)
    return text


def kind(annotation: Any) -> str:
    text = in_words_of_the_sync_twin(str(annotation))
    return text.replace("AsyncIterable", "Iterable").replace("Awaitable[StreamReader[Any]]", "StreamReader[Any]")


@pytest.mark.parametrize(("sync", "aio"), TWINS, ids=lambda cls: cls.__name__)
def test_twins(sync: type[Any], aio: type[Any]) -> None:
    one, two = public(sync), public(aio)
    assert one.keys() == two.keys()
    for name in one:
        mine, other = one[name], two[name]
        assert type(mine) is type(other), name
        if isinstance(mine, property):
            mine, other = mine.fget, other.fget
        if not inspect.isfunction(mine):
            continue
        assert not inspect.iscoroutinefunction(mine), name
        own, theirs = inspect.signature(mine), inspect.signature(other)
        assert [(p.name, p.kind, p.default, kind(p.annotation)) for p in own.parameters.values()] == [
            (p.name, p.kind, p.default, kind(p.annotation)) for p in theirs.parameters.values()
        ], name
        assert kind(own.return_annotation) == kind(theirs.return_annotation), name
        if name not in SPECIAL:
            text, doc = inspect.getdoc(mine), inspect.getdoc(other)
            assert text == (None if doc is None else in_words_of_the_sync_twin(doc)), name


def test_nothing_of_the_loop_in_the_sync_client() -> None:
    """No module of the synchronous client makes or runs an event loop."""
    from pathlib import Path

    import rpcclient.sync

    for file in Path(rpcclient.sync.__path__[0]).glob("*.py"):
        text = file.read_text()
        if file.name != "memory.py":  # It talks to a server's loop in another thread.
            assert "import asyncio" not in text, file.name
        assert "new_event_loop" not in text
        assert "asyncio.run(" not in text
