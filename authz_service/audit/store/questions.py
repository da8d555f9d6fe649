"""Questions for decisions as SQL: each follows one index, newest first, and sorts nothing.

A question may hold several filters, and each has an index of its own. One of them *leads*: its
index is walked, and the rest is looked at row by row. Which one, the number of rows tells, counted
up to `FEW` in each index; where all are many, the order of `_LEADS`.

A planner left to itself walks another index where it believes that a page will be full soon, and
is wrong where rows are not spread as it believes. So the leading column stands in the order that is
asked for, and is bounded from both sides instead of being equal to something, which would take it
out of the order again; what only accompanies is written so that no index serves it
(``x || '' = …``); and SQLite is told the index by its name.

Statements are written once, with ``:name`` for parameters and ``{name}`` for an index.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from authz_service.operations.decision_log import DecisionKey, DecisionsQuestion
from authz_service.operations.page_tokens import microseconds_of
from authz_service.pdp.model import Effect, Reason

FEW: Final = 1000
"""So many rows at most are counted in an index before it is called long."""

Parameters = dict[str, str | int]


class Lead(NamedTuple):
    """A filter whose index can be walked.

    Attributes:
        index_name: The index.
        filters: The fields of the question that it answers whole.
        column: The index's first column, if that is not the time.
        only: What rows have to be to stand in the index, if not all do.
    """

    index_name: str
    filters: frozenset[str]
    column: str = ""
    only: str = ""


class Statement(NamedTuple):
    """A statement with its parameters."""

    text: str
    parameters: Parameters


_DENIED: Final = "d.effect = 'DENY'"
_LEADS: Final = (
    Lead("decisions_by_recording", frozenset({"recording_id"}), "recording_id"),
    Lead("decisions_by_patient", frozenset({"patient_id"}), "patient_id"),
    Lead("decisions_by_subject", frozenset({"subject_id"}), "subject_id"),
    Lead("denials_by_reason", frozenset({"reason", "effect"}), "reason", _DENIED),
    Lead("decisions_by_caller", frozenset({"caller"}), "caller"),
    Lead("denials_by_time", frozenset({"effect"}), "", _DENIED),
    Lead("lists_by_kind", frozenset({"kind"}), "kind", "d.kind <> 'DECISION'"),
)
_BY_TIME: Final = Lead("decisions_by_time", frozenset())
"""What remains: what most records are, or nothing but a time."""

_COLUMNS: Final = (
    "d.evaluated_at, d.decision_id, d.journal_id, d.sequence, l.hash,"
    " substr(l.line, CAST(d.offset_bytes + 1 AS INTEGER), CAST(d.size_bytes AS INTEGER))"
)
_LINES: Final = (
    "LEFT JOIN journal_lines AS l"
    " ON l.journal_id = d.journal_id AND l.sequence = d.sequence AND l.at = d.line_at"
)
_SINCE: Final = "d.evaluated_at >= :evaluated_from"
_UNTIL: Final = "d.evaluated_at < :evaluated_to"
_UP_TO_KEY: Final = "d.evaluated_at <= :after_at"
_ONE: Final = (
    f"SELECT {_COLUMNS} FROM decisions AS d {_LINES}"  # noqa: S608  # texts of ours
    " WHERE d.decision_id = :decision_id LIMIT 1"
)


def is_impossible(question: DecisionsQuestion) -> bool:
    """Whether no record can be what *question* asks for, so that none has to be looked for.

    An ALLOW has the reason RULE_ALLOWED and a DENY any other; a page of a list has neither, and no
    recording; an opening of emergency access has no recording.
    """
    effect, reason = question.effect, question.reason
    if question.kind == "LISTED" and (effect or reason or question.recording_id):
        return True
    if question.kind == "EMERGENCY" and question.recording_id:
        return True
    if effect is None or reason is None:
        return False
    return (effect is Effect.ALLOW) is not (reason is Reason.RULE_ALLOWED)


def leads_of(question: DecisionsQuestion) -> Sequence[Lead]:
    """Return what can lead *question*, the likely shortest first; one at least."""
    asked = _filters(question)
    if question.reason not in {None, Reason.RULE_ALLOWED}:
        asked["effect"] = Effect.DENY.value
    leads = [lead for lead in _LEADS if _serves(lead, asked)]
    if any("reason" in lead.filters for lead in leads):
        leads = [lead for lead in leads if lead.index_name != "denials_by_time"]
    return leads or [_BY_TIME]


def one_of(decision_id: str) -> Statement:
    """Return the statement for the record of one decision."""
    return Statement(_ONE, {"decision_id": decision_id})


def lengths_of(
    leads: Sequence[Lead], question: DecisionsQuestion, after: DecisionKey | None
) -> Statement:
    """Return the statement that counts the rows of each of *leads*, up to `FEW`; one row."""
    counts = [
        f"(SELECT count(*) FROM (SELECT 1 FROM decisions AS d{{{lead.index_name}}}"  # noqa: S608  # texts of ours
        f" WHERE {_range(lead, question, after)} ORDER BY {_order(lead)} LIMIT {FEW}) AS first)"
        for lead in leads
    ]
    return Statement("SELECT " + ", ".join(counts), _parameters(question, after))


def page_of(
    lead: Lead, question: DecisionsQuestion, after: DecisionKey | None, limit: int
) -> Statement:
    """Return the statement for the next *limit* records, found along the index of *lead*."""
    others = [
        f"(d.{name} || '') = :{name}" for name in _filters(question) if name not in lead.filters
    ]
    where = " AND ".join([_range(lead, question, after), *others])
    text = (
        f"SELECT {_COLUMNS} FROM decisions AS d{{{lead.index_name}}} {_LINES}"  # noqa: S608  # texts of ours
        f" WHERE {where} ORDER BY {_order(lead)} LIMIT :limit"
    )
    return Statement(text, {**_parameters(question, after), "limit": limit})


def _filters(question: DecisionsQuestion) -> dict[str, str]:
    """Return what is asked for beside the time, by the name of its column."""
    named = question._asdict()
    del named["evaluated_from"], named["evaluated_to"]
    return {name: str(each) for name, each in named.items() if each is not None}


def _serves(lead: Lead, asked: dict[str, str]) -> bool:
    """Whether *lead* stands for something that is *asked*, and for nothing else."""
    if not lead.filters <= asked.keys():
        return False
    if lead.only == _DENIED:
        return asked["effect"] == Effect.DENY
    return not lead.only or asked["kind"] != "DECISION"


def _parameters(question: DecisionsQuestion, after: DecisionKey | None) -> Parameters:
    """Return the value of everything that a statement may name."""
    parameters: Parameters = {**_filters(question)}
    if question.evaluated_from is not None:
        parameters["evaluated_from"] = microseconds_of(question.evaluated_from)
    if question.evaluated_to is not None:
        parameters["evaluated_to"] = microseconds_of(question.evaluated_to)
    if after is not None:
        parameters["after_at"] = microseconds_of(after.evaluated_at)
        parameters["after_id"] = after.decision_id
    return parameters


def _order(lead: Lead) -> str:
    """Return the order in which the index of *lead* is walked."""
    keys = [lead.column, "evaluated_at", "decision_id"]
    return ", ".join(f"d.{key} DESC" for key in keys if key)


def _range(lead: Lead, question: DecisionsQuestion, after: DecisionKey | None) -> str:
    """Return the part of the index of *lead* that is walked, bounded from both sides.

    The times stand there once more by themselves: they tell PostgreSQL which months to leave out.
    """
    where = [lead.only] if lead.only else []
    if question.evaluated_from is not None:
        where += [_bound(lead, ">=", evaluated_at="evaluated_from"), _SINCE]
    elif lead.column:
        where.append(_bound(lead, ">="))
    if after is not None:
        where += [_bound(lead, "<", evaluated_at="after_at", decision_id="after_id"), _UP_TO_KEY]
    elif lead.column and question.evaluated_to is None:
        where.append(_bound(lead, "<="))
    if question.evaluated_to is not None:
        where += [_bound(lead, "<", evaluated_at="evaluated_to"), _UNTIL]
    return " AND ".join(where) or "1 = 1"


def _bound(lead: Lead, comparison: str, **keys: str) -> str:
    """Return one bound of the walk: the leading column, then *keys* with their parameters."""
    pairs = {lead.column: lead.column, **keys} if lead.column else keys
    columns = ", ".join(f"d.{column}" for column in pairs)
    values = ", ".join(f":{name}" for name in pairs.values())
    return f"({columns}) {comparison} ({values})"
