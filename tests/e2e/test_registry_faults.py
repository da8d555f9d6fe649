"""A registry that is locked, gone, silent, read-only, restored or of another schema.

The answer is UNAVAILABLE or the truth, never a guess; health says so, and recovers by itself.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from authz_service.app import StartError
from authz_service.facts.schema import SCHEMA_VERSION
from authz_service.facts.schema_version import migrate
from tests.e2e.breakage import (
    backed_up,
    file_system,
    locked,
    restored_by_replacing,
    restored_in_place,
    run_beside,
    run_sql,
    silent,
    sqlite_file,
)
from tests.e2e.client import (
    ALLOWED,
    Client,
    client_of,
    eventually,
    failing,
    question,
    write_request,
)
from tests.e2e.clinic import FACTS, delegation, patient
from tests.marked import PASSWORD
from tests.service_thread import serving
from tests.wire import RpcFailure, failure_of

FAMILY: dict[str, Any] = {"context": {"purpose_of_use": "FAMRQT"}}
NO_DELEGATION = ("DENY", "NO_RULE_MATCHED")
STALENESS_SECONDS = 0.06
"""A little over the staleness bound: until then the old answer may stand."""
Restore = Callable[[str, Path], None]


@contextmanager
def clinic_on(url: str, folder: Path) -> Iterator[Client]:
    """Serve the clinic on a registry."""
    with serving(folder, registry_url=url) as service, client_of(service) as client:
        client.write(FACTS)
        assert client.outcome() == ALLOWED
        yield client


def unavailable(client: Client) -> RpcFailure:
    """Ask; there has to be no answer, and soon."""
    begun = time.monotonic()
    failure = failing(client.access.CheckAccess, question("mara", "rec-mara"), timeout=10)
    assert time.monotonic() - begun < 5
    assert (failure.code, failure.reason) == ("UNAVAILABLE", "FACTS_UNAVAILABLE")
    assert failure.retry_seconds == 1
    assert failure.domain == "authz_service.api.v1"
    return failure


def first_answer(client: Client) -> tuple[str, str]:
    """Ask for Olga until there is an answer: while a file is replaced there may be none."""
    outcomes: list[tuple[str, str]] = []
    reasons: set[str] = set()

    def answered() -> bool:
        try:
            outcomes.append(client.outcome("olga", "rec-lio", **FAMILY))
        except grpc.RpcError as error:
            reasons.add(failure_of(error).reason)
        return bool(outcomes)

    eventually(answered)
    assert reasons <= {"FACTS_UNAVAILABLE"}
    return outcomes[0]


def said(client: Client) -> str:
    """Ask; return how that failed, or nothing: a question looks sooner than nobody does."""
    try:
        client.outcome()
    except grpc.RpcError as error:
        return failure_of(error).message
    return ""


def breaks_and_recovers(client: Client, *, word: str = "not usable") -> Iterator[None]:
    """Before the yield it is broken, after it whole again."""
    eventually(lambda: word in said(client))
    client.await_health(serving=False)
    unavailable(client)
    status, body = client.http("/healthz")
    assert (status, '"registry"' in body) == (503, True)
    assert client.metrics()["authz_serving"] == 0
    yield
    client.await_health(serving=True)
    assert client.outcome() == ALLOWED
    assert client.http("/healthz")[0] == 200
    assert client.metrics()["authz_serving"] == 1


@pytest.mark.slow
@pytest.mark.postgres
def test_a_locked_postgresql_is_unavailable_until_the_lock_is_gone(
    postgres_url: str, tmp_path: Path
) -> None:
    with clinic_on(postgres_url, tmp_path) as client:
        with locked(postgres_url):
            recovery = breaks_and_recovers(client, word="locked")
            next(recovery)
            written = failing(client.facts.WriteFacts, write_request([patient("new")]), timeout=9)
            assert (written.code, written.reason) == ("UNAVAILABLE", "FACTS_UNAVAILABLE")
        next(recovery, None)
        assert client.write([patient("new")]).written == 1


@pytest.mark.slow
def test_a_locked_sqlite_file_is_read_and_not_written(tmp_path: Path) -> None:
    """In WAL mode a lock keeps other writers out and readers not, so the answer is the truth."""
    url = f"sqlite:///{tmp_path / 'registry.db'}"
    with clinic_on(url, tmp_path) as client:
        with locked(url):
            assert client.outcome() == ALLOWED
            assert client.outcome("ines", "rec-mara")[0] == "DENY"
            written = failing(client.facts.WriteFacts, write_request([patient("new")]), timeout=9)
            assert (written.code, written.reason) == ("UNAVAILABLE", "FACTS_UNAVAILABLE")
        assert client.write([patient("new")]).written == 1


def test_a_sqlite_file_that_was_moved_away_is_unavailable_until_it_is_back(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'registry.db'}"
    with clinic_on(url, tmp_path) as client:
        backup = backed_up(url, tmp_path / "backup.db")
        away = sqlite_file(url).rename(tmp_path / "away.db")
        recovery = breaks_and_recovers(client, word="gone")
        next(recovery)

        away.unlink()
        backup.replace(sqlite_file(url))
        next(recovery, None)


def test_a_deleted_registry_is_not_made_anew(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'registry.db'}"
    with clinic_on(url, tmp_path) as client:
        sqlite_file(url).unlink()
        client.await_health(serving=False)

        unavailable(client)
        failing(client.facts.WriteFacts, write_request([patient("new")]), timeout=9)

        assert not sqlite_file(url).exists()


@pytest.mark.postgres
def test_a_postgresql_that_takes_no_connections_is_unavailable_until_it_does(
    postgres_url: str, tmp_path: Path
) -> None:
    with clinic_on(postgres_url, tmp_path) as client:
        run_beside(postgres_url, "ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        recovery = breaks_and_recovers(client)
        next(recovery)

        run_beside(postgres_url, "ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        next(recovery, None)


@pytest.mark.postgres
def test_connections_that_were_ended_are_opened_again(postgres_url: str, tmp_path: Path) -> None:
    with clinic_on(postgres_url, tmp_path) as client:
        run_beside(postgres_url, "SELECT 1 AS {name}")
        client.await_health(serving=True)

        outcomes = []
        for _ in range(50):
            try:
                outcomes.append(client.outcome())
            except Exception:  # noqa: BLE001  # the first call may find the ended connection
                client.await_health(serving=True)

        assert outcomes.count(ALLOWED) >= 49
        assert set(outcomes) == {ALLOWED}


@pytest.mark.postgres
def test_a_dropped_database_is_unavailable(postgres_url: str, tmp_path: Path) -> None:
    with clinic_on(postgres_url, tmp_path) as client:
        run_beside(postgres_url, "DROP DATABASE {name} WITH (FORCE)")
        client.await_health(serving=False)

        unavailable(client)


@pytest.mark.slow
@pytest.mark.postgres
def test_a_silent_postgresql_is_unavailable_until_it_speaks(
    postgres_url: str, tmp_path: Path
) -> None:
    with clinic_on(postgres_url, tmp_path) as client:
        with silent(postgres_url):
            recovery = breaks_and_recovers(client, word="longer than 1 s")
            next(recovery)
        next(recovery, None)


@pytest.mark.slow
@pytest.mark.postgres
def test_a_read_only_postgresql_is_unavailable(postgres_url: str, tmp_path: Path) -> None:
    """A replica that was promoted away, or a database in maintenance, may be behind."""
    with clinic_on(postgres_url, tmp_path) as client:
        run_beside(postgres_url, "ALTER DATABASE {name} SET default_transaction_read_only = on")
        recovery = breaks_and_recovers(client, word="read-only")
        next(recovery)

        run_beside(postgres_url, "ALTER DATABASE {name} RESET default_transaction_read_only")
        next(recovery, None)


def test_a_sqlite_file_on_a_read_only_file_system_is_unavailable(tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    link = tmp_path / "registry"
    link.symlink_to(place)
    url = f"sqlite:///{link / 'registry.db'}"
    with file_system(tmp_path / "elsewhere", "4m") as elsewhere, clinic_on(url, tmp_path) as client:
        backed_up(url, elsewhere / "registry.db")
        os.chown(elsewhere, os.getuid(), os.getgid())
        draft = tmp_path / "draft"
        draft.symlink_to(elsewhere)
        remount(elsewhere)

        draft.replace(link)
        recovery = breaks_and_recovers(client)
        next(recovery)

        draft.symlink_to(place)
        draft.replace(link)
        next(recovery, None)


def remount(folder: Path) -> None:
    """Make a mounted file system read-only."""
    command = ["mount", "-o", "remount,ro", str(folder)]
    assert shutil.which("mount")
    assert os.spawnvp(os.P_WAIT, command[0], command) == 0  # noqa: S606  # no shell is wanted


def test_a_registry_opened_read_only_is_no_start(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'registry.db'}"
    migrate(url)

    with (
        pytest.raises(StartError, match="read-only"),
        serving(tmp_path, registry_url=f"{url}?mode=ro"),
    ):
        pass


@pytest.mark.parametrize("restore", [restored_in_place, restored_by_replacing])
def test_a_backup_of_an_older_revision_takes_back_what_came_after_it(
    tmp_path: Path, restore: Restore
) -> None:
    url = f"sqlite:///{tmp_path / 'registry.db'}"
    with clinic_on(url, tmp_path) as client:
        backup = backed_up(url, tmp_path / "backup.db")
        client.write([delegation("later")])
        assert client.outcome("olga", "rec-lio", **FAMILY) == ALLOWED

        restore(url, backup)

        time.sleep(STALENESS_SECONDS)
        assert first_answer(client) == NO_DELEGATION


@pytest.mark.parametrize("restore", [restored_in_place, restored_by_replacing])
def test_a_backup_that_caught_up_in_number_has_other_content(
    tmp_path: Path, restore: Restore
) -> None:
    url = f"sqlite:///{tmp_path / 'registry.db'}"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with clinic_on(url, tmp_path) as client:
        backup = backed_up(url, tmp_path / "backup.db")
        client.write([delegation("later")])
        answer = client.check("olga", "rec-lio", **FAMILY)
        with (
            serving(elsewhere, registry_url=f"sqlite:///{backup}") as other,
            client_of(other) as at_the_backup,
        ):
            caught_up = at_the_backup.write([patient("somebody-else")])
        assert caught_up.facts_revision == answer.facts_revision

        restore(url, backup)

        time.sleep(STALENESS_SECONDS)
        assert first_answer(client) == NO_DELEGATION


@pytest.mark.postgres
@pytest.mark.parametrize("caught_up", [False, True], ids=["older", "caught-up-in-number"])
def test_a_restored_postgresql_takes_back_what_came_after_the_backup(
    postgres_url: str,
    tmp_path: Path,
    caught_up: bool,  # noqa: FBT001  # a parameter
) -> None:
    with clinic_on(postgres_url, tmp_path) as client:
        kept = client.check().facts_revision
        client.write([delegation("later")])
        assert client.outcome("olga", "rec-lio", **FAMILY) == ALLOWED

        other = "'of-another-history'"
        run_sql(
            postgres_url,
            f"DELETE FROM delegations WHERE revision > {kept}",  # noqa: S608  # a number of ours
            f"DELETE FROM fact_changes WHERE revision > {kept}",  # noqa: S608  # a number of ours
            f"UPDATE facts_writes SET nonce = {other} WHERE revision > {kept}"  # noqa: S608  # ours
            if caught_up
            else f"DELETE FROM facts_writes WHERE revision > {kept}",  # noqa: S608  # ours
            f"UPDATE facts_revision SET nonce = {other}"  # noqa: S608  # ours
            if caught_up
            else f"UPDATE facts_revision SET revision = {kept}, nonce ="  # noqa: S608  # ours
            f" (SELECT nonce FROM facts_writes WHERE revision = {kept})",
        )

        time.sleep(STALENESS_SECONDS)
        assert first_answer(client) == NO_DELEGATION


def test_another_schema_while_running_is_unavailable(either_url: str, tmp_path: Path) -> None:
    with clinic_on(either_url, tmp_path) as client:
        run_sql(
            either_url,
            "UPDATE facts_schema SET version_num = '9999'",
            "UPDATE facts_revision SET works_from = '9999'",
        )
        recovery = breaks_and_recovers(client, word="9999")
        next(recovery)
        written = failing(client.facts.WriteFacts, write_request([patient("new")]), timeout=9)
        assert (written.code, written.reason) == ("UNAVAILABLE", "FACTS_UNAVAILABLE")

        back = f"UPDATE facts_schema SET version_num = '{SCHEMA_VERSION}'"  # noqa: S608  # ours
        works_from = f"UPDATE facts_revision SET works_from = '{SCHEMA_VERSION}'"  # noqa: S608  # ours
        run_sql(either_url, back, works_from)
        next(recovery, None)


def test_a_newer_schema_at_the_start_is_no_start(either_url: str, tmp_path: Path) -> None:
    migrate(either_url)
    run_sql(
        either_url,
        "UPDATE facts_schema SET version_num = '9999'",
        "UPDATE facts_revision SET works_from = '9999'",
    )

    with (
        pytest.raises(StartError, match="schema is newer than this program"),
        serving(tmp_path, registry_url=either_url),
    ):
        pass


@pytest.mark.parametrize(
    ("url", "said"),
    [
        pytest.param(f"mysql://u:{PASSWORD}@h/d", "sqlite:///", id="another-database"),
        pytest.param(f"nonsense with {PASSWORD}", "malformed", id="no-url"),
        pytest.param(
            f"postgresql+psycopg://u:{PASSWORD}@127.0.0.1:1/d", "does not answer", id="nobody-there"
        ),
        pytest.param("sqlite:///", "sqlite:///path", id="in-memory"),
    ],
)
def test_a_registry_that_cannot_be_is_no_start_and_its_password_stays_unsaid(
    tmp_path: Path, url: str, said: str
) -> None:
    with pytest.raises(StartError, match=said) as refused, serving(tmp_path, registry_url=url):
        pass

    assert PASSWORD not in str(refused.value)


def test_a_file_that_is_no_registry_is_no_start(tmp_path: Path) -> None:
    (tmp_path / "registry.db").write_bytes(b"certainly not a database" * 100)

    with pytest.raises(StartError), serving(tmp_path):
        pass

    assert (tmp_path / "registry.db").read_bytes() == b"certainly not a database" * 100
