"""A registry that cannot be relied on is said to be so, whatever is wrong with it."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from authz_service.facts.database import Access, Database
from authz_service.facts.reader import Key
from authz_service.facts.schema import VERSION_TABLE
from authz_service.facts.sql_reader import SqlReader
from authz_service.facts.sql_registry import SqlRegistry
from authz_service.pdp.errors import FactsUnavailableError
from tests.contract.facts.registry_cases import (
    ACTOR,
    SteppingClock,
    SystemClock,
    fact,
    run,
    subject,
    world,
)
from tests.marked import PASSWORD
from tests.postgres import new_registry

ANA = Key("subject", "ana")


def path_of(url: str) -> Path:
    """Return the file of a SQLite registry."""
    return Path(url.removeprefix("sqlite:///"))


@dataclass(frozen=True)
class ShiftedClock:
    """A clock that is wrong by so many seconds."""

    seconds: float

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.seconds)


async def test_a_later_schema_that_bears_this_program_is_worked_on(own_registry_url: str) -> None:
    """It has been expanded: what is new there, this program neither reads nor needs to write."""
    run(own_registry_url, f"UPDATE {VERSION_TABLE} SET version_num = '9999'")  # noqa: S608  # ours
    registry = SqlRegistry(own_registry_url, SteppingClock())
    reader = SqlReader(own_registry_url, SystemClock())

    written = await registry.write(world(), actor=ACTOR)

    assert reader.look().revision == written.revision == 1
    assert reader.load([ANA]).revision == 1
    registry.close()
    reader.close()


async def test_a_contraction_that_overtakes_a_write_is_noticed(own_registry_url: str) -> None:
    """A write that waited for it may still see the version that was before; not so the row."""
    run(own_registry_url, "UPDATE facts_revision SET works_from = '0005'")
    registry = SqlRegistry(own_registry_url, SteppingClock())

    with pytest.raises(FactsUnavailableError, match="needs a program of version 0005 or later"):
        await registry.write(world(), actor=ACTOR)
    registry.close()


async def test_another_schema_is_refused_at_every_turn(own_registry_url: str) -> None:
    """An upgrade of the database under a running service stops it at once."""
    registry = SqlRegistry(own_registry_url, SteppingClock())
    reader = SqlReader(own_registry_url, SystemClock())
    look = reader.look()
    run(
        own_registry_url,
        f"UPDATE {VERSION_TABLE} SET version_num = '9999'",  # noqa: S608  # a name of ours
        "UPDATE facts_revision SET works_from = '9999'",
    )

    for use in (
        reader.look,
        lambda: reader.load([ANA]),
        lambda: reader.changes(look.revision, look.nonce),
    ):
        with pytest.raises(FactsUnavailableError, match=r"of version 9999 .* older \(0004\)"):
            use()
    with pytest.raises(FactsUnavailableError, match="of version 9999"):
        await registry.write(world(), actor=ACTOR)
    with pytest.raises(FactsUnavailableError, match="of version 9999"):
        await registry.read([])
    registry.close()
    reader.close()


async def test_a_registry_that_was_not_set_up_is_refused(own_registry_url: str) -> None:
    registry = SqlRegistry(own_registry_url, SteppingClock())
    reader = SqlReader(own_registry_url, SystemClock())
    run(own_registry_url, f"DROP TABLE {VERSION_TABLE}")

    with pytest.raises(FactsUnavailableError, match="set up"):
        reader.look()
    with pytest.raises(FactsUnavailableError, match="set up"):
        await registry.write(world(), actor=ACTOR)
    registry.close()
    reader.close()


async def test_a_locked_registry_is_said_to_be_locked(registry_url: str) -> None:
    """A writer gives up after its bounded wait; whoever reads goes on."""
    holder = Database(registry_url, lock_seconds=2, pool=1)
    registry = SqlRegistry(registry_url, SteppingClock(), lock_seconds=0.1)
    reader = SqlReader(registry_url, SystemClock())
    with holder.transaction(Access.WRITE) as session:
        session.run("UPDATE facts_revision SET revision = revision")

        with pytest.raises(FactsUnavailableError, match="locked"):
            await registry.write(world(), actor=ACTOR)
        assert reader.look().revision == 0

    assert (await registry.write(world(), actor=ACTOR)).revision == 1
    registry.close()
    reader.close()
    holder.close()


async def test_a_damaged_fact_is_not_guessed(
    registry: SqlRegistry, reader: SqlReader, registry_url: str
) -> None:
    await registry.write([fact(subject("ana"))], actor=ACTOR)
    run(registry_url, """UPDATE subjects SET value = '{"id": "ana"}'""")

    with pytest.raises(FactsUnavailableError, match="a stored subject is damaged"):
        reader.load([ANA])


@pytest.mark.parametrize(
    "url",
    [
        f"mysql://ada:{PASSWORD}@host/db",
        "sqlite://",
        "sqlite:///:memory:",
        f"no {PASSWORD} url",
        f"postgresql+pg8000://ada:{PASSWORD}@x/y",
    ],
)
def test_other_urls_are_refused_without_repeating_them(url: str) -> None:
    with pytest.raises(FactsUnavailableError, match="its URL") as refused:
        SqlRegistry(url, SteppingClock())

    assert PASSWORD not in str(refused.value)


class TestSqliteFile:
    """What can happen to a file."""

    @pytest.fixture
    def known(self, sqlite_url: str) -> Iterator[tuple[SqlReader, Path]]:
        reader = SqlReader(sqlite_url, SystemClock())
        reader.look()
        yield reader, path_of(sqlite_url)
        reader.close()

    def test_a_file_that_never_was_is_not_made(self, tmp_path: Path) -> None:
        reader = SqlReader(f"sqlite:///{tmp_path}/none.db", SystemClock())

        with pytest.raises(FactsUnavailableError, match="gone"):
            reader.look()
        assert not (tmp_path / "none.db").exists()

    def test_a_file_that_vanishes_is_noticed(self, known: tuple[SqlReader, Path]) -> None:
        """The open file would still answer; nobody else would see what is written to it."""
        reader, path = known
        path.rename(path.with_suffix(".moved"))

        with pytest.raises(FactsUnavailableError, match="gone"):
            reader.look()
        with pytest.raises(FactsUnavailableError, match="gone"):
            reader.load([ANA])

    async def test_a_file_that_is_replaced_by_a_backup_is_noticed(
        self, sqlite_url: str, known: tuple[SqlReader, Path]
    ) -> None:
        """It has caught up in number, and is another history all the same."""
        reader, path = known
        backup = path.with_suffix(".backup")
        shutil.copy(path, backup)
        await write_one(sqlite_url, "ana")
        before = reader.look()

        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        backup.rename(path)
        await write_one(sqlite_url, "bob")
        after = reader.look()

        assert after.revision == before.revision == 1
        assert after.nonce != before.nonce
        assert not reader.changes(before.revision, before.nonce).complete
        assert reader.load([ANA]).values == {ANA: None}

    def test_a_read_only_file_is_refused(self, sqlite_url: str) -> None:
        reader = SqlReader(f"{sqlite_url}?mode=ro", SystemClock())

        with pytest.raises(FactsUnavailableError, match="read-only"):
            reader.look()

    def test_a_file_that_turns_read_only_is_noticed_within_a_second(
        self, known: tuple[SqlReader, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        reader, _path = known
        reader.look()
        reader._probe._next_at = 0.0
        with reader._database.connection() as session:
            session.run("PRAGMA query_only = ON")

        with pytest.raises(FactsUnavailableError, match="read-only"):
            reader.look()

    def test_a_file_that_is_no_database_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "text.db"
        path.write_text("no database " * 100)
        reader = SqlReader(f"sqlite:///{path}", SystemClock())

        with pytest.raises(FactsUnavailableError, match="no SQLite database"):
            reader.look()

    def test_a_file_that_another_process_keeps_to_itself_is_locked(self, sqlite_url: str) -> None:
        holder = sqlite3.connect(path_of(sqlite_url), isolation_level=None)
        holder.execute("PRAGMA locking_mode = EXCLUSIVE")
        holder.execute("UPDATE facts_revision SET revision = revision")
        reader = SqlReader(sqlite_url, SystemClock())

        with pytest.raises(FactsUnavailableError, match="locked"):
            reader.look()
        holder.close()
        reader.close()


@pytest.mark.postgres
class TestPostgresql:
    """What can happen to a server."""

    @pytest.fixture
    def url(self) -> str:
        return new_registry()

    def test_a_read_only_database_is_refused(self, url: str) -> None:
        plain = url.replace("postgresql+psycopg://", "postgresql://", 1)
        with psycopg.connect(plain, autocommit=True) as connection:
            name = connection.info.dbname
            connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        reader = SqlReader(url, SystemClock())

        with pytest.raises(FactsUnavailableError, match="read-only"):
            reader.look()
        reader.close()

    @pytest.mark.parametrize("seconds", [-1.5, 1.5])
    def test_a_clock_that_is_off_is_refused(self, url: str, seconds: float) -> None:
        reader = SqlReader(url, ShiftedClock(seconds))

        with pytest.raises(FactsUnavailableError, match="more than a second off"):
            reader.look()
        reader.close()

    def test_connections_that_were_cut_are_replaced(self, url: str) -> None:
        """They are seen to have ended before they are lent, and so are all of their age."""
        reader = SqlReader(url, SystemClock())
        reader.look()
        plain = url.replace("postgresql+psycopg://", "postgresql://", 1)
        with psycopg.connect(plain, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )

        assert reader.look().revision == 0
        reader.close()

    def test_a_server_that_is_not_there_is_said_so(self, tmp_path: Path) -> None:
        reader = SqlReader(f"postgresql://ada:{PASSWORD}@/x?host={tmp_path}", SystemClock())

        with pytest.raises(FactsUnavailableError, match="does not answer") as refused:
            reader.look()
        assert PASSWORD not in str(refused.value)


async def write_one(url: str, subject_id: str) -> None:
    """Write one subject."""
    registry = SqlRegistry(url, SteppingClock())
    await registry.write([fact(subject(subject_id))], actor=ACTOR)
    registry.close()
