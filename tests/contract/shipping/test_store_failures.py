"""A store that is locked, read-only, full, changed or gone: each is told apart, and passes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from authz_service.audit.store.engines import parsed
from authz_service.audit.store.failures import FailureKind, StoreFailureError
from authz_service.audit.store.postgresql import PostgresqlStore
from authz_service.audit.store.schema_version import migrate
from authz_service.audit.store.shipping import Shipping
from authz_service.audit.store.sqlite import SqliteStore
from tests.contract.shipping.journal_files import (
    NOW,
    JournalFiles,
    assert_all_there,
    decided,
    decisions,
    drained,
    query,
)
from tests.e2e.breakage import connected, file_system, run_beside, sqlite_file
from tests.postgres import new_database


def impatient(journal: JournalFiles, url: str) -> Shipping:
    """Return what ships to a store that is there already, and waits for nothing long."""
    target = parsed(url)

    def opened() -> PostgresqlStore | SqliteStore:
        if url.startswith("sqlite"):
            return SqliteStore(target, lock_seconds=0.05)
        return PostgresqlStore(target, lock_seconds=0.1, statement_seconds=0.5)

    return Shipping(journal, opened, lambda: NOW)


def failure_of(work: Shipping) -> FailureKind:
    with pytest.raises(StoreFailureError) as raised:
        work.step()
    assert "password" not in raised.value.why
    return raised.value.kind


@contextmanager
def held(url: str, journal: JournalFiles) -> Iterator[None]:
    """Hold what shipping needs: the file, or the journal's row."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(sqlite_file(url), isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield
        return
    with connected(url) as postgres, postgres.transaction():
        postgres.execute(
            "SELECT 1 FROM journals WHERE journal_id = %s FOR UPDATE", (journal.journal_id,)
        )
        yield


def test_locked(url: str, journal: JournalFiles) -> None:
    journal.append(*decisions(0, 2))
    work = impatient(journal, url)
    drained(work)
    journal.append(*decisions(2, 2))

    with held(url, journal):
        assert failure_of(work) is FailureKind.LOCKED

    drained(work)
    work.leave()
    assert_all_there(url, journal)


def test_of_another_schema(own_url: str, journal: JournalFiles) -> None:
    migrate(own_url)
    journal.append(*decisions(0, 2))
    query(own_url, "ALTER TABLE journals RENAME TO elsewhere")
    work = impatient(journal, own_url)

    assert failure_of(work) is FailureKind.SCHEMA

    query(own_url, "ALTER TABLE elsewhere RENAME TO journals")
    drained(work)
    work.leave()
    assert_all_there(own_url, journal)


def test_a_full_disk(journal: JournalFiles) -> None:
    with file_system(journal.directory.with_name("disk"), "1m") as disk:
        url = f"sqlite:///{disk / 'decisions.db'}"
        migrate(url)
        journal.append(*decisions(0, 1200))
        work = impatient(journal, url)

        assert failure_of(work) is FailureKind.FULL
        work.leave()


def test_a_sqlite_file_that_was_replaced(journal: JournalFiles, tmp_path: Path) -> None:
    """Nothing is written to the file that is not there any more."""
    url = f"sqlite:///{tmp_path / 'decisions.db'}"
    migrate(url)
    journal.append(*decisions(0, 2))
    work = impatient(journal, url)
    path = sqlite_file(url)
    copy = path.with_name("copy.db")
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copy)) as to:
        source.backup(to)
    drained(work)
    for ending in ("-wal", "-shm"):
        path.with_name(path.name + ending).unlink(missing_ok=True)
    copy.replace(path)
    journal.append(*decisions(2, 2))

    assert failure_of(work) is FailureKind.SILENT
    drained(work)
    work.leave()
    assert_all_there(url, journal)


@pytest.mark.postgres
def test_a_statement_that_takes_too_long(journal: JournalFiles) -> None:
    """Then it tries with less at a time."""
    own_url = new_database()
    migrate(own_url)
    journal.append(*decisions(0, 200))
    work = impatient(journal, own_url)
    drained(work)
    query(
        own_url,
        "CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN PERFORM pg_sleep(0.004); RETURN NEW; END $$",
    )
    query(
        own_url,
        "CREATE TRIGGER slow BEFORE INSERT ON journal_lines_2020_06 "
        "FOR EACH ROW EXECUTE FUNCTION slowly()",
    )
    journal.append(*decisions(200, 200))

    assert failure_of(work) is FailureKind.SLOW
    failures = 1
    while True:
        try:
            if work.step() is None:
                break
        except StoreFailureError:
            failures += 1

    work.leave()
    assert failures < 10
    assert_all_there(own_url, journal)


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("statement", "undo", "kind"),
    [
        pytest.param(
            "ALTER DATABASE {name} SET default_transaction_read_only = on",
            "ALTER DATABASE {name} RESET default_transaction_read_only",
            FailureKind.REFUSED,
            id="read-only",
        ),
        pytest.param(
            "ALTER DATABASE {name} ALLOW_CONNECTIONS false",
            "ALTER DATABASE {name} ALLOW_CONNECTIONS true",
            FailureKind.SILENT,
            id="no-connections",
        ),
    ],
)
def test_a_server_that_refuses(
    journal: JournalFiles, statement: str, undo: str, kind: FailureKind
) -> None:
    own_url = new_database()
    migrate(own_url)
    journal.append(*decisions(0, 2))
    work = impatient(journal, own_url)
    drained(work)
    journal.append(*decisions(2, 2))

    run_beside(own_url, statement)
    assert failure_of(work) is FailureKind.SILENT  # the connection was ended, too
    assert failure_of(work) is kind

    run_beside(own_url, undo)
    drained(work)
    work.leave()
    assert_all_there(own_url, journal)


CHECK = "(sequence <> 5)"


def with_a_check(url: str) -> None:
    """Have a table not take the fifth line of any journal."""
    if url.startswith("postgresql"):
        query(url, f"ALTER TABLE journal_lines ADD CONSTRAINT no_fifth CHECK {CHECK}")
        return
    query(
        url,
        "CREATE TRIGGER no_fifth BEFORE INSERT ON journal_lines WHEN NEW.sequence = 5 "
        "BEGIN SELECT RAISE(ABORT, 'no'); END",
    )


def test_a_value_that_is_not_taken(own_url: str, journal: JournalFiles) -> None:
    """It is told apart from a lock, and where it is."""
    migrate(own_url)
    journal.append(*decisions(0, 9))
    with_a_check(own_url)
    work = impatient(journal, own_url)

    with pytest.raises(StoreFailureError) as raised:
        work.step()
    work.leave()

    last = journal.position.sequence - 1
    assert raised.value.kind is FailureKind.UNFIT
    assert raised.value.why.startswith(f"lines 1 to {last} of journal {journal.journal_id}: it ")


@pytest.mark.postgres
def test_text_that_postgresql_cannot_hold(journal: JournalFiles) -> None:
    own_url = new_database()
    migrate(own_url)
    fifth = decided(5)
    assert fifth.request is not None
    request = fifth.request._replace(subject_id="a\0b")
    journal.append([fifth._replace(request=request)])
    work = impatient(journal, own_url)

    assert failure_of(work) is FailureKind.UNFIT
    work.leave()


@pytest.mark.postgres
def test_a_partition_that_was_let_go_meanwhile_is_made_anew(journal: JournalFiles) -> None:
    own_url = new_database()
    migrate(own_url)
    journal.append(*decisions(0, 2))
    work = impatient(journal, own_url)
    drained(work)
    for table in ("journal_lines_2020_06", "decisions_2020_06"):
        query(own_url, f"DROP TABLE {table}")
    journal.append(*decisions(2, 2))

    assert failure_of(work) is FailureKind.LOCKED

    drained(work)
    work.leave()
    assert query(own_url, "SELECT count(*) FROM decisions") == [(2,)]


FOREIGN = {
    "table": "CREATE TABLE decisions_2020_06 (id int)",
    "view": "CREATE VIEW decisions_2020_06 AS SELECT 1",
    "partition-of-another": "CREATE TABLE o (LIKE decisions) PARTITION BY RANGE (evaluated_at);"
    "CREATE TABLE decisions_2020_06 PARTITION OF o FOR VALUES FROM (0) TO (9)",
}


@pytest.mark.postgres
@pytest.mark.parametrize("statements", FOREIGN.values(), ids=FOREIGN)
def test_something_else_with_the_name_of_a_partition(
    journal: JournalFiles, statements: str
) -> None:
    own_url = new_database()
    migrate(own_url)
    for statement in statements.split(";"):
        query(own_url, statement)
    journal.append(*decisions(0, 2))
    work = impatient(journal, own_url)

    with pytest.raises(StoreFailureError, match=r"its public\.decisions_2020_06 is no") as raised:
        work.step()
    work.leave()

    assert raised.value.kind is FailureKind.SCHEMA


@pytest.mark.postgres
def test_a_table_of_that_name_in_another_schema_is_passed_over(journal: JournalFiles) -> None:
    own_url = new_database()
    migrate(own_url)
    name = parsed(own_url).database
    query(own_url, "CREATE SCHEMA other")
    query(own_url, "CREATE TABLE other.decisions_2020_06 (id int)")
    query(own_url, f'ALTER DATABASE "{name}" SET search_path = other, public')
    journal.append(*decisions(0, 2))
    work = impatient(journal, own_url)

    drained(work)
    work.leave()
    assert_all_there(own_url, journal)
