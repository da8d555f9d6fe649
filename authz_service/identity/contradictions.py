"""Rows that are doubtful: what is granted and of no use, what is needed and not granted.

The first would come into force when somebody adds an RPC and looks at nothing else; the second
fails at every call. Neither opens what is not granted, so they are warned of, and the row counts.
What is refused is one caller that can speak as two of the systems that have to agree, by name or
because it states its sources itself. `LOOPBACK` is exempt: it is for trials, of such rows as well.
"""

from __future__ import annotations

from authz_service.identity.caller_row import SOURCE_HINT, CallerFields
from authz_service.identity.caller_rules import CONTAINMENT, LOOPBACK, CallerRule
from authz_service.pdp.entity_words import FactKind
from authz_service.tables.cells import Cells
from authz_service.tables.rows import Field, split

EXPLAINING = ("ExplainAccess", "ListSubjects")
ASKING = (
    "CheckAccess",
    "BatchCheckAccess",
    "ListRecordings",
    "OpenEmergencyAccess",
    *EXPLAINING,
)
CHANGING = ("WriteFacts", "DeleteFacts")
READING_LOG = ("ListDecisions", "GetDecision")
RESOLVING = ("ResolveConflict",)
CONTAINING = ("Contain", "LiftContainment")
REVIEWING = ("ReviewEmergencyAccess",)
ERASING = ("ErasePerson",)

_OF_SOME_TENANT = (
    *ASKING,
    *CHANGING,
    *RESOLVING,
    *CONTAINING,
    *REVIEWING,
    *ERASING,
    "ReadFacts",
    "ExportPerson",
    "ListContainments",
    "ListEmergencyAccess",
)
_OF_EVERY_TENANT = (*READING_LOG, "ReloadPolicy", "WatchFacts")
_COLUMNS = {
    "actions": ("actions", ASKING),
    "purposes": ("purposes", ASKING),
    "writes": ("kinds of facts", CHANGING),
}
"""What a column names, and the RPCs that need it and are all that it is for."""
_POWERS = {
    "explain": ASKING,
    "assert_assurance": ASKING,
    "read_log": READING_LOG,
    "contain": (*CONTAINING, *CHANGING),
    "review": (*CHANGING, *REVIEWING),
    "erase": ERASING,
}
"""The RPCs for which a power is; what gives nothing yet is for none."""
_NEEDED_POWERS = {
    "read_log": READING_LOG,
    "explain": EXPLAINING,
    "contain": CONTAINING,
    "review": REVIEWING,
    "erase": ERASING,
}
"""The RPCs that fail at every call without a power."""
_UNSEEN = "it would come into force, unseen, with the next thing that is granted"
_WITNESSES = (FactKind.RECORDING, FactKind.CONSULTATION, FactKind.ATTENDANCE)


def warn_of_contradictions(cells: Cells, rule: CallerRule) -> None:
    """Warn of what contradicts itself in the row of *cells*, which says *rule*.

    The findings of *cells* are warnings.
    """
    if rule.caller == LOOPBACK:
        return
    row = CallerFields(*cells.row.fields)
    if not row.rpcs.text:
        hint = "name its RPCs, or remove the row: without one it is UNAUTHENTICATED"
        cells.tell(row.rpcs, "this caller may call nothing", hint)
        return
    _warn_columns(cells, row, rule)
    _warn_tenants(cells, row, rule)
    _warn_powers(cells, row, rule)
    _warn_lack_of_powers(cells, row, rule)
    _warn_idle_kind(cells, row.writes, rule)


def _warn_columns(cells: Cells, row: CallerFields, rule: CallerRule) -> None:
    """Warn of a cell that is empty and needed, or filled and of no use."""
    for column, (what, rpcs) in _COLUMNS.items():
        cell: Field = getattr(row, column)
        if cell.text and not _can(rule, rpcs):
            message = f"there are {what}, and no {' or '.join(rpcs)} to use them"
            cells.tell(cell, message, f"empty the cell: {_UNSEEN}")
        elif not cell.text:
            _warn_empty(cells, row, what, _named(rule, rpcs))


def _warn_tenants(cells: Cells, row: CallerFields, rule: CallerRule) -> None:
    """Warn of tenants with what is not divided by them, and none with what is."""
    undivided = _named(rule, _OF_EVERY_TENANT)
    undivided += [word.text for word in split(row.may, "|") if word.text == "read_log"]
    if rule.tenants is not None and undivided:
        hint = f"write * for its tenants, or remove {' and '.join(undivided)}"
        cells.tell(row.tenants, f"{undivided[0]} is about every tenant", hint)
    elif not row.tenants.text:
        _warn_empty(cells, row, "tenants", _named(rule, _OF_SOME_TENANT))


def _warn_empty(cells: Cells, row: CallerFields, what: str, needing: list[str]) -> None:
    """Warn where there is nothing of *what* where any RPC is *needing* it."""
    if needing:
        hint = f"name {what}, or remove {' and '.join(needing)}"
        cells.tell(row.rpcs, f"{needing[0]} needs {what}, and their cell is empty", hint)


def _warn_powers(cells: Cells, row: CallerFields, rule: CallerRule) -> None:
    """Warn of a power that is for RPCs which the caller may not use."""
    for word in split(row.may, "|"):
        rpcs = _POWERS.get(word.text)
        if rpcs and not _can(rule, rpcs):
            message = f"there is {word.text}, and no {' or '.join(rpcs)} to use it"
            cells.tell(word, message, f"remove it: {_UNSEEN}")


def _warn_lack_of_powers(cells: Cells, row: CallerFields, rule: CallerRule) -> None:
    """Warn of what fails at every call without a power that is not there."""
    for power, rpcs in _NEEDED_POWERS.items():
        if power not in rule.may and (named := _named(rule, rpcs)):
            hint = f"add {power} to what it may, or remove {' and '.join(named)}"
            cells.tell(row.rpcs, f"{named[0]} needs {power}", hint)


def _warn_idle_kind(cells: Cells, cell: Field, rule: CallerRule) -> None:
    """Warn of containments among the kinds of a caller that may not contain."""
    if CONTAINMENT in (rule.writes or {}) and _can(rule, CHANGING) and "contain" not in rule.may:
        hint = f"add contain to what it may, or remove {CONTAINMENT}"
        cells.tell(cell, f"to write or delete a {CONTAINMENT} needs contain", hint)


def refuse_sources(cells: Cells, rule: CallerRule) -> None:
    """Refuse a caller that can speak as more systems than it may be."""
    if rule.caller == LOOPBACK:
        return
    cell = CallerFields(*cells.row.fields).writes
    _refuse_stated_sources(cells, cell, rule)
    _refuse_two_witnesses(cells, cell, rule)


def _refuse_stated_sources(cells: Cells, cell: Field, rule: CallerRule) -> None:
    """Refuse a caller that would state the sources of its facts itself, and so be any system."""
    if rule.writes is None:
        message = f"* would let this caller speak as any system; that is for {LOOPBACK} alone"
        cells.tell(cell, message, f"name each kind: {SOURCE_HINT}")
        return
    for word in split(cell, "|"):
        if word.text in rule.writes:
            message = f"{word.text} has no source, so this caller could write it as any system"
            cells.tell(word, message, f"{SOURCE_HINT}; {LOOPBACK} alone states its sources itself")


def _refuse_two_witnesses(cells: Cells, cell: Field, rule: CallerRule) -> None:
    """Refuse a caller that speaks as two of the three systems that have to agree.

    Under one source it may write all three kinds: then two of them corroborate nothing.
    """
    writes = rule.writes or {}
    said = {kind: source for kind in _WITNESSES if (source := writes.get(kind)) is not None}
    if len(set(said.values())) > 1:
        message = f"one caller would write {' and '.join(f'{k} as {s}' for k, s in said.items())}"
        hint = (
            "a recording's patient is known when three systems agree, so no caller may be two of "
            "them: give each its own certificate and row"
        )
        cells.tell(cell, message, hint)


def _named(rule: CallerRule, rpcs: tuple[str, ...]) -> list[str]:
    """Return those of *rpcs* that the row names; ``*`` names none."""
    return [rpc for rpc in rpcs if rule.rpcs is not None and rpc in rule.rpcs]


def _can(rule: CallerRule, rpcs: tuple[str, ...]) -> bool:
    """Whether the caller may use any of *rpcs*."""
    return rule.rpcs is None or not rule.rpcs.isdisjoint(rpcs)
