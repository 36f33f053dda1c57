"""Values of every type survive the trip: as parameters, results, and items of streams both ways."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

_spec = importlib.util.spec_from_file_location("contract_kinds_ids", Path(__file__).parent / "kinds.py")
assert _spec is not None
assert _spec.loader is not None
_kinds = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_kinds)


def _names() -> list[str]:
    """The kinds' names need no models, so a stand-in that has any attribute will do."""

    class Anything:
        def __getattr__(self, name: str) -> Any:
            return Anything()

        def __call__(self, *_: Any, **__: Any) -> Any:
            return self

    return list(_kinds.examples(Anything()))


@pytest.fixture(params=_names())
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_value(side: Any, modules: Any, kind: str) -> None:
    kinds = modules["kinds"]
    _, values = kinds.examples(modules["kinds_stub"])[kind]
    for value in values:
        answer = getattr(side.kinds, kind)(value)
        assert kinds.same(answer, value), (value, answer)
    got = list(getattr(side.kinds, f"down_{kind}")(values))
    assert kinds.same(got, values), got
    got = getattr(side.kinds, f"up_{kind}")(iter(values))
    assert kinds.same(got, values), got
