"""One row of the callers file, every word of it known, or the row is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from authz_service.identity.caller_rules import LOOPBACK, MAY, CallerRule
from authz_service.identity.spiffe import fault_of
from authz_service.pdp.entity_words import FactKind
from authz_service.pdp.model import Action, PurposeOfUse, is_id
from authz_service.tables.cells import (
    EVERYTHING,
    Cells,
    hint_at,
    is_out_of_place,
    known_words,
    words_of,
)
from authz_service.tables.findings import shown
from authz_service.tables.rows import Field, split

_ACTIONS = frozenset(action.value for action in Action)
_PURPOSES = frozenset(purpose.value for purpose in PurposeOfUse)
_KINDS = frozenset(kind.value for kind in FactKind)
_AS = " as "
_CALLER_HINT = "write loopback, or a SPIFFE ID as in spiffe://clinic.example/booking"
SOURCE_HINT = "write <kind> as <source>, as in attendance as media-server"
"""What to do about a kind of facts without a source."""


class CallerFields(NamedTuple):
    """The fields of a row, by column."""

    caller: Field
    rpcs: Field
    tenants: Field
    actions: Field
    purposes: Field
    writes: Field
    may: Field


HEADER = CallerFields._fields
"""The first row of every callers file."""


def rule_of(cells: Cells, rpcs: frozenset[str]) -> CallerRule:
    """Return what the row in *cells* says; what is refused stays empty.

    Args:
        cells: A row with all its fields.
        rpcs: The RPCs that there are.
    """
    row = CallerFields(*cells.row.fields)
    fault = fault_of(row.caller.text)
    if fault and row.caller.text != LOOPBACK:
        message = f"{shown(row.caller.text)} is no caller: it {fault}"
        cells.tell(row.caller, message, _CALLER_HINT)
    may_call = _known(cells, row.rpcs, "RPC", rpcs)
    tenants = _tenants(cells, row.tenants)
    actions = _known(cells, row.actions, "action", _ACTIONS)
    purposes = _known(cells, row.purposes, "purpose", _PURPOSES)
    writes = _writes(cells, row.writes)
    may = _known(cells, row.may, "power", MAY)
    powers = MAY if may is None else may
    return CallerRule(row.caller.text, may_call, tenants, actions, purposes, writes, powers)


def _known(cells: Cells, field: Field, kind: str, known: frozenset[str]) -> frozenset[str] | None:
    """Return the words of a cell of a closed list; None for ``*``, none for an empty cell."""
    if field.text == EVERYTHING:
        return None
    return frozenset(known_words(cells, field, kind, known) if field.text else ())


def _tenants(cells: Cells, field: Field) -> frozenset[str] | None:
    """Return the tenants of a cell; None for ``*``."""
    if field.text == EVERYTHING:
        return None
    found = set()
    for word in words_of(cells, field) if field.text else ():
        if is_id(word.text):
            found.add(word.text)
        elif not is_out_of_place(cells, word, "tenant"):
            hint = "letters and digits, joined by single . _ or -, as in uk-nhs"
            cells.tell(word, f"{shown(word.text)} is no tenant", hint)
    return frozenset(found)


def _writes(cells: Cells, field: Field) -> Mapping[str, str | None] | None:
    """Return the kinds of facts that a caller writes, each with its source; None for ``*``."""
    if field.text == EVERYTHING:
        return None
    found: dict[str, str | None] = {}
    for word in split(field, "|") if field.text else ():
        kind, *source = split(word, _AS)
        if kind.text in found:
            cells.tell(kind, f"{kind.text} stands twice", "a kind is written as one source")
        elif _is_kind(cells, kind):
            found[kind.text] = _source(cells, source)
    return found


def _is_kind(cells: Cells, kind: Field) -> bool:
    """Whether *kind* is one of facts; refused where it is not."""
    if kind.text in _KINDS:
        return True
    if not is_out_of_place(cells, kind, "kind of fact"):
        hint = f"{hint_at(cells, kind, _KINDS)} ({SOURCE_HINT})"
        cells.tell(kind, f"no kind of fact is called {shown(kind.text)}", hint)
    return False


def _source(cells: Cells, named: list[Field]) -> str | None:
    """Return the source that is named behind a kind; None where it is to be stated."""
    if not named:
        return None
    source = named[0]
    if len(named) > 1 or not is_id(source.text):
        hint = "letters and digits, joined by single . _ or -, as in media-server"
        cells.tell(source, f"{shown(_AS.join(each.text for each in named))} is no source", hint)
    elif source.text == LOOPBACK:
        hint = "a source is the system that knows the fact"
        cells.tell(source, f"{LOOPBACK} is no source", hint)
    return source.text
