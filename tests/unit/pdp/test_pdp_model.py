"""The grammar of ids: matched whole, never mended."""

from __future__ import annotations

import pytest

from authz_service.pdp.model import is_id


@pytest.mark.parametrize(
    "text",
    ["a", "0", "pat-a", "A.b_c-d", "2020.06.09", "x" * 128, "a-" * 63 + "aa"],
)
def test_an_id_is_words_of_ascii_letters_and_digits_joined_one_by_one(text: str) -> None:
    assert is_id(text)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param(" ", id="blank"),
        pytest.param("pat-a ", id="blank-after"),
        pytest.param(" pat-a", id="blank-before"),
        pytest.param("pat-a\n", id="newline-after"),
        pytest.param("pat-a\r\n", id="carriage-return"),
        pytest.param("pat\na", id="newline-inside"),
        pytest.param("pat-a\0", id="nul-after"),
        pytest.param("\0", id="nul"),
        pytest.param("x" * 129, id="129-bytes"),
        pytest.param("-a", id="joint-first"),
        pytest.param("a-", id="joint-last"),
        pytest.param("a--b", id="two-joints"),
        pytest.param("a_.b", id="two-different-joints"),
        pytest.param(".", id="joint-alone"),
        pytest.param("a/b", id="slash"),
        pytest.param("../b", id="path"),
        pytest.param("a*", id="pattern"),
        pytest.param("a,b", id="list"),
        pytest.param("a%2f", id="escape"),
        pytest.param("p\u0430t-a", id="cyrillic-a"),
        pytest.param("pat-\uff41", id="full-width-a"),
        pytest.param("pat-\u0661", id="arabic-digit"),
        pytest.param("pat-\u00b2", id="superscript-two"),
        pytest.param("pat\u2010a", id="unicode-hyphen"),
        pytest.param("pat-\u200da", id="zero-width-joiner"),
        pytest.param("\ufeffpat-a", id="byte-order-mark"),
        pytest.param("pa\u0301t-a", id="combining-accent"),
        pytest.param("pat-\u0131", id="dotless-i"),
        pytest.param("\u212a", id="kelvin-sign"),
        pytest.param("\ud800", id="half-a-character"),
    ],
)
def test_what_only_looks_like_an_id_is_none(text: str) -> None:
    assert not is_id(text)
