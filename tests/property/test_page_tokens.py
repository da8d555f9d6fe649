"""A token says where a list goes on; nobody but the service can make one, or bend one."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from authz_service.operations.page_tokens import (
    KeyPart,
    PageTokens,
    QuestionPart,
    instant_at,
    microseconds_of,
)
from authz_service.pdp.errors import InvalidRequestError

TOKENS = PageTokens(b"k" * 32, "recordings")
QUESTION = ("loopback", "pat-a", "LIST", None, 1)
LAST = (1_591_711_200_000_000, "rec-1")
TOKEN = TOKENS.issue(QUESTION, LAST)
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

key_parts = st.lists(st.integers() | st.text(max_size=20), max_size=4).map(tuple)
questions = st.lists(st.none() | st.integers() | st.text(max_size=20), max_size=6).map(tuple)
edits = st.lists(
    st.tuples(
        st.integers(0, len(TOKEN)),
        st.sampled_from(["replace", "insert", "delete", "cut", "swap"]),
        st.text(LETTERS, min_size=1, max_size=3) | st.text(min_size=1, max_size=2),
    ),
    min_size=1,
    max_size=3,
)


def edited(token: str, changes: list[tuple[int, str, str]]) -> str:
    for at, what, new in changes:
        before, after = token[:at], token[at:]
        token = {
            "replace": before + new + after[len(new) :],
            "insert": before + new + after,
            "delete": before + after[len(new) :],
            "cut": before,
            "swap": after + before,
        }[what]
    return token


def refusal(token: str, question: tuple[QuestionPart, ...] = QUESTION) -> str:
    with pytest.raises(InvalidRequestError) as refused:
        TOKENS.read(token, question)
    ((field, text),) = refused.value.violations
    assert field == "page_token"
    return text


@given(questions, key_parts)
def test_a_token_gives_back_the_key_that_it_was_made_of(
    question: tuple[QuestionPart, ...], last: tuple[KeyPart, ...]
) -> None:
    """For the question that it was issued for, in text that stands in a URL as it is."""
    token = TOKENS.issue(question, last)

    assert TOKENS.read(token, question) == last
    assert set(token) <= set(LETTERS)


@given(edits)
def test_no_altered_token_is_accepted(changes: list[tuple[int, str, str]]) -> None:
    """Whatever is replaced, added, cut off or turned round in it."""
    token = edited(TOKEN, changes)
    assume(token != TOKEN)

    assert refusal(token).startswith("is no token of this service")


@pytest.mark.parametrize("position", range(len(TOKEN)))
def test_no_other_letter_will_do(position: int) -> None:
    """Not even one that stands for the same bits: base64 leaves some open at the end."""
    for letter in LETTERS:
        token = TOKEN[:position] + letter + TOKEN[position + 1 :]
        if token != TOKEN:
            refusal(token)


@given(questions, questions)
def test_a_token_of_another_question_is_refused(
    mine: tuple[QuestionPart, ...], other: tuple[QuestionPart, ...]
) -> None:
    """And the refusal says which of the two it is."""
    assume(mine != other)

    assert refusal(TOKENS.issue(other, LAST), mine).startswith("belongs to another question")


@given(st.text(max_size=200) | st.text(LETTERS, max_size=2000) | st.just("A" * 5000))
def test_what_was_made_up_is_refused(token: str) -> None:
    """Any text whatever, the empty one among them: a first page has no token to read."""
    refusal(token)


@pytest.mark.parametrize(
    "tokens",
    [
        pytest.param(PageTokens(b"j" * 32, "recordings"), id="another-key"),
        pytest.param(PageTokens(b"k" * 32, "decisions"), id="another-kind-of-list"),
    ],
)
def test_a_token_signed_elsewhere_is_refused(tokens: PageTokens) -> None:
    """By another registry's service, or for another kind of list."""
    assert refusal(tokens.issue(QUESTION, LAST)).startswith("is no token of this service")


def test_a_short_key_is_refused() -> None:
    """A key that could be guessed signs nothing."""
    with pytest.raises(ValueError, match="16 bytes"):
        PageTokens(b"k" * 15, "recordings")


@given(st.datetimes(timezones=st.just(UTC)))
def test_instants_are_kept_to_the_microsecond(instant: datetime) -> None:
    """Rounded, a token would pass over a row or repeat one."""
    assert instant_at(microseconds_of(instant)) == instant
