"""rules.csv: one rule a line, every word of it known, or the line is refused."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from authz_service.pdp.model import Condition, Effect, is_id
from authz_service.policy.vocabulary import (
    ACTIONS,
    ALWAYS,
    CONDITIONS,
    PURPOSES,
    RELATIONS,
    Vocabulary,
)
from authz_service.tables.cells import EVERYTHING, Cells, known_words
from authz_service.tables.findings import Findings, Place, shown
from authz_service.tables.rows import (
    Field,
    Row,
    Text,
    expect_fields,
    is_comment,
    refuse_cut_file,
    rows_of,
    split,
)
from authz_service.tables.spelling import suggestion

MAX_RULES = 1000
"""How many rules a policy may have; each costs every situation that is new."""

_FIELDS = ("p", "<rule>", "<effect>", "<role>", "<relation>", "<action>", "<purpose>", "<when>")
_EFFECTS = {"allow": Effect.ALLOW, "deny": Effect.DENY}


@dataclass(frozen=True, slots=True)
class When:
    """The conditions of a rule: those that must hold, and those that must not."""

    holding: frozenset[Condition] = frozenset()
    absent: frozenset[Condition] = frozenset()


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule, groups replaced by their words; ``*`` stands alone in its set.

    Attributes:
        id: The rule's id.
        effect: What it says where it matches.
        roles: The roles of which the subject has one, inherited ones counted.
        relations: The relations of which the subject has one.
        actions: The actions.
        purposes: The purposes of use.
        when: The conditions.
        line: The line of rules.csv, from 1.
    """

    id: str
    effect: Effect
    roles: frozenset[str]
    relations: frozenset[str]
    actions: frozenset[str]
    purposes: frozenset[str]
    when: When
    line: int


def parse_rules(text: Text, vocabulary: Vocabulary, findings: Findings) -> tuple[Rule, ...]:
    """Return the rules of rules.csv in their order."""
    refuse_cut_file(text, findings, whole_ending=ALWAYS)
    rows = rows_of(text, findings)
    if len(rows) > MAX_RULES:
        place = Place(text.name, rows[MAX_RULES].line)
        findings.invalid(place, f"there are more than {MAX_RULES} rules", "merge some")
        return ()
    if all(is_comment(line) for line in text.lines):
        hint = "a policy has at least one rule; to allow nothing, write a rule that denies"
        findings.invalid(Place(text.name), "there is no rule", hint)
    whole = [row for row in rows if _is_rule(row, text.name, findings)]
    _refuse_second_ids(whole, text.name, findings)
    return tuple(_rule(Cells(text.name, row, findings), vocabulary) for row in whole)


def _is_rule(row: Row, file: str, findings: Findings) -> bool:
    """Whether *row* is a rule with all its fields; refused where it is not."""
    first = row.fields[0]
    if first.text != "p":
        message = f"there is no row type {shown(first.text)} here"
        hint = "a rule begins with p; roles stand in roles.csv, groups in groups.csv"
        findings.invalid(Place(file, row.line, first.column), message, hint)
        return False
    return expect_fields(row, _FIELDS, file, findings)


def _rule(cells: Cells, vocabulary: Vocabulary) -> Rule:
    """Return the rule that *cells* hold; what is refused stays empty."""
    _, rule, effect, role, relation, action, purpose, when = cells.row.fields
    if not is_id(rule.text):
        hint = "letters and digits, joined by single . _ or -, as in own-recording"
        cells.tell(rule, f"{shown(rule.text)} is no rule id", hint)
    if effect.text not in _EFFECTS:
        hint = "write exactly allow or deny"
        cells.tell(effect, f"{shown(effect.text)} is no effect", hint)
    if relation.text == EVERYTHING and effect.text == "allow":
        hint = "a rule that allows names the relations that it is for"
        cells.tell(relation, "* as a relation is for rules that deny", hint)
    return Rule(
        rule.text,
        _EFFECTS.get(effect.text, Effect.DENY),
        _words(cells, role, "role", vocabulary.roles),
        _words(cells, relation, "relation", RELATIONS),
        _words(cells, action, "action", ACTIONS, vocabulary.action_groups),
        _words(cells, purpose, "purpose", PURPOSES, vocabulary.purpose_groups),
        _when(cells, when),
        cells.row.line,
    )


def _words(
    cells: Cells,
    field: Field,
    kind: str,
    known: frozenset[str],
    groups: Mapping[str, frozenset[str]] | None = None,
) -> frozenset[str]:
    """Return the words of a cell, groups replaced by theirs."""
    if field.text == EVERYTHING:
        return frozenset({EVERYTHING})
    named, found = groups or {}, set[str]()
    for word in known_words(cells, field, kind, known | named.keys()):
        found |= named.get(word, frozenset({word}))
    return frozenset(found)


def _when(cells: Cells, field: Field) -> When:
    """Return the conditions of a rule: ``always``, or conditions joined by ``and``."""
    if field.text == ALWAYS:
        return When()
    holding: set[Condition] = set()
    absent: set[Condition] = set()
    for part in split(field, " and "):
        text = part.text.removeprefix("not ").lstrip(" ")
        word = Field(text, part.column + len(part.text) - len(text))
        if text not in CONDITIONS:
            _refuse_condition(cells, word)
        elif text in holding | absent:
            hint = "name each condition once, with or without not"
            cells.tell(word, f"{text} stands twice", hint)
        else:
            (absent if text != part.text else holding).add(Condition(text))
    return When(frozenset(holding), frozenset(absent))


def _refuse_condition(cells: Cells, field: Field) -> None:
    """Refuse what is no condition, with the hint that fits."""
    word = field.text
    if word == ALWAYS:
        hint = "always stands alone: it means that no condition is asked for"
    elif " or " in f" {word} ":
        hint = "write one rule for each: rules are alternatives"
    elif not word or word in {"and", "not"}:
        hint = "write always, or conditions joined by and, each with or without not"
    else:
        hint = suggestion(word, CONDITIONS)
    cells.tell(field, f"{shown(word)} is no condition", hint)


def _refuse_second_ids(rows: Iterable[Row], file: str, findings: Findings) -> None:
    """Refuse a rule that is called like one above it."""
    seen: dict[str, int] = {}
    for row in rows:
        rule = row.fields[1]
        if rule.text in seen:
            message = f"line {seen[rule.text]} has a rule {shown(rule.text)} already"
            hint = "records name the rule that decided; give each an id of its own"
            findings.invalid(Place(file, row.line, rule.column), message, hint)
        seen.setdefault(rule.text, row.line)
