"""A decision store that cannot be read: said in words of ours, in bounded time, and forgotten."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.engine import make_url

from authz_service.audit.store.failures import FailureKind, StoreFailureError
from authz_service.audit.store.questions import Statement
from authz_service.audit.store.reading import Readings
from authz_service.audit.store.schema_version import migrate
from authz_service.audit.store.sql_decision_log import SqlDecisionLog
from authz_service.operations.decision_log import DecisionsQuestion
from authz_service.pdp.errors import DecisionsUnavailableError
from tests.contract.decision_log.log_cases import JOURNALS, fill, line
from tests.marked import PASSWORD
from tests.postgres import new_database

ANYTHING = DecisionsQuestion()
OTHERS_ENDED = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)
ENDLESS = "SELECT count(*) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b"
ENDLESS_SQLITE = (
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def own_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A store that a test may break, on each database in turn."""
    url = new_database() if request.param == "postgresql" else f"sqlite:///{tmp_path / 'd.db'}"
    migrate(url)
    return url


def changed(url: str, statement: str) -> None:
    """Change a store behind the program's back."""
    parsed = make_url(url)
    if url.startswith("sqlite"):
        opened = sqlite3.connect(parsed.database or "")
        opened.execute(statement)
        opened.commit()
        opened.close()
        return
    uri = parsed.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(uri, autocommit=True) as connection:
        connection.execute(statement.encode())


async def why_not(url: str) -> str:
    """Return why a page cannot be read."""
    log = SqlDecisionLog(url)
    with pytest.raises(DecisionsUnavailableError) as error:
        await log.list(ANYTHING, after=None, limit=1)
    log.close()
    return str(error.value)


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ("UPDATE decisions_schema SET version_num = '9999'", "its schema is of another version"),
        ("DROP TABLE decisions_schema", "set up|of another version"),
        ("DROP TABLE decisions", "set up|of another version"),
    ],
)
async def test_another_schema_is_not_read(own_url: str, statement: str, why: str) -> None:
    changed(own_url, statement)

    found = await why_not(own_url)

    assert [each for each in why.split("|") if each in found], found


@pytest.mark.parametrize(
    "url",
    ["sqlite:////nowhere/decisions.db", f"postgresql+psycopg://nobody:{PASSWORD}@127.0.0.1:1/x"],
)
async def test_a_store_that_is_not_there_is_said_without_its_password(url: str) -> None:
    why = await why_not(url)

    assert why.startswith("the decision store is not usable: ")
    assert PASSWORD not in why


def _move_away(url: str) -> None:
    """Move a file away."""
    path = Path(make_url(url).database or "")
    path.rename(path.with_suffix(".gone"))


async def test_a_log_reads_again_once_its_store_is_back(own_url: str) -> None:
    """Connections that have died are not handed out, and a file that was replaced is opened."""
    log = SqlDecisionLog(own_url)
    before = await log.list(ANYTHING, after=None, limit=1)
    if own_url.startswith("sqlite"):
        _move_away(own_url)
        with pytest.raises(DecisionsUnavailableError):
            await log.list(ANYTHING, after=None, limit=1)
        migrate(own_url)
    else:
        changed(own_url, OTHERS_ENDED)

    after = await log.list(ANYTHING, after=None, limit=1)

    log.close()
    assert (before, after) == ([], [])


def test_a_statement_that_takes_too_long_is_ended(own_url: str) -> None:
    """Who asks too much is told to ask for less, and nobody waits for it."""
    readings = Readings(own_url, statement_seconds=0.1, connections=1)
    endless = ENDLESS_SQLITE if readings.is_sqlite else ENDLESS

    too_long = pytest.raises(StoreFailureError, match=r"longer than 0\.1 seconds; ask for a")
    with too_long as error, readings.session() as session:
        session.rows(Statement(endless, {}))
    with readings.session() as session:
        again = session.rows(Statement("SELECT 1", {}))

    readings.close()
    assert error.value.kind is FailureKind.SLOW
    assert again == [(1,)]


def test_a_reading_cannot_write(own_url: str) -> None:
    readings = Readings(own_url, statement_seconds=1.0, connections=1)

    with pytest.raises(StoreFailureError) as error, readings.session() as session:
        session.run("DELETE FROM decisions")

    readings.close()
    assert error.value.kind is FailureKind.REFUSED


async def test_too_many_readings_are_refused_at_once(own_url: str) -> None:
    """A store that hangs gathers a bounded number of waiting calls, and no more."""
    log, held, let_go = SqlDecisionLog(own_url), threading.Event(), threading.Event()

    def hold(*_: object) -> None:
        held.set()
        let_go.wait(10)

    waiting = [asyncio.ensure_future(log._read(hold)) for _ in range(64)]
    await asyncio.to_thread(held.wait, 10)
    with pytest.raises(DecisionsUnavailableError, match="too many readings wait for it"):
        await log.list(ANYTHING, after=None, limit=1)
    let_go.set()
    await asyncio.gather(*waiting)

    found = await log.list(ANYTHING, after=None, limit=1)
    log.close()
    assert found == []


async def test_a_record_whose_line_is_gone_is_not_passed_over(own_url: str) -> None:
    """A page that leaves out what was decided would be a wrong answer."""
    plain = {"decision_id": "d1", "evaluated_at": "2023-11-01T00:00:00Z", "kind": "DECISION"}
    fill(own_url, [line(JOURNALS[0], 1, (plain,))])
    changed(own_url, "DELETE FROM journal_lines")

    assert f"line 1 of journal {JOURNALS[0]} is not in it any more" in await why_not(own_url)
