"""How connections are opened: durable, bounded, and never to a file that took another's place."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from sqlalchemy import URL, Engine, create_engine, event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection, QueuePool

_POOL_SECONDS: Final = 2.0
_CONNECT_SECONDS: Final = 3
_SILENCE_MILLISECONDS: Final = 5000
_CACHE_KIBIBYTES: Final = 65536
_PLANS_THAT_SCAN: Final = (
    "enable_seqscan", "enable_bitmapscan", "enable_hashjoin", "enable_mergejoin",
)  # fmt: skip

APPLICATION: Final = "authz-registry"
"""How our connections are named at a PostgreSQL server."""

FileIdentity = tuple[int, int] | None
"""Device and inode of a file; None where there is none."""


def sqlite_engine(url: URL, lock_seconds: float, pool: int) -> Engine:
    """Return an engine for the SQLite file of *url*, which has to exist already."""
    path = sqlite_path(url)
    mode = "ro" if url.query.get("mode") == "ro" else "rw"
    address = f"file:{quote(str(path))}?mode={mode}"

    def connect() -> sqlite3.Connection:
        opened = sqlite3.connect(
            address, uri=True, timeout=lock_seconds, isolation_level=None, check_same_thread=False
        )
        opened.execute("PRAGMA synchronous = FULL")
        opened.execute(f"PRAGMA cache_size = -{_CACHE_KIBIBYTES}")
        return opened

    engine = create_engine(
        "sqlite://",
        creator=connect,
        poolclass=QueuePool,
        pool_size=pool,
        max_overflow=0,
        pool_timeout=_POOL_SECONDS,
        pool_reset_on_return=None,
    )
    _only_the_same_file(engine, path)
    return engine


def sqlite_path(url: URL) -> Path:
    """Return the file that *url* names."""
    return Path(url.database or "").absolute()


def identity(path: Path) -> FileIdentity:
    """Return which file stands at *path* now."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _only_the_same_file(engine: Engine, path: Path) -> None:
    """Have *engine* open a new connection when the file at *path* is no longer the one opened."""

    @event.listens_for(engine, "connect")
    def note(_connection: Any, entry: ConnectionPoolEntry) -> None:
        entry.info["file"] = identity(path)

    @event.listens_for(engine, "checkout")
    def compare(_connection: Any, entry: ConnectionPoolEntry, _lent: PoolProxiedConnection) -> None:
        if identity(path) != entry.info["file"]:
            raise DisconnectionError("the file was replaced")


def postgresql_engine(
    url: URL, lock_seconds: float, statement_seconds: float, pool: int, *, by_index: bool
) -> Engine:
    """Return an engine for the PostgreSQL database of *url*; every wait of it is bounded."""
    settings: dict[str, int | str] = {
        "statement_timeout": round(statement_seconds * 1000),
        "lock_timeout": round(lock_seconds * 1000),
        "idle_in_transaction_session_timeout": round(statement_seconds * 3000),
    }
    if by_index:
        settings |= dict.fromkeys(_PLANS_THAT_SCAN, "off")
    return create_engine(
        url,
        poolclass=QueuePool,
        pool_size=pool,
        max_overflow=0,
        pool_timeout=_POOL_SECONDS,
        pool_reset_on_return=None,
        connect_args={
            "autocommit": True,
            "connect_timeout": _CONNECT_SECONDS,
            "application_name": APPLICATION,
            "tcp_user_timeout": _SILENCE_MILLISECONDS,
            "keepalives_idle": 5,
            "keepalives_interval": 1,
            "keepalives_count": 3,
            "options": " ".join(f"-c {name}={value}" for name, value in settings.items()),
        },
    )
