"""`authz doctor` says in plain words what is wrong with a registry, and what to do."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from authz_service.cli import doctor_registry
from authz_service.cli.doctor_finding import Finding, Verdict
from authz_service.cli.doctor_registry import registry, registry_server
from authz_service.facts import migration_connection
from authz_service.facts.database import parsed
from authz_service.facts.schema import VERSION_TABLE
from authz_service.facts.sql_registry import SqlRegistry
from authz_service.pdp.model import Instant
from authz_service.settings import load_settings
from tests.contract.facts.registry_cases import (
    ACTOR,
    SteppingClock,
    SystemClock,
    fact,
    recording,
    run,
    world,
)
from tests.contract.facts.released_registries import made_as_released
from tests.postgres import new_database, new_registry


def found_at(url: str) -> Finding:
    """Return what the doctor finds of the registry of *url*."""
    return registry(load_settings({"registry_url": url}, {}))


def server_at(url: str) -> Finding:
    """Return what the doctor finds of the server of *url*."""
    return registry_server(load_settings({"registry_url": url}, {}))


def set_version(url: str, version: str, works_from: str) -> None:
    """Have the registry be of another version."""
    run(
        url,
        f"UPDATE {VERSION_TABLE} SET version_num = '{version}'",  # noqa: S608  # a name of ours
        f"UPDATE facts_revision SET works_from = '{works_from}'",  # noqa: S608  # as above
    )


def test_a_sound_registry(own_registry_url: str) -> None:
    found = found_at(own_registry_url)

    assert (found.verdict, found.todo) == (Verdict.OK, "")
    assert "is at revision 0, writable, its clock agrees" in found.what


def test_a_newer_schema(own_registry_url: str) -> None:
    set_version(own_registry_url, "9999", "9999")

    found = found_at(own_registry_url)

    assert (found.verdict, found.todo) == (Verdict.FAIL, "use the program's newer version")
    assert "newer than this program" in found.what


def test_a_later_schema_that_bears_this_program(own_registry_url: str) -> None:
    set_version(own_registry_url, "9999", "0004")

    found = found_at(own_registry_url)

    assert found.verdict is Verdict.OK
    assert "of a later version (9999)" in found.what


def test_an_older_schema(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'registry.db'}"
    made_as_released(url, "0003")

    found = found_at(url)

    assert found.verdict is Verdict.WARN
    assert "older than this program" in found.what
    assert "authz serve upgrades it" in found.todo


def test_where_history_begins(own_registry_url: str) -> None:
    run(own_registry_url, "UPDATE facts_revision SET history_from = 7")

    assert "history from revision 7" in found_at(own_registry_url).what


def test_disputed_recordings(own_registry_url: str) -> None:
    replica = SqlRegistry(own_registry_url, SteppingClock())
    for facts in (world(), [fact(recording("bob"), day=1)]):
        asyncio.run(replica.write(facts, actor=ACTOR))
    replica.close()

    found = found_at(own_registry_url)

    assert found.verdict is Verdict.WARN
    assert "1 recording disputed" in found.what
    assert "authz facts conflicts" in found.todo


class EarlyClock:
    """A clock that is two seconds behind."""

    def now(self) -> Instant:
        return SystemClock().now() - timedelta(seconds=2)


@pytest.mark.postgres
def test_a_clock_that_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    url = new_registry()
    monkeypatch.setattr(doctor_registry, "SystemClock", EarlyClock)

    found = found_at(url)

    assert found.verdict is Verdict.FAIL
    assert "its clock is more than a second off" in found.what
    assert "NTP" in found.todo


@pytest.mark.postgres
def test_a_migration_under_way() -> None:
    url = new_database()
    address = parsed(url).set(drivername="postgresql").render_as_string(hide_password=False)
    assert server_at(url).verdict is Verdict.OK
    with psycopg.connect(address, autocommit=True) as other:
        other.execute(f"SELECT pg_advisory_lock({migration_connection._LOCK_NUMBER})".encode())

        found = server_at(url)

    assert found.verdict is Verdict.WARN
    assert "a program is upgrading the registry" in found.what
    assert "wait until it is done" in found.todo


@pytest.mark.postgres
def test_what_a_server_has_left() -> None:
    found = server_at(new_database())

    assert "connections in use, 0 by services" in found.what


def test_a_file_has_no_server(sqlite_url: str) -> None:
    assert server_at(sqlite_url).what == "none: it is a file, for one machine"
