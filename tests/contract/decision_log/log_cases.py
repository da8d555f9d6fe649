"""Records made at random, a store filled with them, and what a list should hold, found naively."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import uuid
from collections.abc import Iterable, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, NamedTuple

import psycopg
from sqlalchemy.engine import make_url

from authz_service.audit.store.partitions import Partitions
from authz_service.audit.store.schema import decisions, journal_lines
from authz_service.operations.decision_log import DecisionKey, DecisionsQuestion, StoredRecord
from authz_service.operations.page_tokens import microseconds_of
from authz_service.pdp.model import Effect, Reason

Plain = dict[str, Any]
Row = tuple[Any, ...]

BEGIN = datetime(2023, 10, 30, 22, tzinfo=UTC)
JOURNALS = ("0b1f0c1e-0000-4000-8000-000000000001", "0b1f0c1e-0000-4000-8000-000000000002")
CALLERS = ("loopback", "spiffe://example.org/list", "spiffe://example.org/replay")
DENIALS = (Reason.NO_RULE_MATCHED, Reason.FACTS_CONFLICT, Reason.SEALED)


class Line(NamedTuple):
    """A line of a journal with the records in it."""

    journal_id: str
    sequence: int
    content: bytes
    records: tuple[Plain, ...]

    @property
    def at(self) -> int:
        """When its first record was judged, in microseconds."""
        return _at(self.records[0])

    @property
    def hash(self) -> str:
        """What stands at the line's end."""
        return hashlib.sha256(self.content).hexdigest()


def some_lines(random: Random, count: int) -> list[Line]:
    """Return *count* lines over three months; many of their records bear the same instant."""
    instants = [BEGIN + timedelta(hours=random.randrange(1500)) for _ in range(count // 4)]
    lines = []
    for sequence in range(1, count + 1):
        at = random.choice(instants) + timedelta(microseconds=random.choice([0, 0, 1]))
        records = tuple(record(random, at) for _ in range(random.choice([1, 1, 1, 4])))
        lines.append(line(random.choice(JOURNALS), sequence, records))
    return lines


def record(random: Random, at: datetime, **fields: Any) -> Plain:
    """Return a record as a journal holds it, its fields at random but for those given."""
    kind = random.choice(["DECISION", "DECISION", "DECISION", "PRESENTED", "LISTED"])
    effect = None if kind == "LISTED" else random.choice(list(Effect))
    reason = effect and (Reason.RULE_ALLOWED if effect is Effect.ALLOW else random.choice(DENIALS))
    return {
        "format": 1,
        "kind": kind,
        "decision_id": str(uuid.UUID(int=random.getrandbits(128), version=4)),
        "evaluated_at": at.isoformat().replace("+00:00", "Z"),
        "caller": random.choice(CALLERS),
        "subject_id": random.choice(["ana", "bob", "cyd", "dr-lund", None]),
        "recording_id": None if kind == "LISTED" else f"r{random.randrange(8)}",
        "patient_id": random.choice(["ana", "bob", None]),
        "effect": effect,
        "reason": reason,
        **fields,
    }


def line(journal_id: str, sequence: int, records: tuple[Plain, ...]) -> Line:
    """Return a line that holds *records*."""
    texts = [json.dumps(each, separators=(",", ":")) for each in records]
    whole = texts[0]
    if len(texts) > 1:
        whole = '{"format":1,"kind":"BATCH","records":[' + ",".join(texts) + "]}"
    content = f'{{"sequence":{sequence},"record":{whole},"hash":"{sequence:064x}"}}\n'
    return Line(journal_id, sequence, content.encode(), records)


def stored_in(lines: Sequence[Line]) -> list[StoredRecord]:
    """Return what a store is to give back of *lines*."""
    return [
        StoredRecord(
            DecisionKey(datetime.fromisoformat(each["evaluated_at"]), each["decision_id"]),
            json.dumps(each, separators=(",", ":")).encode(),
            at.journal_id,
            at.sequence,
            at.hash,
        )
        for at in lines
        for each in at.records
    ]


def matches(stored: StoredRecord, question: DecisionsQuestion) -> bool:
    """Whether all that is asked for applies."""
    plain = json.loads(stored.content)
    at = stored.key.evaluated_at
    asked = {name: each for name, each in question._asdict().items() if each is not None}
    since, until = asked.pop("evaluated_from", at), asked.pop("evaluated_to", None)
    return (
        since <= at
        and (until is None or at < until)
        and all(plain[name] == each for name, each in asked.items())
    )


def listed(stored: Sequence[StoredRecord], question: DecisionsQuestion) -> list[StoredRecord]:
    """Return what a list of *question* holds: the naive way."""
    found = [each for each in stored if matches(each, question)]
    return sorted(found, key=lambda each: each.key, reverse=True)


def some_question(random: Random, stored: Sequence[StoredRecord]) -> DecisionsQuestion:
    """Return a question with filters at random, which something answers more often than not."""
    example = json.loads(random.choice(stored).content)
    words: dict[str, Any] = {
        "subject_id": random.choice([example["subject_id"], "nobody"]),
        "recording_id": random.choice([example["recording_id"], "r1"]),
        "patient_id": example["patient_id"],
        "caller": example["caller"],
        "effect": random.choice([example["effect"], *Effect]),
        "reason": random.choice([example["reason"], Reason.SEALED]),
        "kind": random.choice([example["kind"], "DECISION"]),
    }
    chosen = {name: each for name, each in words.items() if each and random.random() < 0.3}
    if "effect" in chosen:
        chosen["effect"] = Effect(chosen["effect"])
    if "reason" in chosen:
        chosen["reason"] = Reason(chosen["reason"])
    for name in ("evaluated_from", "evaluated_to"):
        if random.random() < 0.3:
            chosen[name] = random.choice(stored).key.evaluated_at
    return DecisionsQuestion(**chosen)


def fill(url: str, lines: Iterable[Line]) -> None:
    """Put *lines* into the store of *url*, as shipping does."""
    line_rows: list[Row] = []
    rows: list[Row] = []
    for each in lines:
        line_rows.append(_line_row(each))
        rows.extend(_decision_rows(each))
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(make_url(url).database or "")) as opened, opened:
            for table, values in ((journal_lines, line_rows), (decisions, rows)):
                marks = ", ".join("?" * len(table.columns))
                opened.executemany(f"INSERT INTO {table.name} VALUES ({marks})", values)  # noqa: S608  # names of ours
        return
    with psycopg.connect(_plain(url), autocommit=True) as connection:
        Partitions(connection).ensure([row[2] for row in line_rows] + [row[1] for row in rows])
        for table, values in ((journal_lines, line_rows), (decisions, rows)):
            with connection.cursor().copy(f"COPY {table.name} FROM STDIN".encode()) as copy:
                for row in values:
                    copy.write_row(row)


def analyze(url: str) -> None:
    """Have the database look at how its rows are distributed."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(make_url(url).database or "")) as opened:
            opened.execute("ANALYZE")
        return
    with psycopg.connect(_plain(url), autocommit=True) as connection:
        connection.execute("ANALYZE")


def _plain(url: str) -> str:
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


def _line_row(each: Line) -> Row:
    return (each.journal_id, each.sequence, each.at, each.hash, each.content)


def _decision_rows(each: Line) -> list[Row]:
    rows = []
    for plain in each.records:
        text = json.dumps(plain, separators=(",", ":")).encode()
        known = {
            **plain,
            "evaluated_at": _at(plain),
            "journal_id": each.journal_id,
            "sequence": each.sequence,
            "line_at": each.at,
            "offset_bytes": each.content.index(text),
            "size_bytes": len(text),
        }
        rows.append(tuple(known.get(column.name) for column in decisions.columns))
    return rows


def _at(plain: Plain) -> int:
    return microseconds_of(datetime.fromisoformat(plain["evaluated_at"]))
