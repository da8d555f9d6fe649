"""What is read for an answer does not grow with the registry: tens of thousands of rows in each."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from authz_service.facts.database import Access, Database
from authz_service.facts.decoding import from_microseconds
from authz_service.facts.reader import CONTAINMENTS_KEY, Key, PageQuestion
from authz_service.facts.schema import metadata
from authz_service.facts.schema_version import migrate
from authz_service.facts.sessions import Session
from authz_service.facts.sql_reader import SqlReader
from authz_service.facts.subject_candidates import SubjectsPart, read_subjects
from authz_service.facts.writing import write_facts
from authz_service.operations.lists import CandidateQuestion, ListKey
from authz_service.operations.subjects import SubjectsQuestion
from authz_service.pdp.model import Relation
from tests.contract.facts.crowded_registry import (
    BUSY,
    LONG,
    LONG_ROWS,
    REVISION,
    ROWS,
    SERVICE,
    crowd,
    made_at,
    recording_id,
)
from tests.contract.facts.registry_cases import (
    ACTOR,
    SteppingClock,
    SystemClock,
    attendance,
    consultation,
    fact,
    recording,
    subject,
    world,
)
from tests.postgres import new_registry

pytestmark = pytest.mark.slow

LIMIT = 50
GROWING = {table.name for table in metadata.sorted_tables} - {
    "facts_revision",  # one row
    "containments",  # every check rests on all of them
    "service_keys",
    "facts_imports",
}
RELATIONS = frozenset(Relation) - {Relation.CUSTODIAN}
DEEP_OF_BUSY = ListKey(from_microseconds(made_at(ROWS // 20)), recording_id(ROWS // 20))
DEEP_OF_LONG = ListKey(from_microseconds(made_at(ROWS // 5)), recording_id(ROWS // 5))
LISTS = [
    pytest.param(CandidateQuestion(BUSY, RELATIONS), None, id="clinician-first-page"),
    pytest.param(CandidateQuestion(BUSY, RELATIONS), DEEP_OF_BUSY, id="clinician-deep-page"),
    pytest.param(CandidateQuestion(LONG, RELATIONS), None, id="patient-first-page"),
    pytest.param(CandidateQuestion(LONG, RELATIONS), DEEP_OF_LONG, id="patient-deep-page"),
    pytest.param(CandidateQuestion(BUSY, RELATIONS, LONG), None, id="of-one-patient"),
    pytest.param(CandidateQuestion(BUSY, RELATIONS, LONG), DEEP_OF_LONG, id="of-one-patient-deep"),
    pytest.param(
        CandidateQuestion(SERVICE, frozenset({Relation.CUSTODIAN})), DEEP_OF_BUSY, id="custodian"
    ),
]


SUBJECTS = [
    SubjectsPart(SubjectsQuestion(recording, relations), after, LIMIT)
    for recording in ("r1", recording_id(0), "none")
    for relations in (frozenset(Relation), *(frozenset({each}) for each in Relation))
    for after in ("", "p2")
]
"""Those who may, by every relation and by each: of a recording that is known, and of one that is
not."""


@dataclass
class Spied:
    """A connection, or a cursor of it, that keeps what it is asked."""

    of: Any
    asked: list[tuple[str, Any]] = field(default_factory=list)

    def cursor(self) -> Spied:
        return Spied(self.of.cursor(), self.asked)

    def execute(self, statement: str, parameters: Any = ()) -> Any:
        self.asked.append((statement, parameters))
        return self.of.execute(statement, parameters)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.of, name)


class SpiedDatabase:
    """A database that keeps every statement it is asked."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.asked: list[tuple[str, Any]] = []

    @contextmanager
    def connection(self) -> Iterator[Session]:
        with self._database.connection() as session:
            yield self._spied(session)

    @contextmanager
    def transaction(self, access: Access) -> Iterator[Session]:
        with self._database.transaction(access) as session:
            yield self._spied(session)

    def _spied(self, session: Session) -> Session:
        spied: Any = Spied(session._connection, self.asked)
        return Session(spied, self._database._statements)


@pytest.fixture(scope="module", params=["sqlite", pytest.param("pg", marks=pytest.mark.postgres)])
def crowded_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A crowded registry on each database, with a few facts that can be loaded."""
    url = new_registry() if request.param == "pg" else _new_file(tmp_path_factory.mktemp("crowd"))
    crowd(url)
    database = Database(url, lock_seconds=2, pool=1)
    with database.transaction(Access.WRITE) as session:
        facts = [*world(), fact(subject("kin", family=("ana",), same_person_as=("eve",)))]
        bobs = (
            consultation("bob", "c2"),
            recording("bob", "r2", consultation_id="c2"),
            attendance("bob", "r2"),
        )
        facts += [fact(one) for one in bobs]
        write_facts(session, facts, actor=ACTOR, now=SteppingClock().now())
    database.close()
    return url


@pytest.fixture
def crowded(crowded_url: str) -> Iterator[SqlReader]:
    """A reader of the crowded registry."""
    made = SqlReader(crowded_url, SystemClock())
    yield made
    made.close()


def _new_file(folder: Path) -> str:
    """Return the URL of a new registry in a folder."""
    url = f"sqlite:///{folder}/registry.db"
    migrate(url)
    return url


def test_nothing_that_grows_is_scanned(crowded: SqlReader) -> None:
    """Looks, changes, loads of one and of a thousand, and every kind of list."""
    asked = spied(crowded, ask_everything)

    with crowded._database.connection() as session:
        scanned = {
            (table, statement)
            for statement, parameters in asked
            if statement.lstrip("(").startswith("SELECT")
            for table in _scanned(session, statement, parameters)
        }

    assert len(asked) > len(LISTS)
    assert scanned == set()


def test_a_recording_that_nobody_knows_takes_the_statements_of_one_that_is_known(
    crowded: SqlReader,
) -> None:
    """And so as many exchanges with the database, whose time could tell that there is none."""

    def asked_for(recording_id: str) -> list[str]:
        key = Key("recording", recording_id)
        return [statement for statement, _ in spied(crowded, lambda reader: reader.load([key]))]

    known, unknown = asked_for("r2"), asked_for("none")

    assert Key("patient", "bob") in crowded.load([Key("recording", "r2")]).values
    assert len(unknown) > 1
    assert unknown == known


@pytest.mark.parametrize(("question", "after"), LISTS)
def test_a_page_reads_no_more_rows_than_it_shows(
    crowded: SqlReader, question: CandidateQuestion, after: ListKey | None
) -> None:
    """One row more tells whether it is the last; of one patient's each is looked up once more."""
    page = PageQuestion(question, after, LIMIT)
    found = crowded.candidates(page)
    (asked,) = spied(crowded, lambda reader: reader.candidates(page))

    with crowded._database.connection() as session:
        if session.is_sqlite:
            cost, bound = _steps_on_sqlite(session, *asked), 150 * LIMIT
        else:
            cost, bound = _rows_on_postgresql(session, *asked), 3 * (LIMIT + 1)

    assert (len(found.keys), found.is_last) == (LIMIT, False)
    assert LIMIT < cost <= bound


def test_the_crowd_is_one(crowded: SqlReader) -> None:
    """The lists that are measured are as long as they are said to be."""
    assert _length(crowded, BUSY) == ROWS
    assert _length(crowded, LONG) == LONG_ROWS


def ask_everything(reader: SqlReader) -> None:
    """Ask all that is ever asked for a check or a list."""
    for count in (1, 1000):
        unknown = [f"none{number}" for number in range(count)]
        reader.load(
            [
                CONTAINMENTS_KEY,
                *(Key("recording", one) for one in ("r1", *unknown)),
                *(Key("subject", one) for one in ("ana", "kin", *unknown)),
                *(Key("patient", one) for one in ("ana", *unknown)),
            ]
        )
    with reader._database.transaction(Access.READ) as session:
        for part in SUBJECTS:
            read_subjects(session, part, 0.0)
    reader.look()
    reader.changes(REVISION, f"nonce{REVISION}")
    for parameters in LISTS:
        question, after = parameters.values
        assert isinstance(question, CandidateQuestion)
        assert after is None or isinstance(after, ListKey)
        reader.candidates(PageQuestion(question, after, LIMIT))
    of_ana = CandidateQuestion("ana", RELATIONS)
    reader.candidates_with_facts(PageQuestion(of_ana, None, LIMIT))


def spied(reader: SqlReader, ask: Callable[[SqlReader], object]) -> list[tuple[str, Any]]:
    """Return the statements that *ask* has *reader* run, each with its parameters."""
    real = reader._database
    watched = SpiedDatabase(real)
    reader._database = watched  # type: ignore[assignment]  # as much of a database as is used
    try:
        ask(reader)
    finally:
        reader._database = real
    return watched.asked


def _length(reader: SqlReader, subject_id: str) -> int:
    """Return how many recordings a subject reaches."""
    question, after, length = CandidateQuestion(subject_id, RELATIONS), None, 0
    while True:
        page = reader.candidates(PageQuestion(question, after, 5000))
        length += len(page.keys)
        if page.is_last:
            return length
        after = page.keys[-1]


def _scanned(session: Session, statement: str, parameters: Any) -> Iterator[str]:
    """Yield the growing tables of which *statement* reads more than an index names."""
    if session.is_sqlite:
        yield from _scanned_on_sqlite(session, statement, parameters)
        return
    for node in _nodes(_plan(session, "EXPLAIN (FORMAT JSON)", statement, parameters)):
        if node.get("Relation Name") in GROWING and "Index Cond" not in node:
            yield node["Relation Name"]


def _scanned_on_sqlite(session: Session, statement: str, parameters: Any) -> Iterator[str]:
    """Yield the growing tables that SQLite would scan."""
    tables = {
        alias or table: table
        for table, alias in re.findall(
            r"(?:FROM|JOIN) (\w+)(?: (?!WHERE|LEFT|ON|ORDER)(\w+))?", statement
        )
    }
    session._cursor.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
    for *_, words in session._cursor.fetchall():
        scan = re.match(r"SCAN (\w+)", words)
        if scan and tables.get(scan[1], scan[1]) in GROWING:
            yield scan[1]


def _steps_on_sqlite(session: Session, statement: str, parameters: Any) -> int:
    """Return how many steps of its machine SQLite takes."""
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    session._connection.set_progress_handler(count, 1)
    session._cursor.execute(statement, parameters)
    session._cursor.fetchall()
    session._connection.set_progress_handler(None, 1)
    return steps


def _rows_on_postgresql(session: Session, statement: str, parameters: Any) -> int:
    """Return how many rows PostgreSQL reads of growing tables."""
    plan = _plan(session, "EXPLAIN (ANALYZE, FORMAT JSON)", statement, parameters)
    return sum(
        round((node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"])
        for node in _nodes(plan)
        if node.get("Relation Name") in GROWING
    )


def _plan(session: Session, words: str, statement: str, parameters: Any) -> dict[str, Any]:
    """Return the plan of a statement as PostgreSQL tells it."""
    session._cursor.execute(f"{words} {statement}", parameters)
    explained: Any = session._cursor.fetchone()
    plan: dict[str, Any] = explained[0][0]["Plan"]
    return plan


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield *plan* and all below it."""
    yield plan
    for below in plan.get("Plans", ()):
        yield from _nodes(below)
