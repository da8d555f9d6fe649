"""Ways to break what a service stands on: databases, file systems, processes."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy.engine import make_url


def connected(url: str, database: str | None = None) -> psycopg.Connection[Any]:
    """Return a connection of a test's own to a PostgreSQL database."""
    made = make_url(url).set(drivername="postgresql")
    if database:
        made = made.set(database=database)
    return psycopg.connect(made.render_as_string(hide_password=False), autocommit=True)


def run_sql(url: str, *statements: str) -> None:
    """Run statements on either database, in one transaction."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(sqlite_file(url), timeout=10)) as connection, connection:
            for statement in statements:
                connection.execute(statement)
        return
    with connected(url) as postgres, postgres.transaction():
        for statement in statements:
            postgres.execute(text_of(statement))


def text_of(statement: str) -> bytes:
    """Return a statement as the driver takes it from where it came at run time."""
    return statement.encode()


def sqlite_file(url: str) -> Path:
    """Return the file of a SQLite registry."""
    return Path(make_url(url).database or "")


def backed_up(url: str, to: Path) -> Path:
    """Copy a SQLite registry as a backup program does."""
    with closing(sqlite3.connect(sqlite_file(url))) as source, closing(sqlite3.connect(to)) as copy:
        source.backup(copy)
    return to


def restored_in_place(url: str, backup: Path) -> None:
    """Restore a SQLite registry as SQLite's own `.restore` does."""
    with (
        closing(sqlite3.connect(backup)) as source,
        closing(sqlite3.connect(sqlite_file(url))) as to,
    ):
        source.backup(to)


def restored_by_replacing(url: str, backup: Path) -> None:
    """Restore a SQLite registry by another file in its place, its write-ahead log left out."""
    file = sqlite_file(url)
    for ending in ("-wal", "-shm"):
        file.with_name(file.name + ending).unlink(missing_ok=True)
    backup.replace(file)


@contextmanager
def locked(url: str) -> Iterator[None]:
    """Hold every lock on the registry that another program could hold."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(sqlite_file(url), isolation_level=None)) as connection:
            connection.execute("BEGIN EXCLUSIVE")
            yield
        return
    with connected(url) as postgres, postgres.transaction():
        postgres.execute("LOCK TABLE facts_revision IN ACCESS EXCLUSIVE MODE")
        yield


def run_beside(url: str, statement: str) -> None:
    """Run a statement about a PostgreSQL database from beside it, then end its connections."""
    name = str(make_url(url).database)
    with connected(url, "postgres") as beside:
        beside.execute(text_of(statement.format(name=f'"{name}"')))
        beside.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,)
        )


@contextmanager
def silent(url: str) -> Iterator[None]:
    """Stop the server processes that serve a PostgreSQL database: it hears, and never answers."""
    with connected(url, "postgres") as beside:
        rows = beside.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = %s", (make_url(url).database,)
        ).fetchall()
    for (pid,) in rows:
        _signal(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for (pid,) in rows:
            _signal(pid, signal.SIGCONT)


def _signal(pid: int, number: signal.Signals) -> None:
    """Signal a server process, unless it has ended because its client let go of it."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)


@contextmanager
def file_system(folder: Path, size: str) -> Iterator[Path]:
    """Lend a small file system of its own; skip where only root may and we are not root."""
    folder.mkdir()
    _mounted("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder))
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)  # noqa: S607  # as found


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Let nothing in *folder* be opened for writing; what is open stays so."""
    _mounted("mount", "--bind", str(folder), str(folder))
    try:
        _mounted("mount", "-o", "remount,bind,ro", str(folder))
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)  # noqa: S607  # as found


def _mounted(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"file systems cannot be mounted here: {done.stderr.strip()}")
