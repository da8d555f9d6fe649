"""What a verb prints: fields and tables for people, one JSON document for programs.

Colour and movement are for terminals only, and NO_COLOR is honoured.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text


def screen(*, stderr: bool = False) -> Console:
    """Return the terminal, or the plain file in its place; nothing printed is taken as markup."""
    return Console(
        file=sys.stderr if stderr else sys.stdout, markup=False, highlight=False, emoji=False
    )


def print_line(text: str, style: str = "", *, stderr: bool = False) -> None:
    """Print one line, never wrapped."""
    screen(stderr=stderr).print(Text(text, style=style), soft_wrap=True)


def print_fields(fields: Iterable[tuple[str, str]]) -> None:
    """Print names and values, the values below each other."""
    rows = list(fields)
    width = max((len(name) for name, _ in rows), default=0)
    out = screen()
    for name, value in rows:
        out.print(Text.assemble((name.ljust(width), "dim"), "  ", value), soft_wrap=True)


def print_table(
    header: Sequence[str], rows: Iterable[Sequence[str]], styles: dict[str, str]
) -> None:
    """Print *rows* in columns as wide as what stands in them; *styles* colours whole cells."""
    body = [tuple(row) for row in rows]
    widths = [max(len(cell) for cell in column) for column in zip(header, *body, strict=True)]
    out = screen()
    for row, style in [(tuple(header), "bold"), *((row, "") for row in body)]:
        cells = [
            (cell.ljust(width), styles.get(cell, style))
            for cell, width in zip(row[:-1], widths, strict=False)
        ]
        line = Text("  ").join(Text(text, style=colour) for text, colour in cells)
        line.append("  " + row[-1], style=style)
        out.print(line, soft_wrap=True)


def print_json(document: Any) -> None:
    """Print *document* as the one JSON document of this command."""
    sys.stdout.write(json.dumps(document, indent=2) + "\n")
