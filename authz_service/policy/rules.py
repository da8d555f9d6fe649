"""rules.csv: one rule a line, every word of it known, or the line is refused."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from authz_service.pdp.model import Condition, Effect, is_id
from authz_service.policy.findings import Findings, Place, shown
from authz_service.policy.rows import (
    Field,
    Row,
    Text,
    expect_fields,
    is_comment,
    refuse_cut_file,
    rows_of,
)
from authz_service.policy.vocabulary import (
    ACTIONS,
    ALWAYS,
    CONDITIONS,
    EVERYTHING,
    PURPOSES,
    RELATIONS,
    Vocabulary,
    suggestion,
)

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
    return tuple(_rule(_Cells(text.name, row, findings), vocabulary) for row in whole)


def _is_rule(row: Row, file: str, findings: Findings) -> bool:
    """Whether *row* is a rule with all its fields; refused where it is not."""
    first = row.fields[0]
    if first.text != "p":
        message = f"there is no row type {shown(first.text)} here"
        hint = "a rule begins with p; roles stand in roles.csv, groups in groups.csv"
        findings.invalid(Place(file, row.line, first.column), message, hint)
        return False
    return expect_fields(row, _FIELDS, file, findings)


@dataclass(frozen=True, slots=True)
class _Cells:
    """The fields of one rule, and where what is wrong with them goes."""

    file: str
    row: Row
    findings: Findings

    def refuse(self, field: Field, message: str, hint: str, offset: int = 0) -> None:
        """Refuse *field*, at *offset* characters from its beginning."""
        place = Place(self.file, self.row.line, field.column + offset)
        self.findings.invalid(place, message, hint)


def _rule(cells: _Cells, vocabulary: Vocabulary) -> Rule:
    """Return the rule that *cells* hold; what is refused stays empty."""
    _, rule, effect, role, relation, action, purpose, when = cells.row.fields
    if not is_id(rule.text):
        hint = "letters and digits, joined by single . _ or -, as in own-recording"
        cells.refuse(rule, f"{shown(rule.text)} is no rule id", hint)
    if effect.text not in _EFFECTS:
        hint = "write exactly allow or deny"
        cells.refuse(effect, f"{shown(effect.text)} is no effect", hint)
    if relation.text == EVERYTHING and effect.text == "allow":
        hint = "a rule that allows names the relations that it is for"
        cells.refuse(relation, "* as a relation is for rules that deny", hint)
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
    cells: _Cells,
    field: Field,
    kind: str,
    known: frozenset[str],
    groups: Mapping[str, frozenset[str]] | None = None,
) -> frozenset[str]:
    """Return the words of a cell, groups replaced by theirs."""
    if field.text == EVERYTHING:
        return frozenset({EVERYTHING})
    named, found, offset = groups or {}, set[str](), 0
    seen: set[str] = set()
    for part in field.text.split("|"):
        word, at = part.strip(" "), offset + len(part) - len(part.lstrip(" "))
        offset += len(part) + 1
        if word in seen:
            cells.refuse(field, f"{shown(word)} stands twice", "keep one", at)
        elif word in known or word in named:
            found |= named.get(word, frozenset({word}))
        else:
            _refuse_word(cells, field, word, at, (kind, known | named.keys()))
        seen.add(word)
    return frozenset(found)


def _refuse_word(
    cells: _Cells, field: Field, word: str, at: int, expected: tuple[str, Iterable[str]]
) -> None:
    """Refuse *word*, which is none of those *expected*, named by their kind."""
    kind, known = expected
    if word == EVERYTHING:
        cells.refuse(field, "* stands beside other words", "* stands alone in its cell", at)
    elif not word:
        cells.refuse(field, f"the {kind} is missing", "write a word, words joined by | or *", at)
    else:
        cells.refuse(field, f"no {kind} is called {shown(word)}", suggestion(word, known), at)


def _when(cells: _Cells, field: Field) -> When:
    """Return the conditions of a rule: ``always``, or conditions joined by ``and``."""
    if field.text == ALWAYS:
        return When()
    holding: set[Condition] = set()
    absent: set[Condition] = set()
    offset = 0
    for part in field.text.split(" and "):
        at = offset + len(part) - len(part.lstrip(" "))
        offset += len(part) + len(" and ")
        condition = part.strip(" ")
        word = condition.removeprefix("not ").lstrip(" ")
        at += len(condition) - len(word)
        if word not in CONDITIONS:
            _refuse_condition(cells, field, word, at)
        elif word in holding | absent:
            hint = "name each condition once, with or without not"
            cells.refuse(field, f"{word} stands twice", hint, at)
        else:
            (absent if word != condition else holding).add(Condition(word))
    return When(frozenset(holding), frozenset(absent))


def _refuse_condition(cells: _Cells, field: Field, word: str, at: int) -> None:
    """Refuse what is no condition, with the hint that fits."""
    if word == ALWAYS:
        hint = "always stands alone: it means that no condition is asked for"
    elif " or " in f" {word} ":
        hint = "write one rule for each: rules are alternatives"
    elif not word or word in {"and", "not"}:
        hint = "write always, or conditions joined by and, each with or without not"
    else:
        hint = suggestion(word, CONDITIONS)
    cells.refuse(field, f"{shown(word)} is no condition", hint, at)


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
