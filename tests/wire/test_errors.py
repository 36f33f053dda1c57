"""Errors on the wire and back, and the boundary that lets nothing else out."""

from __future__ import annotations

import copy
import enum
import logging
import pickle  # noqa: TID251 - what a process pool does with errors
import re
from decimal import Decimal
from typing import Any, ClassVar

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from rpcwire import errors
from rpcwire.boundary import to_rpc_error
from rpcwire.errors import (
    BY_CODE,
    Busy,
    ConnectionLost,
    InternalError,
    InvalidParams,
    RpcError,
    ServiceError,
    TransportError,
    count_rows,
    describe_fields,
    field_errors,
    from_wire,
)


class Level(enum.Enum):
    HIGH = "high"


class Place(BaseModel):
    x: int


class Gone(ServiceError):
    """Nothing has this id."""

    id: str
    raw: bytes = b""
    level: Level = Level.HIGH
    place: Place | None = None
    price: Decimal = Decimal("1.50")
    shared: ClassVar[int] = 5


class GoneFar(Gone):
    """Nor anything far away."""

    miles: float = 0.0


def every_class(root: type[RpcError] = RpcError) -> list[type[RpcError]]:
    return [
        root,
        *(sub for cls in root.__subclasses__() if cls.__module__ == "rpcwire.errors" for sub in every_class(cls)),
    ]


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    doc = errors.__doc__ or ""
    drawn = re.findall(r"^    ([ │├└─]*)(\w+) *(-\d+)?", doc.partition("::")[2].partition("``data``")[0], re.MULTILINE)
    names = [name for _, name, _ in drawn]
    assert sorted(names) == sorted(cls.__name__ for cls in every_class())
    for _, name, code in drawn:
        if code:
            assert getattr(errors, name).code == int(code)
    parents: dict[int, str] = {}
    for branch, name, _ in drawn:
        depth = len(branch)
        if depth:
            parent = parents[max(d for d in parents if d < depth)]
            assert getattr(errors, name).__base__.__name__ == parent
        parents = {d: n for d, n in parents.items() if d < depth} | {depth: name}


def test_every_code_comes_back_as_its_class() -> None:
    for code, cls in BY_CODE.items():
        error = cls("why", retry_after_ms=5, errors=[{"loc": ["a"], "msg": "b"}], details={"c": 1}, executed="yes")
        wire = error.to_wire()
        assert wire["code"] == code
        again = from_wire(**wire)
        assert type(again) is cls
        assert again.to_wire() == wire
        assert (again.executed, again.retryable, again.retry_after_ms) == ("yes", cls.retryable, 5)


def test_no_transport_error_has_a_code_on_the_wire() -> None:
    assert not any(issubclass(cls, TransportError) for cls in BY_CODE.values())


def test_declared_errors_come_back_with_their_details() -> None:
    error = Gone("no p7", id="p7", raw=b"\xff", place=Place(x=1))
    assert (error.id, error.raw, error.level, error.price) == ("p7", b"\xff", Level.HIGH, Decimal("1.50"))
    wire = error.to_wire()
    assert wire["code"] == -32000
    assert wire["data"]["details"] == {
        "id": "p7", "raw": "_w==", "level": "high", "place": {"x": 1}, "price": "1.50",
    }  # fmt: skip
    again = from_wire(**wire, known={"Gone": Gone})
    assert type(again) is Gone
    assert (again.id, again.raw, again.place, again.executed) == ("p7", b"\xff", Place(x=1), "yes")
    assert again.message == "no p7"
    far = from_wire(**GoneFar("", id="x", miles=2.5).to_wire(), known={"Gone": Gone, "GoneFar": GoneFar})
    assert isinstance(far, GoneFar)
    assert (far.id, far.miles) == ("x", 2.5)
    assert far.message == "Nor anything far away."


def test_details_are_checked_where_the_error_is_raised() -> None:
    with pytest.raises(TypeError, match="id: Field required"):
        Gone("x")
    with pytest.raises(TypeError, match="other"):
        Gone("x", id="y", other=1)


def test_declared_errors_that_are_not_known_here_keep_everything() -> None:
    again = from_wire(**Gone("no p7", id="p7").to_wire())
    assert type(again) is ServiceError
    assert (again.type, again.details["id"], again.message) == ("Gone", "p7", "no p7")
    assert again.to_wire()["data"]["details"]["id"] == "p7"


def test_declared_errors_of_another_version_keep_everything() -> None:
    wire = {"code": -32000, "message": "m", "data": {"type": "Gone", "details": {"other": 1}}}
    again = from_wire(**wire, known={"Gone": Gone})  # type: ignore[arg-type]
    assert type(again) is ServiceError
    assert (again.type, again.details) == ("Gone", {"other": 1})


@pytest.mark.parametrize(
    "data",
    [None, 5, "x", [], {}, {"type": 5}, {"executed": "perhaps"}, {"retryable": "yes"}, {"retry_after_ms": "soon"},
     {"errors": 5}, {"errors": [5, {"loc": []}]}, {"details": 5}, {"type": "Gone", "details": 5}],
)  # fmt: skip
def test_whatever_data_holds_it_becomes_an_error(data: Any) -> None:
    for code in (*BY_CODE, -32000, 1, -1, 10**30):
        error = from_wire(code, "m", data, {"Gone": Gone})
        assert isinstance(error, RpcError)
        assert error.code == code
        assert error.message == "m"
        assert error.executed in ("no", "yes", "unknown")


def test_an_unknown_code_is_kept() -> None:
    error = from_wire(4711, "m", {"type": "Odd"})
    assert type(error) is RpcError
    assert (error.code, error.type) == (4711, "Odd")


def test_the_message_defaults_to_the_docstring() -> None:
    assert Busy().message == "A limit was reached before the call began."
    assert str(RpcError("x")) == "x"


def test_field_errors_never_repeat_the_input() -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(list[int]).validate_python(["secret", "secret", "secret", "secret"])
    found = field_errors(caught.value, prefix=("a", 1))
    assert [e["loc"] for e in found] == [["a", 1, n] for n in range(4)]
    assert "secret" not in str(found)
    assert describe_fields(found, 2).endswith("; and 2 more")
    assert describe_fields([{"loc": [], "msg": "x"}]) == "params: x"
    assert describe_fields([{"loc": ["url"], "msg": "Value error, write ws://"}]) == "url: write ws://"


# --- the boundary ----------------------------------------------------------------------------------------------------


def test_declared_errors_pass_the_boundary() -> None:
    error = Gone("x", id="y")
    assert to_rpc_error(error, method="a.b", logger=logging.getLogger("t")) is error


@pytest.mark.parametrize(
    "exc",
    [
        ValueError("/etc/shadow"),
        KeyError("secret"),
        ConnectionLost("secret host"),
        SystemExit(3),
        BaseException("secret"),
    ],
)
def test_nothing_else_passes_it(exc: BaseException, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        error = to_rpc_error(exc, method="a.b", logger=logging.getLogger("t"))
    assert type(error) is InternalError
    assert error.executed == "yes"
    text = str(error.to_wire())
    assert "secret" not in text
    assert "shadow" not in text
    (record,) = caplog.records
    assert error.details["incident"] in record.getMessage()
    assert error.details["incident"] in error.message
    assert record.exc_info is not None
    assert record.exc_info[1] is exc


@pytest.mark.parametrize(
    "error",
    [
        Busy("full", retry_after_ms=5, errors=[{"loc": ["a"]}]),
        Gone("x", id="y", executed="no"),
        from_wire(-32000, "unknown here", {"type": "Strange", "details": {"a": 1}}),
    ],
)
def test_errors_survive_pickling(error: RpcError) -> None:
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(other) is type(error)
        assert (str(other), other.args, vars(other)) == (str(error), error.args, vars(error))


def test_the_errors_of_a_part_count_the_rows_before_it() -> None:
    loc = ["params", 3, "id"]
    errors = [{"loc": loc, "msg": "too small", "type": "x"}, {"loc": ["sql"], "msg": "too long", "type": "y"}]
    error = count_rows(InvalidParams("an item does not fit: params.3.id: too small", errors=errors), 2000)
    assert [each["loc"] for each in error.errors] == [["params", 2003, "id"], ["sql"]]
    assert error.message.startswith("an item does not fit: params.2003.id: too small")
    other = InvalidParams("sql: wrong", errors=[{"loc": ["sql"], "msg": "wrong"}])
    assert count_rows(other, 2000) is other
