"""roles.csv and groups.csv: which role inherits which, and which words a group stands for.

Chains are followed here, to their end; Casbin's own role manager stops at ten without a word.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import NamedTuple

from authz_service.pdp.model import is_id
from authz_service.policy.vocabulary import (
    ACTIONS,
    NONE,
    PRODUCT_ROLES,
    PURPOSES,
    RESERVED,
)
from authz_service.tables.findings import Findings, Place, shown
from authz_service.tables.rows import Field, Row, Text, expect_fields, refuse_cut_file, rows_of
from authz_service.tables.spelling import suggestion

MAX_DEPTH = 10
"""How many links a chain of roles or groups may have."""

_ROLE_FIELDS = ("g", "<role>", "<inherits>")
_GROUP_FIELDS = ("g2 or g3", "<group>", "<word>")
_GROUPED = {"g2": ("action", ACTIONS), "g3": ("purpose", PURPOSES)}


class _Link(NamedTuple):
    """One row: a role and one that it inherits, or a group and one of its words."""

    name: Field
    word: Field
    line: int


@dataclass(frozen=True, slots=True)
class Groups:
    """The named groups of a bundle, each with all the words that it stands for."""

    actions: Mapping[str, frozenset[str]]
    purposes: Mapping[str, frozenset[str]]


def parse_roles(text: Text, findings: Findings) -> dict[str, frozenset[str]]:
    """Return every known role with all that it inherits, itself included.

    A row's first role is thereby declared; the second must be known: one of the product's, or
    declared by a row. The word ``none`` in its place declares a role that inherits nothing.
    """
    refuse_cut_file(text, findings)
    links = [
        _Link(row.fields[1], row.fields[2], row.line)
        for row in rows_of(text, findings)
        if _is_of_type(row, ("g",), text.name, findings)
        and expect_fields(row, _ROLE_FIELDS, text.name, findings)
        and _is_role_name(row, text.name, findings)
    ]
    declared = PRODUCT_ROLES | {link.name.text for link in links}
    inherits = [link for link in links if link.word.text != NONE]
    for link in inherits:
        if link.word.text not in declared:
            place = Place(text.name, link.line, link.word.column)
            hint = suggestion(link.word.text, declared)
            findings.invalid(place, f"no role is called {shown(link.word.text)}", hint)
    _refuse_repeated(links, text.name, findings)
    _refuse_needless_none(links, text.name, findings)
    reached = _closure(inherits, text.name, "role", findings)
    return {role: reached.get(role, frozenset()) | {role} for role in declared}


def parse_groups(text: Text, findings: Findings) -> Groups:
    """Return the groups of actions (rows ``g2``) and of purposes (``g3``).

    A group's word is a word of its kind or another group of the same kind.
    """
    refuse_cut_file(text, findings)
    links: dict[str, list[_Link]] = {"g2": [], "g3": []}
    for row in rows_of(text, findings):
        if _is_of_type(row, ("g2", "g3"), text.name, findings) and expect_fields(
            row, _GROUP_FIELDS, text.name, findings
        ):
            links[row.fields[0].text].append(_Link(row.fields[1], row.fields[2], row.line))
    _refuse_shared_names(links, text.name, findings)
    return Groups(
        _groups_of("g2", links["g2"], text.name, findings),
        _groups_of("g3", links["g3"], text.name, findings),
    )


def _groups_of(
    row_type: str, links: list[_Link], file: str, findings: Findings
) -> dict[str, frozenset[str]]:
    """Return the groups of one kind, refusing names and words that are none."""
    kind, words = _GROUPED[row_type]
    names = {link.name.text for link in links}
    for link in links:
        if link.name.text in RESERVED or not is_id(link.name.text):
            hint = "choose a name that is no word of the vocabulary, as in watch"
            message = f"no group may be called {shown(link.name.text)}"
            findings.invalid(Place(file, link.line, link.name.column), message, hint)
        if link.word.text not in words | names:
            message = f"no {kind} and no group of them is called {shown(link.word.text)}"
            hint = suggestion(link.word.text, words | names)
            findings.invalid(Place(file, link.line, link.word.column), message, hint)
    _refuse_repeated(links, file, findings)
    reached = _closure(links, file, "group", findings)
    return {name: reached.get(name, frozenset()) & words for name in names}


def _is_of_type(row: Row, types: tuple[str, ...], file: str, findings: Findings) -> bool:
    """Whether *row* is of one of *types*; refused where it is not."""
    first = row.fields[0]
    if first.text in types:
        return True
    message = f"there is no row type {shown(first.text)} here"
    hint = f"rows of this file begin with {' or '.join(types)}; rules stand in rules.csv"
    findings.invalid(Place(file, row.line, first.column), message, hint)
    return False


def _is_role_name(row: Row, file: str, findings: Findings) -> bool:
    """Whether *row* names a role that may be declared; refused where it does not."""
    name = row.fields[1]
    if is_id(name.text) and name.text not in RESERVED - PRODUCT_ROLES:
        return True
    message = f"no role may be called {shown(name.text)}"
    hint = "a role is an id that is no other word of the vocabulary, as in clinician"
    findings.invalid(Place(file, row.line, name.column), message, hint)
    return False


def _refuse_repeated(links: Iterable[_Link], file: str, findings: Findings) -> None:
    """Refuse a row that says again what one above it says."""
    seen: dict[tuple[str, str], int] = {}
    for link in links:
        said = (link.name.text, link.word.text)
        if said in seen:
            message = f"the row repeats line {seen[said]}"
            findings.invalid(Place(file, link.line, link.name.column), message, "remove one")
        seen.setdefault(said, link.line)


def _refuse_needless_none(links: list[_Link], file: str, findings: Findings) -> None:
    """Refuse ``none`` beside a role that inherits something, or that is known anyway."""
    inheriting = {link.name.text for link in links if link.word.text != NONE}
    for link in links:
        if link.word.text == NONE and link.name.text in inheriting | PRODUCT_ROLES:
            message = f"{link.name.text} is known without this row"
            findings.invalid(Place(file, link.line, link.word.column), message, "remove it")


def _refuse_shared_names(links: dict[str, list[_Link]], file: str, findings: Findings) -> None:
    """Refuse a group of purposes that is named like one of actions."""
    actions = {link.name.text for link in links["g2"]}
    for link in links["g3"]:
        if link.name.text in actions:
            message = f"{link.name.text} is a group of actions already"
            findings.invalid(Place(file, link.line, link.name.column), message, "rename one")


def _closure(
    links: Iterable[_Link], file: str, kind: str, findings: Findings
) -> dict[str, frozenset[str]]:
    """Return all that each name reaches, refusing cycles and chains that are too long."""
    places: dict[str, Place] = {}
    graph: dict[str, set[str]] = {}
    for link in links:
        places[link.name.text] = Place(file, link.line, link.word.column)
        graph.setdefault(link.name.text, set()).add(link.word.text)
    try:
        order = tuple(TopologicalSorter(graph).static_order())
    except CycleError as cycle:
        names = cycle.args[1][::-1]
        message = f"the {kind}s run in a circle: {' -> '.join(names[:MAX_DEPTH])}"
        findings.invalid(max(places[name] for name in names), message, "break it")
        return {}
    reached: dict[str, frozenset[str]] = {}
    depth: dict[str, int] = {}
    for name in order:
        below = graph.get(name, set())
        reached[name] = frozenset(below).union(*(reached[word] for word in below))
        depth[name] = max((depth[word] + 1 for word in below), default=0)
        if depth[name] == MAX_DEPTH + 1:
            message = f"the chain of {kind}s below {name} has more than {MAX_DEPTH} links"
            findings.invalid(places[name], message, "flatten it")
    return reached
