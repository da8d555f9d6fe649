"""Cells come apart into words that know their column, and every odd one is refused."""

from __future__ import annotations

import pytest

from authz_service.tables.cells import Cells, hint_at, known_words
from authz_service.tables.findings import MAX_PROBLEMS, Findings
from authz_service.tables.rows import MAX_ROW_CHARACTERS, Field, Row, rows_of, split, text_of
from authz_service.tables.spelling import suggestion


@pytest.mark.parametrize(
    ("text", "separator", "parts"),
    [
        pytest.param("a", "|", [("a", 5)], id="one"),
        pytest.param("a|b", "|", [("a", 5), ("b", 7)], id="two"),
        pytest.param(" a | bc|d", "|", [("a", 6), ("bc", 10), ("d", 13)], id="spaces"),
        pytest.param("a||b", "|", [("a", 5), ("", 7), ("b", 8)], id="nothing-between"),
        pytest.param("", "|", [("", 5)], id="nothing"),
        pytest.param("x as y as z", " as ", [("x", 5), ("y", 10), ("z", 15)], id="a-longer-one"),
    ],
)
def test_each_part_knows_its_own_column(
    text: str, separator: str, parts: list[tuple[str, int]]
) -> None:
    assert [tuple(part) for part in split(Field(text, 5), separator)] == parts


def test_known_words_are_given_and_every_other_is_refused_in_its_place() -> None:
    findings = Findings()
    cells = Cells("f.csv", Row(3, (), 0), findings)

    words = list(known_words(cells, Field("red|gren|*||red|blue", 1), "colour", {"red", "blue"}))

    assert words == ["red", "blue"]
    assert [(each.line, each.column, each.message) for each in findings.problems()] == [
        (3, 5, "no colour is called 'gren'"),
        (3, 10, "* stands beside other words"),
        (3, 12, "the colour is missing"),
        (3, 13, "'red' stands twice"),
    ]
    assert findings.count == 4


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        pytest.param("gren", "did you mean green?", id="close"),
        pytest.param("GREEN", "did you mean green?", id="capitals"),
        pytest.param("xyz", "known are blue, green", id="far"),
        pytest.param("green" * 20, "known are blue, green", id="endless"),
    ],
)
def test_a_close_word_is_suggested_and_else_all(word: str, hint: str) -> None:
    assert suggestion(word, {"green", "blue"}) == hint


def test_a_row_of_any_length_is_judged_at_once() -> None:
    """One past the bound is refused before it is taken apart; of many problems few have hints."""
    findings = Findings()
    long = "|".join(f"w{number}" for number in range(MAX_ROW_CHARACTERS))
    text = text_of("f.csv", f"a,b\n{long}\n{'x' * MAX_ROW_CHARACTERS}\n".encode(), findings)

    assert text is not None
    assert [row.line for row in rows_of(text, findings)] == [1, 3]
    assert [(each.line, each.message) for each in findings.problems()] == [
        (2, f"the row has more than {MAX_ROW_CHARACTERS} characters")
    ]


def test_a_problem_that_is_only_counted_has_no_hint() -> None:
    findings = Findings()
    cells = Cells("f.csv", Row(3, (), 0), findings)
    field = Field("|".join(f"gre{number}" for number in range(MAX_PROBLEMS + 1)), 1)

    list(known_words(cells, field, "colour", {"green"}))

    assert findings.problems()[0].hint == "did you mean green?"
    assert findings.count == MAX_PROBLEMS + 1
    assert hint_at(cells, Field("gren", 1), {"green"}) == ""
