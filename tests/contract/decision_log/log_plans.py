"""How a database goes about a statement: which tables it scans, which indexes, what it sorts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from authz_service.audit.store.questions import Statement
from authz_service.audit.store.reading import Readings

_ONE_ROW_A_JOURNAL = "journals"
_SQLITE_NAMES = {"d", "l", "decisions", "journal_lines"}


@dataclass
class Plan:
    """What a plan does.

    Attributes:
        scanned: Tables that grow with every record, and are read from end to end.
        indexes: Indexes that are walked.
        sorted: What is sorted.
        rows: How many rows were read at most by one step; 0 where the database does not say.
    """

    scanned: list[str] = field(default_factory=list)
    indexes: set[str] = field(default_factory=set)
    sorted: list[str] = field(default_factory=list)
    rows: int = 0


class Explained:
    """A connection that has each query explained before it is run."""

    def __init__(self, connection: Any, plans: list[Plan]) -> None:
        self._connection, self._plans = connection, plans
        self._is_sqlite = type(connection).__module__ == "sqlite3"

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, statement: Any, parameters: Any = (), **options: Any) -> Any:
        text = statement.decode() if isinstance(statement, bytes) else str(statement)
        if text.startswith("SELECT") and self._is_sqlite:
            steps = self._connection.execute(f"EXPLAIN QUERY PLAN {text}", parameters).fetchall()
            self._plans.append(sqlite_plan([step[3] for step in steps]))
        elif text.startswith("SELECT"):
            explain = f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {text}"
            (row,) = self._connection.execute(explain, parameters).fetchall()
            self._plans.append(postgresql_plan(row[0]))
        return self._connection.execute(statement, parameters, **options)


def plan_of(readings: Readings, statement: Statement) -> Plan:
    """Return how *statement* is gone about, on a connection as readings have it."""
    with readings.session() as session:
        if readings.is_sqlite:
            explained = Statement(f"EXPLAIN QUERY PLAN {statement.text}", statement.parameters)
            return sqlite_plan([row[3] for row in session.rows(explained)])
        explained = Statement(
            f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {statement.text}", statement.parameters
        )
        return postgresql_plan(session.rows(explained)[0][0])


def sqlite_plan(steps: list[str]) -> Plan:
    """Take apart what SQLite says, a sentence a step."""
    plan = Plan()
    for step in steps:
        words = step.split()
        if words[0] == "SCAN" and words[1] in _SQLITE_NAMES and "INDEX" not in words:
            plan.scanned.append(step)
        if "TEMP B-TREE" in step:
            plan.sorted.append(step)
        if "INDEX" in words:
            plan.indexes.add(words[words.index("INDEX") + 1])
    return plan


def postgresql_plan(document: Any) -> Plan:
    """Take apart what PostgreSQL says, a tree."""
    plan = Plan()
    for node in _nodes(
        (json.loads(document) if isinstance(document, str) else document)[0]["Plan"]
    ):
        kind = node["Node Type"]
        if kind == "Seq Scan" and node["Relation Name"] != _ONE_ROW_A_JOURNAL:
            plan.scanned.append(f"{kind} on {node['Relation Name']}")
        if "Sort" in kind or "Hash" in kind:
            plan.sorted.append(kind)
        if "Index Name" in node:
            plan.indexes.add(node["Index Name"])
        read = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
        plan.rows = max(plan.rows, round(read * node["Actual Loops"]))
    return plan


def _nodes(node: Any) -> Iterator[Any]:
    """Yield *node* and all below it that were gone through."""
    yield node
    for each in node.get("Plans", ()):
        yield from _nodes(each)
