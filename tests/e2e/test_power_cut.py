"""The power goes, or the disk fails, under a whole service: what was answered is in the journal."""

from __future__ import annotations

import errno
import shutil
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import grpc
import pytest

from authz_service.audit.verify import read_records, verify_journal
from tests.e2e.client import Client, client_of, outcome_of, question
from tests.e2e.clinic import FACTS
from tests.service_thread import serving
from tests.unit.audit.audit_faults import FaultyFiles
from tests.unit.audit.simulated_disk import Disk, State, lay_out
from tests.unit.audit.torn_writes import coarse_tears
from tests.wire import failure_of

_ASKED = {
    ("mara", "rec-mara"): ("ALLOW", "RULE_ALLOWED"),
    ("ines", "rec-mara"): ("DENY", "NO_RULE_MATCHED"),
    ("nobody", "rec-ines"): ("DENY", "SUBJECT_UNKNOWN"),
}


class Told(NamedTuple):
    """An answer as a client has it."""

    decision_id: str
    subject: str
    recording: str
    effect: str
    reason: str


def ask(client: Client, asked: tuple[str, str]) -> Told | str:
    """Ask once; return the answer, or the reason of the failure."""
    try:
        answer = client.access.CheckAccess(question(*asked), timeout=10)
    except grpc.RpcError as error:
        return failure_of(error).reason
    return Told(answer.decision_id, *asked, *outcome_of(answer))


def ask_many(client: Client, count: int) -> Iterator[Told | str]:
    """Ask from eight threads at once."""
    questions = [list(_ASKED)[number % len(_ASKED)] for number in range(count)]
    with ThreadPoolExecutor(8) as threads:
        yield from threads.map(lambda asked: ask(client, asked), questions)


def recorded(journal: Path) -> Counter[Told]:
    """Return every decision recorded, once the whole chain has verified."""
    assert verify_journal(journal).fault is None
    names = ("decision_id", "subject_id", "recording_id", "effect", "reason")
    return Counter(
        Told(*(str(record[name]) for name in names))
        for record in read_records(journal)
        if record["kind"] == "DECISION"
    )


def assert_in_order(told: list[Told | str], failure: str = "JOURNAL_UNAVAILABLE") -> list[Told]:
    """Return the answers: none of them is wrong, and what failed failed for the journal."""
    answers = [each for each in told if isinstance(each, Told)]
    assert {each for each in told if isinstance(each, str)} <= {failure}
    for answer in answers:
        assert (answer.effect, answer.reason) == _ASKED[answer.subject, answer.recording]
    return answers


def assert_all_recorded(journal: Path, answers: list[Told]) -> None:
    """Every answer is recorded once, and what else is recorded is no wrong answer."""
    kept = recorded(journal)
    assert [kept[answer] for answer in answers] == [1] * len(answers)
    assert_in_order(list(kept))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a registry that holds the clinic."""
    with serving(tmp_path, journal_dir=tmp_path / "first") as service, client_of(service) as client:
        client.write(FACTS)
    return tmp_path


def start_again(folder: Path, state: State, answers: list[Told]) -> None:
    """Serve what a power cut has left, ask, and look for every answer."""
    root = folder / "after"
    lay_out(state, root)
    with serving(folder, journal_dir=root / "j") as service, client_of(service) as client:
        answers = [*answers, *assert_in_order(list(ask_many(client, 6)), "")]
    assert_all_recorded(root / "j", answers)
    shutil.rmtree(root)


@pytest.mark.slow
@pytest.mark.parametrize("operations", [1, 2, 8, 20])
def test_every_answer_that_left_survives_a_power_cut(folder: Path, operations: int) -> None:
    """Whatever the disk made of what was not synced; and nobody was told anything wrong."""
    root = folder / "disk"
    root.mkdir()
    files = FaultyFiles(disk=Disk(root))
    with (
        serving(
            folder, files=files, journal_dir=root / "j", journal_segment_bytes=1 << 16
        ) as service,
        client_of(service) as client,
    ):
        files.cut_before = files.calls.total() + operations
        told = list(ask_many(client, 120))
        client.await_health(serving=False)
    answers = assert_in_order(told)

    assert files.is_off
    assert len(answers) < len(told)
    states = files.left_behind(coarse_tears)
    assert len(states) > (operations > 1)
    for state in states:
        root = folder / "look"
        lay_out(state, root)
        assert_all_recorded(root / "j", answers)
        shutil.rmtree(root)
    start_again(folder, states[-1], answers)


@pytest.mark.slow
@pytest.mark.parametrize("operation", ["write", "sync"])
def test_every_answer_that_left_survives_failures_and_then_a_power_cut(
    folder: Path, operation: str
) -> None:
    """The service goes on by itself between them; what it refused stays refused."""
    root = folder / "disk"
    root.mkdir()
    files = FaultyFiles(disk=Disk(root), torn_bytes=700)
    with (
        serving(
            folder, files=files, journal_dir=root / "j", journal_segment_bytes=1 << 16
        ) as service,
        client_of(service) as client,
    ):
        told = []
        for _ in range(2):
            files.fail_at = {(operation, files.calls[operation] + 4): errno.EIO}
            told += list(ask_many(client, 60))
            client.await_health(serving=True)
            told += list(ask_many(client, 20))
    answers = assert_in_order(told)

    assert files.failures == 2
    assert 40 < len(answers) < len(told)
    start_again(folder, files.left_behind(coarse_tears)[0], answers)
    kept = recorded(root / "j")
    assert kept == Counter(answers)
