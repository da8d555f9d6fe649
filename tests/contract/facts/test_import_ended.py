"""An import whose transactions are ended by the brake, or lost, is as one that nobody disturbs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from authz_service.facts.giving_way import GivingWay
from authz_service.facts.import_blocks import write_block
from authz_service.facts.import_progress import ImportSummary
from authz_service.facts.importer import FactsImporter
from authz_service.facts.sessions import Session
from authz_service.facts.sql_containments import SqlContainments
from authz_service.pdp.errors import FactsUnavailableError
from tests.contract.facts.import_oracle import faults, lines_of_patients
from tests.contract.facts.lists_oracle import stored_facts
from tests.contract.facts.registry_cases import ACTOR, SystemClock, reset
from tests.contract.facts.test_containments import contained

PATIENTS = 300
LINES = 5 * PATIENTS + 1
_WRITES = "authz_service.facts.importer.write_block"

pytestmark = pytest.mark.postgres


@pytest.fixture
def url(postgresql_registry_url: str) -> str:
    """A PostgreSQL registry with nothing in it."""
    reset(postgresql_registry_url)
    return postgresql_registry_url


@pytest.fixture
def importer(url: str) -> Iterator[FactsImporter]:
    made = FactsImporter(url, SystemClock())
    yield made
    made.close()


@pytest.fixture(params=["file", "pipe"])
def import_all(
    request: pytest.FixtureRequest, importer: FactsImporter, tmp_path: Path
) -> Callable[[], ImportSummary]:
    """What imports the same lines, from a file or from a pipe that cannot be read again."""
    path = tmp_path / "facts.jsonl"
    with path.open("wb") as file:
        file.writelines(lines_of_patients(PATIENTS))

    def of_pipe() -> ImportSummary:
        with path.open("rb") as pipe:
            return importer.import_lines(pipe, str(path), actor=ACTOR, progress=ignore)

    def of_file() -> ImportSummary:
        return importer.import_file(path, actor=ACTOR, progress=ignore)

    return of_file if request.param == "file" else of_pipe


def ignore(_summary: ImportSummary) -> None:
    """Hear of progress, and do nothing."""


def test_an_import_that_a_containment_ends_goes_on(
    import_all: Callable[[], ImportSummary],
    url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its first transaction has written, and is ended before it commits."""
    ended: list[int] = []

    def and_then_contained(session: Session, *rest: Any) -> Any:
        done = write_block(session, *rest)
        if not ended:
            ended.append(done.written)
            brake = threading.Thread(target=contain, args=(url,))
            brake.start()
            brake.join()
        return done

    monkeypatch.setattr(_WRITES, and_then_contained)
    summary = import_all()

    assert (summary.lines, summary.written, summary.unchanged) == (LINES, LINES, 0)
    assert (summary.finished, ended) == (True, [1000])
    assert len(stored_facts(url)) == LINES + 1
    assert faults(url) == []


@pytest.mark.parametrize("is_committed", [True, False])
def test_what_was_committed_unheard_is_not_done_again(
    import_all: Callable[[], ImportSummary],
    url: str,
    monkeypatch: pytest.MonkeyPatch,
    *,
    is_committed: bool,
) -> None:
    """The connection is lost at the commit: before the server heard of it, or after."""
    lost: list[str] = []
    run = Session.run

    def and_lose(session: Session, statement: str, *rest: Any) -> None:
        is_write = session.require_way is not None
        loses = statement == "COMMIT" and is_write and not lost
        if not loses or is_committed:
            run(session, statement, *rest)
        if loses:
            lost.append(statement)
            session._connection.close()
            raise psycopg.OperationalError("the connection is lost")

    monkeypatch.setattr(Session, "run", and_lose)
    summary = import_all()

    assert (summary.lines, summary.written, summary.unchanged) == (LINES, LINES, 0)
    assert (summary.finished, lost) == (True, ["COMMIT"])
    assert len(stored_facts(url)) == LINES
    assert faults(url) == []


def test_an_import_from_which_the_registry_is_gone_ends(
    import_all: Callable[[], ImportSummary], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It tries for a while, and says then what is wrong."""
    tried: list[int] = []

    def lost(*_: Any) -> Any:
        tried.append(1)
        raise psycopg.OperationalError("the connection is lost")

    monkeypatch.setattr("authz_service.facts.import_commits._PATIENCE_SECONDS", 0.3)
    monkeypatch.setattr(_WRITES, lost)

    with pytest.raises(FactsUnavailableError, match="does not answer"):
        import_all()
    assert len(tried) > 1


def contain(url: str) -> None:
    """Set a containment on *url* as a replica in a process of its own would."""
    with closing(SqlContainments(url, SystemClock(), beside=GivingWay())) as brake:
        asyncio.run(contained(brake))
