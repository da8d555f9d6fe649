"""How connections to the store are opened: durable, and bounded in every wait."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import sqlalchemy.exc
from sqlalchemy import URL, Connection, Engine, NullPool, QueuePool, create_engine, event, make_url

from authz_service.audit.store.failures import FailureKind, StoreFailureError

_POOL_SECONDS: Final = 2.0
_CONNECT_SECONDS: Final = 3
_SILENCE_MILLISECONDS: Final = 5000
_MALFORMED: Final = "its URL is malformed; in a password write @ : / % as %40 %3A %2F %25"


def parsed(url: str | URL) -> URL:
    """Return *url*, if it names a database that can hold a decision store.

    Raises:
        StoreFailureError: It does not; its text, which may hold a password, is not repeated.
    """
    try:
        made = make_url(url)
    except (sqlalchemy.exc.ArgumentError, ValueError):  # the latter for a port that is none
        raise StoreFailureError(FailureKind.REFUSED, _MALFORMED) from None
    if made.get_backend_name() == "sqlite" and made.database not in (None, "", ":memory:"):
        return made
    if "@" in f"{made.host}{made.database}":  # the end of a password, which would be shown
        raise StoreFailureError(FailureKind.REFUSED, _MALFORMED)
    if made.drivername in {"postgresql", "postgresql+psycopg"}:
        return made.set(drivername="postgresql+psycopg")
    raise StoreFailureError(
        FailureKind.REFUSED,
        "its URL has to be sqlite:///path or postgresql+psycopg://host/database",
    )


def shown(url: str | URL) -> str:
    """Return *url* as it may be printed and kept: without password and options."""
    return parsed(url).set(query={}).render_as_string(hide_password=True)


def sqlite_path(url: URL) -> Path:
    """Return the file that *url* names."""
    return Path(url.database or "").absolute()


def sqlite_engine(url: URL, lock_seconds: float, *, begin: str = "BEGIN") -> Engine:
    """Return an engine for the SQLite file of *url*, which has to exist already.

    Args:
        url: The file.
        lock_seconds: How long to wait for somebody else's write.
        begin: What opens a transaction.
    """
    address = f"file:{quote(str(sqlite_path(url)))}?mode=rw"

    def connect() -> sqlite3.Connection:
        opened = sqlite3.connect(
            address, uri=True, timeout=lock_seconds, isolation_level=None, check_same_thread=False
        )
        opened.execute("PRAGMA journal_mode = WAL")
        opened.execute("PRAGMA synchronous = FULL")  # a segment may be deleted on its word
        return opened

    engine = create_engine("sqlite://", creator=connect, poolclass=NullPool)

    @event.listens_for(engine, "begin")
    def begin_transaction(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def postgresql_engine(
    url: URL,
    lock_seconds: float,
    statement_seconds: float,
    *,
    autocommit: bool = False,
    kept: int = 0,
    plans: Mapping[str, str] | None = None,
) -> Engine:
    """Return an engine for the PostgreSQL database of *url*.

    Args:
        url: The database.
        lock_seconds: How long to wait for somebody else's write.
        statement_seconds: How long one statement may take.
        autocommit: Whether each statement stands for itself unless a transaction is opened.
        kept: How many connections are kept open for the next who needs one, and no more than
            these; with 0, as many are opened as are asked for, and none is kept.
        plans: What the planner is told, by setting.
    """
    settings: dict[str, object] = {
        **(plans or {}),
        "statement_timeout": round(statement_seconds * 1000),
        "lock_timeout": round(lock_seconds * 1000),
        "idle_in_transaction_session_timeout": round(statement_seconds * 3000),
    }
    pool: dict[str, Any] = {"poolclass": NullPool}
    if kept:
        pool = {"pool_size": kept, "max_overflow": 0, "pool_timeout": _POOL_SECONDS}
        pool |= {"poolclass": QueuePool, "pool_pre_ping": True}
    if autocommit:
        pool["pool_reset_on_return"] = None  # there is nothing to roll back
    return create_engine(
        url,
        **pool,
        connect_args={
            "autocommit": autocommit,
            "connect_timeout": _CONNECT_SECONDS,
            "tcp_user_timeout": _SILENCE_MILLISECONDS,
            "keepalives_idle": 5,
            "keepalives_interval": 1,
            "keepalives_count": 3,
            "options": " ".join(f"-c {name}={value}" for name, value in settings.items()),
        },
    )
