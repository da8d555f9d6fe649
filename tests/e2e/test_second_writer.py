"""Two services pointed at one journal directory: the second does not start, by whatever name."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from authz_service.audit.verify import read_records, verify_journal
from tests.e2e.client import ALLOWED, client_of
from tests.e2e.clinic import FACTS
from tests.service_process import ServiceProcess, refused_start, serving_process


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ServiceProcess, Path]]:
    """A service in a process of its own, and its journal."""
    folder = tmp_path_factory.mktemp("first")
    with serving_process(folder) as service:
        with client_of(service) as client:
            client.write(FACTS)
        yield service, folder / "journal"


def relative(journal: Path, _: Path) -> str:
    return os.path.relpath(journal)


def link(journal: Path, place: Path) -> str:
    (place / "link").symlink_to(journal)
    return str(place / "link")


def contents(journal: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in journal.iterdir()}


@pytest.mark.slow
@pytest.mark.parametrize("named", [relative, link])
def test_a_second_service_on_the_same_journal_does_not_start(
    first: tuple[ServiceProcess, Path], tmp_path: Path, named: Callable[[Path, Path], str]
) -> None:
    """It says why, and has touched nothing; the first one goes on."""
    service, journal = first
    before = contents(journal)

    code, said = refused_start(tmp_path, AUTHZ_JOURNAL_DIR=named(journal, tmp_path))

    assert code == 11
    assert "another writer holds the journal in " in said
    assert "Traceback" not in said
    assert contents(journal) == before
    with client_of(service) as client:
        answer = client.check()
        assert client.outcome() == ALLOWED
    assert verify_journal(journal).fault is None
    kept = [record.get("decision_id") for record in read_records(journal)]
    assert kept.count(answer.decision_id) == 1
