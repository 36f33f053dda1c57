"""A column of texts is as a list of them, and takes little more than they do."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rpcserver.group.texts import Texts

steps = st.lists(st.tuples(st.sampled_from(["insert", "replace", "remove"]), st.integers(0), st.binary(max_size=300)))


@given(steps)
def test_it_is_as_a_list(steps: list[tuple[str, int, bytes]]) -> None:
    texts, model = Texts(), list[bytes]()
    for action, number, text in steps:
        if action == "insert" or not model:
            index = number % (len(model) + 1)
            texts.insert(index, text)
            model.insert(index, text)
        elif action == "replace":
            index = number % len(model)
            texts[index] = model[index] = text
        else:
            index = number % len(model)
            del texts[index], model[index]
        assert [texts[index] for index in range(len(texts))] == model
        assert len(texts._bytes) <= 2 * sum(map(len, model)) + 1024


def test_texts_that_change_ten_thousand_times_take_no_more() -> None:
    texts = Texts()
    for index in range(1000):
        texts.insert(index, b"web-%d" % index)
    for number in range(10_000):
        texts[number % 1000] = b"web-%d-%d" % (number, number)
    sizes: Any = (sys.getsizeof(each) for each in (texts._bytes, texts._starts, texts._sizes))
    assert sum(sizes) < 60_000


def test_a_text_has_a_largest_size() -> None:
    texts = Texts()
    texts.insert(0, bytes(65_535))
    with pytest.raises(OverflowError):
        texts.insert(0, bytes(65_536))
    assert len(texts) == 1 and len(texts[0]) == 65_535
