"""Bytes become lines, and lines become rows, or are refused: no byte is passed over.

Casbin's own reader drops what it does not understand; a rule that denies, dropped, allows.
"""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

from authz_service.tables.findings import Findings, Place, shown

MAX_ROW_CHARACTERS = 64 * 1024
"""How long a row may be: many times what anybody has written by hand."""

_BOM = "\N{ZERO WIDTH NO-BREAK SPACE}"
_UNSEEN = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"})
_NOT_IN_ROWS = re.compile(r"[\"'`#]|[^\x00-\x7f]")
_NAMED = {
    "\t": ("a tab", "use spaces"),
    "\r": ("a carriage return", "end lines with a line feed alone"),
    "\0": ("a NUL", "write the file as plain text"),
}


class Text(NamedTuple):
    """A file as lines.

    Attributes:
        name: The file, as problems name it.
        lines: Its lines, without their ends.
        defective: The numbers, from 1, of lines that were refused already.
        ends_in_line: Whether the last line lacks its end.
    """

    name: str
    lines: tuple[str, ...]
    defective: frozenset[int]
    ends_in_line: bool


class Field(NamedTuple):
    """One field of a row, without the spaces around it, and the column of its first character."""

    text: str
    column: int


class Row(NamedTuple):
    """One row.

    Attributes:
        line: Its line, from 1.
        fields: Its fields.
        end: The column after its last character.
    """

    line: int
    fields: tuple[Field, ...]
    end: int


def text_of(name: str, content: bytes, findings: Findings) -> Text | None:
    """Return the file *name* as lines, or None where its bytes are no text."""
    try:
        decoded = content.decode("utf-8")
    except UnicodeDecodeError as wrong:
        before = content[: wrong.start].decode("utf-8")
        place = Place(name, before.count("\n") + 1, len(before) - before.rfind("\n"))
        findings.invalid(place, "is not UTF-8", "save the file as UTF-8")
        return None
    parts = decoded.split("\n")
    ends_in_line = parts[-1] != ""
    lines = tuple(parts if ends_in_line else parts[:-1])
    defective = frozenset(
        number
        for number, line in enumerate(lines, start=1)
        if _refused_for_unseen(Place(name, number), line, findings)
    )
    return Text(name, lines, defective, ends_in_line)


def rows_of(text: Text, findings: Findings, *, most: int | None = None) -> list[Row]:
    """Return the rows of *text*; a line is a row, a comment, blank, or refused.

    Args:
        text: The file.
        findings: Where problems go.
        most: How many rows are enough; those below are not looked at.
    """
    rows: list[Row] = []
    for number, line in enumerate(text.lines, start=1):
        if len(rows) == most:
            break
        if number in text.defective or is_comment(line):
            continue
        if not _refused_as_row(Place(text.name, number), line, findings):
            rows.append(Row(number, split(Field(line, 1), ","), len(line) + 1))
    return rows


def is_comment(line: str) -> bool:
    """Whether *line* is blank or a comment."""
    stripped = line.strip(" ")
    return not stripped or stripped.startswith("#")


def refuse_cut_file(text: Text, findings: Findings, *, whole_ending: str | None = None) -> None:
    """Refuse a file that ends within a line: nobody can tell whether more was to come.

    Args:
        text: The file.
        findings: Where problems go.
        whole_ending: An ending after which nothing can follow, so that the line must be whole.
    """
    if not text.ends_in_line or is_comment(text.lines[-1]):
        return
    last = text.lines[-1].rstrip(" ")
    if whole_ending is not None and last.endswith(whole_ending):
        return
    findings.invalid(
        Place(text.name, len(text.lines), len(text.lines[-1]) + 1),
        "the file ends within a line",
        "half written? end the last line with a line feed",
    )


def _refused_for_unseen(line: Place, content: str, findings: Findings) -> bool:
    """Whether a character of *content* that no editor shows was refused."""
    if content.isascii() and content.isprintable():
        return False
    for column, character in enumerate(content, start=1):
        if unicodedata.category(character) not in _UNSEEN:
            continue
        if character == _BOM and (line.line, column) == (1, 1):
            name, hint = "a byte-order mark", "save the file as UTF-8 without one"
        else:
            unnamed = (f"the unseen character U+{ord(character):04X}", "remove it")
            name, hint = _NAMED.get(character, unnamed)
        findings.invalid(line._replace(column=column), f"there is {name}", hint)
        return True
    return False


def _refused_as_row(line: Place, content: str, findings: Findings) -> bool:
    """Whether *content* was refused for what no row may hold."""
    if len(content) > MAX_ROW_CHARACTERS:
        message = f"the row has more than {MAX_ROW_CHARACTERS} characters"
        findings.invalid(line, message, "such a row is short; is this the right file?")
        return True
    found = _NOT_IN_ROWS.search(content)
    if found is None:
        return False
    place, character = line._replace(column=found.start() + 1), found[0]
    if character == "#":
        hint = "a comment has a line of its own, above the row"
        findings.invalid(place, "a comment follows on the same line", hint)
    elif character.isascii():
        findings.invalid(place, "there is a quote", "words are written without quotes")
    else:
        hint = "words are ASCII; look for a letter or a space that only looks like one"
        findings.invalid(place, f"there is {shown(character)}", hint)
    return True


def split(whole: Field, separator: str) -> tuple[Field, ...]:
    """Return the parts of *whole* between *separator*, each with the column of its own."""
    parts, column = [], whole.column
    for part in whole.text.split(separator):
        indent = len(part) - len(part.lstrip(" "))
        parts.append(Field(part.strip(" "), column + indent))
        column += len(part) + len(separator)
    return tuple(parts)


def expect_fields(row: Row, names: tuple[str, ...], file: str, findings: Findings) -> bool:
    """Whether *row* has a field for each of *names*; refused where it has not."""
    count, wanted = len(row.fields), len(names)
    if count == wanted:
        return True
    column = row.end if count < wanted else row.fields[wanted].column
    findings.invalid(
        Place(file, row.line, column),
        f"the row has {count} fields, not {wanted}",
        "write " + ", ".join(names),
    )
    return False
