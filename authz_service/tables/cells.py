"""The cells of a row, and the words in them: ``*``, or words joined by ``|``."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from authz_service.tables.findings import Findings, Place, shown
from authz_service.tables.rows import Field, Row, split
from authz_service.tables.spelling import suggestion

EVERYTHING = "*"
"""In a cell: whatever it may be."""


@dataclass(frozen=True, slots=True)
class Cells:
    """The fields of one row, and where what is wrong with them goes."""

    file: str
    row: Row
    findings: Findings

    def tell(self, field: Field, message: str, hint: str) -> None:
        """Tell what is wrong with *field*, or the word of one: a defect, or a doubt."""
        self.findings.invalid(Place(self.file, self.row.line, field.column), message, hint)


def words_of(cells: Cells, field: Field) -> Iterator[Field]:
    """Yield the words of a cell, each with its column; one that stands twice is refused."""
    seen: set[str] = set()
    for word in split(field, "|"):
        if word.text in seen:
            cells.tell(word, f"{shown(word.text)} stands twice", "keep one")
        else:
            yield word
        seen.add(word.text)


def known_words(cells: Cells, field: Field, kind: str, known: Collection[str]) -> Iterator[str]:
    """Yield the words of a cell that are *known*; any other is refused by its *kind*."""
    for word in words_of(cells, field):
        if word.text in known:
            yield word.text
        elif not is_out_of_place(cells, word, kind):
            message = f"no {kind} is called {shown(word.text)}"
            cells.tell(word, message, hint_at(cells, word, known))


def hint_at(cells: Cells, word: Field, known: Collection[str]) -> str:
    """Return what *word* may have been meant to be; nothing where that would not be listed."""
    return "" if cells.findings.is_full else suggestion(word.text, known)


def is_out_of_place(cells: Cells, word: Field, kind: str) -> bool:
    """Whether *word* was refused for being ``*`` beside other words, or nothing at all."""
    if word.text == EVERYTHING:
        cells.tell(word, "* stands beside other words", "* stands alone in its cell")
    elif not word.text:
        cells.tell(word, f"the {kind} is missing", "write a word, words joined by | or *")
    return word.text in {EVERYTHING, ""}
