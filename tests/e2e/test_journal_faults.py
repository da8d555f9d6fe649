"""No record, no answer: a journal that is full, read-only, gone, or somebody else's."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from authz_service.app import StartError
from authz_service.audit.verify import read_records, verify_journal
from tests.e2e.breakage import file_system, read_only
from tests.e2e.client import ALLOWED, Client, client_of, eventually, failing, question
from tests.e2e.clinic import FACTS
from tests.service_process import refused_start, serving_process
from tests.service_thread import ServiceThread, serving
from tests.wire import RpcFailure, failure_of


@contextmanager
def clinic(folder: Path, journal: Path, **settings: object) -> Iterator[Client]:
    """Serve the clinic with its journal in a directory."""
    with (
        serving(folder, journal_dir=journal, **settings) as service,
        client_of(service) as client,
    ):
        client.write(FACTS)
        assert client.outcome() == ALLOWED
        yield client


def ask_until_refused(client: Client, most: int = 1000) -> tuple[list[str], RpcFailure]:
    """Ask until there is no answer; return the ids of the decisions told, and the failure."""
    told = []
    for _ in range(most):
        try:
            told.append(str(client.check().decision_id))
        except grpc.RpcError as error:
            return told, failure_of(error)
    raise AssertionError("the journal took it all")


def assert_unavailable(client: Client, failure: RpcFailure) -> None:
    """It says so everywhere, and answers nothing."""
    assert (failure.code, failure.reason) == ("UNAVAILABLE", "JOURNAL_UNAVAILABLE")
    assert failure.retry_seconds == 1
    client.await_health(serving=False)
    status, body = client.http("/healthz")
    assert (status, '"journal"' in body) == (503, True)
    metrics = client.metrics()
    assert (metrics["authz_journal_usable"], metrics["authz_serving"]) == (0, 0)
    for subject in ("mara", "ines", "nobody"):
        again = failing(client.access.CheckAccess, question(subject, "rec-mara"), timeout=10)
        assert again.reason == "JOURNAL_UNAVAILABLE"


def assert_recovered(client: Client) -> None:
    """It answers again, by itself."""
    client.await_health(serving=True)
    assert client.outcome() == ALLOWED
    assert client.metrics()["authz_journal_usable"] == 1


def recorded_ids(journal: Path) -> set[object]:
    """Return the ids of all decisions recorded, once the whole chain has verified."""
    report = verify_journal(journal)
    assert (report.fault, report.torn) == (None, ())
    return {record.get("decision_id") for record in read_records(journal)}


def fill_up(filler: Path) -> None:
    """Write until nothing more fits."""
    with filler.open("wb", buffering=0) as stream, contextlib.suppress(OSError):
        while True:
            stream.write(b"\0" * 4096)


def test_a_full_disk_answers_nothing_until_there_is_space(tmp_path: Path) -> None:
    with file_system(tmp_path / "disk", "6m") as disk:
        journal = disk / "journal"
        with clinic(tmp_path, journal) as client:
            filler = disk / "filler"
            fill_up(filler)

            told, failure = ask_until_refused(client)
            assert_unavailable(client, failure)
            assert client.metrics()['authz_journal_failures_total{kind="full"}'] >= 1
            filler.unlink()
            assert_recovered(client)

            told.append(str(client.check().decision_id))
        assert set(told) <= recorded_ids(journal)


def test_a_read_only_disk_answers_nothing_until_it_can_be_written(tmp_path: Path) -> None:
    """What is open stays writable; the next segment cannot be begun."""
    journal = tmp_path / "journal"
    with clinic(tmp_path, journal, journal_segment_bytes=1 << 16) as client:
        with read_only(journal):
            told, failure = ask_until_refused(client)
            assert_unavailable(client, failure)
            assert client.metrics()['authz_journal_failures_total{kind="refused"}'] >= 1
        assert_recovered(client)

    assert told
    assert set(told) <= recorded_ids(journal)


def test_a_journal_that_was_replaced_is_not_written_on(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    with clinic(tmp_path, journal) as client:
        away = journal.rename(tmp_path / "away")
        journal.mkdir()

        told, failure = ask_until_refused(client)
        assert_unavailable(client, failure)
        assert list(journal.iterdir()) == []
        journal.rmdir()
        away.rename(journal)
        assert_recovered(client)

    assert set(told) <= recorded_ids(journal)


def test_a_deleted_journal_answers_nothing(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    with clinic(tmp_path, journal) as client:
        for path in journal.iterdir():
            path.unlink()
        journal.rmdir()

        told, failure = ask_until_refused(client)

        assert told == []
        assert_unavailable(client, failure)


def test_a_read_only_directory_is_no_start(tmp_path: Path) -> None:
    (tmp_path / "journal").mkdir()

    with (
        read_only(tmp_path / "journal"),
        pytest.raises(StartError, match="read-only file system"),
        serving(tmp_path),
    ):
        pass


def test_a_file_in_the_journals_place_is_no_start(tmp_path: Path) -> None:
    (tmp_path / "journal").write_text("not a directory")

    with pytest.raises(StartError, match="the journal is not usable"), serving(tmp_path):
        pass


def test_a_journal_that_was_tampered_with_is_no_start(tmp_path: Path) -> None:
    with clinic(tmp_path, tmp_path / "journal") as client:
        client.check("ines", "rec-mara")
        client.check()
    (segment,) = (tmp_path / "journal").glob("segment-*.jsonl")
    content = segment.read_bytes()
    assert content.count(b'"DENY"') == 1
    segment.write_bytes(content.replace(b'"DENY"', b'"deny"'))

    with pytest.raises(StartError, match=re.escape(segment.name)), serving(tmp_path):
        pass


def test_a_second_service_on_the_same_journal_is_no_start(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    with clinic(tmp_path, tmp_path / "journal") as client:
        with pytest.raises(StartError, match="another writer holds the journal"):
            ServiceThread(settings_beside(other, journal_dir=tmp_path / "journal"))

        assert client.outcome() == ALLOWED


def settings_beside(folder: Path, **changed: object) -> dict[str, object]:
    """Return settings of a second service."""
    shipped = Path(__file__).parents[2] / "policies"
    return {
        "listen": "127.0.0.1:0",
        "http_listen": "127.0.0.1:0",
        "registry_url": f"sqlite:///{folder / 'registry.db'}",
        "journal_dir": folder / "journal",
        "decisions_url": f"sqlite:///{folder / 'decisions.db'}",
        "policy_dir": shipped,
        "callers_file": shipped / "callers.csv",
        "insecure_loopback": True,
        **changed,
    }


@pytest.mark.parametrize(
    ("setting", "taken"), [("listen", "address"), ("http_listen", "http_address")]
)
def test_a_second_service_on_the_same_port_is_no_start(
    tmp_path: Path, setting: str, taken: str
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    with serving(first) as service, client_of(service) as client:
        address = getattr(service, taken)

        with pytest.raises(StartError, match=f"AUTHZ_{setting.upper()}={address} .*(taken|in use)"):
            ServiceThread(settings_beside(second, **{setting: address}))

        assert client.serving()
    assert verify_journal(second / "journal").fault is None


@pytest.mark.slow
def test_a_second_process_is_told_why_it_does_not_start(tmp_path: Path) -> None:
    with serving_process(tmp_path) as service, client_of(service) as client:
        code, said = refused_start(tmp_path)
        elsewhere = str(tmp_path / "other-journal")
        port_code, port_said = refused_start(
            tmp_path, AUTHZ_JOURNAL_DIR=elsewhere, AUTHZ_LISTEN=service.address
        )

        assert (code != 0, port_code != 0) == (True, True)
        assert "another writer holds the journal" in said
        assert f"AUTHZ_LISTEN={service.address} is taken" in port_said
        assert "Traceback" not in said + port_said
        eventually(client.serving)
