"""Parameters that are marked as secret."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import AfterValidator, SecretStr

from rpcwire.codec import codec_for
from rpcwire.contracts import Contract
from rpcwire.errors import InvalidParams
from rpcwire.secret import Secret, is_secret

CANARY = "tweety-7f3a"


def refuse(value: str) -> str:
    raise ValueError(f"{value} is wrong")


def log_in(
    name: str, password: Annotated[str, Secret()], more: dict[str, Annotated[str, Secret()]] | None = None
) -> None:
    """Do nothing."""


def log_in_somewhere(
    name: Annotated[str, AfterValidator(refuse)], code: Annotated[str, AfterValidator(refuse), Secret()]
) -> None:
    """Do nothing."""


def test_a_contract_names_its_secret_parameters() -> None:
    assert Contract(log_in).secret_parameters == {"password", "more"}
    assert Contract(refuse).secret_parameters == frozenset()


SECRET = [
    Annotated[str, Secret()], Annotated[str | None, Secret()], Annotated[str, Secret()] | None,
    list[Annotated[bytes, Secret()]], Annotated[list[Annotated[bytes, Secret()]], "x"], SecretStr, SecretStr | None,
]  # fmt: skip
PUBLIC = [str, Annotated[str, "secret"], Literal["secret"], Any, None, list[str]]


def test_where_the_mark_may_stand() -> None:
    assert all(map(is_secret, SECRET))
    assert not any(map(is_secret, PUBLIC))


@pytest.mark.parametrize("params", [f'{{"name": "ada", "code": "{CANARY}"}}', f'["ada", "{CANARY}"]'])
def test_no_error_repeats_a_secret(params: str) -> None:
    """Whatever the validators of a service write."""
    with pytest.raises(InvalidParams) as caught:
        Contract(log_in_somewhere).load_params(params.encode(), codec_for(None, batch_items=1))
    text = f"{caught.value!r} {caught.value.errors}"
    assert "ada is wrong" in text
    assert "code: this is not valid" in text
    assert CANARY not in text
