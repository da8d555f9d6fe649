"""The threat model is held to what there is: its tests exist, and every port and file is in it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, get_args

import pytest

from authz_service.settings import Settings

TESTS = Path(__file__).resolve().parent
DOCUMENT = TESTS.parent / "docs" / "security.md"
STRIDE = "STRIDE"
NOT_COVERED = "not covered"
_NAMED = re.compile(r"`([\w/]+\.py)::(test_\w+)`")
_ROW = re.compile(r"\| ([STRIDE]) \| (.+) \| (.+?) \|")


class Threat(NamedTuple):
    """One row.

    Attributes:
        place: The heading that it stands below.
        kind: One letter of STRIDE.
        text: What could happen, and what stands against it.
        covered_by: The last cell.
    """

    place: str
    kind: str
    text: str
    covered_by: str


def threats_in(text: str) -> list[Threat]:
    """Return every row of the tables of *text*.

    Raises:
        ValueError: A row of a table is of no known form.
    """
    found, place = [], ""
    for line in text.splitlines():
        if line.startswith("#"):
            place = line.lstrip("# ") if line.startswith("### ") else ""
        elif place and line.startswith("|") and not line.startswith(("| |", "|---")):
            row = _ROW.fullmatch(line)
            if row is None:
                raise ValueError(f"no row of STRIDE: {line}")
            found.append(Threat(place, row[1], row[2], row[3]))
    return found


@cache
def names_in(path: Path) -> frozenset[str]:
    """Return the names of the tests in a module."""
    if not path.is_file():
        return frozenset()
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return frozenset(
        node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )


def missing_tests(covered_by: str) -> list[str]:
    """Return the tests that a cell names and that there are not."""
    return [
        f"{module}::{name}"
        for module, name in _NAMED.findall(covered_by)
        if name not in names_in(TESTS / module)
    ]


def places_of(settings: type[Settings]) -> Iterator[str]:
    """Yield the settings that name a port, a file, a folder or a database."""
    for name, field in settings.model_fields.items():
        kinds: tuple[Any, ...] = (field.annotation, *get_args(field.annotation))
        if Path in kinds or name.endswith(("listen", "_url")):
            yield f"AUTHZ_{name.upper()}"


THREATS = threats_in(DOCUMENT.read_text(encoding="utf-8"))


def test_every_row_names_a_test_or_says_that_there_is_none() -> None:
    odd = [
        threat
        for threat in THREATS
        if threat.covered_by != NOT_COVERED and _NAMED.sub("", threat.covered_by).strip()
    ]

    assert THREATS
    assert odd == []


def test_every_test_that_is_named_exists() -> None:
    assert [each for threat in THREATS for each in missing_tests(threat.covered_by)] == []


def test_each_port_and_file_is_looked_at_in_all_six_ways() -> None:
    seen: dict[str, set[str]] = {}
    for threat in THREATS:
        seen.setdefault(threat.place, set()).add(threat.kind)

    assert [
        (place, missing) for place, kinds in seen.items() if (missing := {*STRIDE} - kinds)
    ] == []


def test_every_port_and_file_of_a_setting_has_a_table() -> None:
    """A new setting that names a port, a file or a database is thought about, or fails here."""
    headings = {place for threat in THREATS for place in re.findall(r"AUTHZ_\w+", threat.place)}

    settings = set(places_of(Settings))

    assert {"AUTHZ_LISTEN", "AUTHZ_TLS_KEY", "AUTHZ_REGISTRY_URL"} <= settings
    assert settings - headings == set()
    assert headings - {f"AUTHZ_{name.upper()}" for name in Settings.model_fields} == set()


@pytest.mark.parametrize(
    ("cell", "missing"),
    [
        pytest.param(
            "`test_security_document.py::test_every_test_that_is_named_exists`", [], id="there"
        ),
        pytest.param(
            "`test_security_document.py::test_no_such`",
            ["test_security_document.py::test_no_such"],
            id="no-such-test",
        ),
        pytest.param("`e2e/test_no.py::test_x`", ["e2e/test_no.py::test_x"], id="no-such-file"),
    ],
)
def test_a_test_that_is_gone_is_missed(cell: str, missing: list[str]) -> None:
    assert missing_tests(cell) == missing


def test_a_row_that_is_none_is_not_passed_over() -> None:
    with pytest.raises(ValueError, match="no row of STRIDE"):
        threats_in("### A port\n| X | what | not covered |\n")
