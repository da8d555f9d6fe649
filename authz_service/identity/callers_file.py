"""The callers file, read strictly: one row a caller, every defect of it told at once.

``caller,rpcs,tenants,actions,purposes,writes,may``; a cell is ``*``, words joined by ``|``, or
empty for none. The caller is a SPIFFE ID, or ``loopback`` on insecure loopback.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from authz_service.identity.caller_row import HEADER, rule_of
from authz_service.identity.caller_rules import LOOPBACK, CallerRule
from authz_service.identity.callers import Callers
from authz_service.identity.contradictions import refuse_sources, warn_of_contradictions
from authz_service.identity.spiffe import fault_of
from authz_service.pdp.errors import CallersRefusedError, PolicyProblem
from authz_service.tables.cells import Cells
from authz_service.tables.findings import Findings, Place, shown
from authz_service.tables.reading import is_too_large, read_file
from authz_service.tables.rows import Row, expect_fields, refuse_cut_file, rows_of, text_of

MAX_CALLERS = 1000
"""How many callers a file may have."""

_DOUBTFUL = "doubtful"
"""The kind of what is warned of."""
_HEADER_HINT = f"write {','.join(HEADER)} above the rows"


def is_caller(text: str) -> bool:
    """Whether *text* can be a caller."""
    return text == LOOPBACK or not fault_of(text)


def read_callers(path: Path, rpcs: frozenset[str], *, plaintext: bool | None = None) -> Callers:
    """Return the callers of the file at *path*.

    Args:
        path: The file.
        rpcs: The RPCs that there are.
        plaintext: Whether the one caller will be `LOOPBACK`, which then has to have a row; where
            it is False a SPIFFE ID has to have one. None where it is not known.

    Raises:
        CallersRefusedError: The file is missing, unreadable or defective; it holds every defect.
    """
    findings = Findings()
    content = read_file(path, str(path), findings)
    if content is None:
        raise CallersRefusedError(*findings.problems())
    return parse_callers(str(path), content, rpcs, plaintext=plaintext)


def parse_callers(
    file: str, content: bytes, rpcs: frozenset[str], *, plaintext: bool | None = None
) -> Callers:
    """Return the callers of *file*, which holds *content*; else as `read_callers`.

    Raises:
        CallersRefusedError: The file is defective; it holds every defect.
    """
    findings, warnings = Findings(), Findings()
    rules = _rules(_File(file, content, findings, warnings), rpcs)
    if not findings.count:
        _refuse_uncallable(file, rules, findings, plaintext=plaintext)
    if problems := findings.problems():
        raise CallersRefusedError(*sorted(problems, key=_from_the_top))
    doubts = tuple(warning._replace(kind=_DOUBTFUL) for warning in warnings.problems())
    return Callers(revision_of(content), rules, doubts)


def _from_the_top(problem: PolicyProblem) -> tuple[bool, bool, int, int]:
    """Return where *problem* comes: by line, then those of the whole file, then how many more."""
    return not problem.file, not problem.line, problem.line, problem.column


def revision_of(content: bytes) -> str:
    """Return the revision of a file that holds *content*: its SHA-256, in hex."""
    return hashlib.sha256(content).hexdigest()


class _File(NamedTuple):
    """A file as it is read, and where what there is to say of it goes."""

    name: str
    content: bytes
    findings: Findings
    warnings: Findings


def _rules(read: _File, rpcs: frozenset[str]) -> dict[str, CallerRule]:
    """Return the rule of each row; what is refused is left out or stays empty."""
    file, content, findings, warnings = read
    if is_too_large(file, content, findings):
        return {}
    text = text_of(file, content, findings)
    if text is None:
        return {}
    refuse_cut_file(text, warnings)  # fewer rows grant less: a doubt, and no defect
    rows = _below_header(file, rows_of(text, findings, most=MAX_CALLERS + 2), findings)
    if len(rows) > MAX_CALLERS:
        place = Place(file, rows[MAX_CALLERS].line)
        findings.invalid(place, f"there are more than {MAX_CALLERS} callers", "is this the file?")
        return {}
    return _rule_of_each(read, rows, rpcs)


def _below_header(file: str, rows: list[Row], findings: Findings) -> list[Row]:
    """Return the rows of callers; refused where the first is not the header."""
    first = rows[0] if rows else None
    if first is not None and tuple(field.text for field in first.fields) == HEADER:
        return rows[1:]
    place = Place(file, first.line, first.fields[0].column) if first else Place(file)
    findings.invalid(place, "the first row is not the header", _HEADER_HINT)
    return rows


def _rule_of_each(read: _File, rows: list[Row], rpcs: frozenset[str]) -> dict[str, CallerRule]:
    """Return the rule of each caller, its second row refused."""
    file, _, findings, warnings = read
    rules: dict[str, CallerRule] = {}
    lines: dict[str, int] = {}
    for row in rows:
        if not expect_fields(row, HEADER, file, findings):
            continue
        before, cells = findings.count, Cells(file, row, findings)
        rule = rule_of(cells, rpcs)
        if findings.count == before:
            refuse_sources(cells, rule)
            warn_of_contradictions(Cells(file, row, warnings), rule)
        if rule.caller in rules:
            message = f"line {lines[rule.caller]} is the row of {shown(rule.caller)} already"
            cells.tell(row.fields[0], message, "a caller has one row; put both together")
        rules.setdefault(rule.caller, rule)
        lines.setdefault(rule.caller, row.line)
    return rules


def _refuse_uncallable(
    file: str, rules: Mapping[str, CallerRule], findings: Findings, *, plaintext: bool | None
) -> None:
    """Refuse a file by which nobody could call."""
    if not rules:
        findings.invalid(Place(file), "there is no caller", "a service has at least one row")
    elif plaintext and LOOPBACK not in rules:
        message = f"has no row for {LOOPBACK}, the caller on loopback"
        findings.invalid(Place(file), message, "add one, or unset AUTHZ_INSECURE_LOOPBACK")
    elif plaintext is False and rules.keys() == {LOOPBACK}:
        message = f"has no row but {LOOPBACK}'s, and nobody calls as that over TLS"
        findings.invalid(Place(file), message, "add a row for the SPIFFE ID of each caller")
