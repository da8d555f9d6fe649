"""A changed callers file is in force once that is recorded; a defective one is told, and is not."""

from __future__ import annotations

import asyncio
from hashlib import sha256
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from authz_service.identity import reload_callers
from authz_service.identity.callers import ActiveCallers
from authz_service.identity.reload_callers import CallersFile, ReloadCallers
from authz_service.operations.records import EventRecord
from authz_service.pdp.errors import JournalUnavailableError
from tests.unit.identity.caller_files import EVERY_RPC, GATEWAY, HEADER, LOOPBACK, gateway
from tests.unit.operations.fakes import NOON, FakeJournal, StoppedClock, quick_journal

FIRST = HEADER + LOOPBACK
SECOND = FIRST + gateway()
DEFECTIVE = HEADER + LOOPBACK + gateway("CheckAcess")


def revision(text: str) -> str:
    return sha256(text.encode()).hexdigest()


class Reloading:
    """The callers in force over fakes, begun with `FIRST`."""

    def __init__(self, folder: Path, journal: FakeJournal, *, plaintext: bool = True) -> None:
        self.path = folder / "callers.csv"
        self.path.write_text(FIRST)
        self.journal = journal
        self.heard: list[tuple[str, str]] = []
        file = CallersFile(self.path, EVERY_RPC, plaintext=plaintext)
        self.active = ActiveCallers(CallersFile(self.path, EVERY_RPC, plaintext=True).read())
        self.reload = ReloadCallers(
            file, self.active, journal=journal, clock=StoppedClock(), observer=self
        )

    def callers_loaded(self, outcome: str, revision: str) -> None:
        self.heard.append((outcome, revision))

    async def take(self, text: str) -> None:
        self.path.write_text(text)
        await self.reload.take(text.encode())

    @property
    def events(self) -> list[tuple[str, dict[str, object]]]:
        """The events on record."""
        found = [record for line in self.journal.lines for record in line]
        assert all(isinstance(record, EventRecord) and record.at == NOON for record in found)
        return [(each.event, dict(each.details)) for each in found if isinstance(each, EventRecord)]


@pytest.fixture
def reloading(tmp_path: Path) -> Reloading:
    return Reloading(tmp_path, quick_journal())


async def test_what_a_service_starts_with_is_on_record(reloading: Reloading) -> None:
    await reloading.reload.begin()

    assert reloading.events == [
        (
            "callers_reloaded",
            {
                "trigger": "start",
                "callers_revision": revision(FIRST),
                "previous_revision": "",
                "callers": 1,
                "added": 1,
                "removed": 0,
                "changed": 0,
            },
        )
    ]
    assert reloading.heard == [("activated", revision(FIRST))]


async def test_a_sound_file_is_put_in_force_and_on_record(reloading: Reloading) -> None:
    changed = SECOND.replace("VIEW", "LIST").replace(LOOPBACK, "loopback,,,,,,\n")

    with capture_logs() as logs:
        await reloading.take(SECOND)
        await reloading.take(changed)

    assert reloading.active.current.revision == revision(changed)
    assert reloading.active.current.rules.keys() == {"loopback", GATEWAY}
    (_, first), (event, second) = reloading.events
    assert (first["added"], first["removed"], first["changed"]) == (1, 0, 0)
    assert (event, second["changed"], second["callers"]) == ("callers_reloaded", 2, 2)
    assert second["previous_revision"] == revision(SECOND)
    assert [(each["event"], each["log_level"]) for each in logs] == [
        ("callers_activated", "info"),
        ("callers_activated", "info"),
    ]


async def test_nothing_is_in_force_before_it_is_on_record(tmp_path: Path) -> None:
    reloading = Reloading(tmp_path, FakeJournal())

    taking = asyncio.create_task(reloading.take(SECOND))
    await reloading.journal.arrived.wait()
    before = reloading.active.current.revision
    reloading.journal.synced.set()
    await taking

    assert (before, reloading.active.current.revision) == (revision(FIRST), revision(SECOND))


async def test_a_defective_file_leaves_the_last_good_one_in_force(reloading: Reloading) -> None:
    with capture_logs() as logs:
        await reloading.take(DEFECTIVE)

    assert reloading.active.current.revision == revision(FIRST)
    assert reloading.events == [
        (
            "callers_file_refused",
            {
                "callers_revision": revision(FIRST),
                "refused_revision": revision(DEFECTIVE),
                "problems": 1,
            },
        )
    ]
    refused = reloading.reload.refused
    assert refused is not None
    assert refused.revision == revision(DEFECTIVE)
    assert [problem.line for problem in refused.problems] == [3]
    (line,) = logs
    assert (line["event"], line["log_level"]) == ("callers_file_refused", "error")
    assert line["places"] == [f"{reloading.path}:3"]
    assert reloading.heard == [("refused", revision(FIRST))]


async def test_a_doubtful_file_is_put_in_force_with_one_warning(reloading: Reloading) -> None:
    many = "".join(gateway("").replace("gateway", f"g{number}") for number in range(12))
    doubtful = FIRST + many + gateway("ListDecisions", actions="", purposes="")

    with capture_logs() as logs:
        await reloading.take(doubtful)
        await reloading.take(doubtful)
        await reloading.reload.begin()

    assert reloading.active.current.revision == revision(doubtful)
    first, at_the_start = (each for each in logs if each["event"] == "callers_doubtful")
    assert first == at_the_start
    assert (first["log_level"], first["count"]) == ("warning", 13)
    assert first["callers_revision"] == revision(doubtful)
    assert first["problems"] == ["this caller may call nothing"] * 10
    assert first["places"] == [f"{reloading.path}:{line}" for line in range(3, 13)]


async def test_a_doubtful_row_does_not_keep_another_caller_in(reloading: Reloading) -> None:
    await reloading.take(SECOND)

    await reloading.take(FIRST + gateway(may="read_log").replace("gateway", "auditors"))

    assert GATEWAY not in reloading.active.current.rules
    assert reloading.reload.refused is None


async def test_a_file_put_back_as_it_was_is_no_longer_refused(reloading: Reloading) -> None:
    await reloading.take(DEFECTIVE)

    await reloading.take(FIRST)

    assert reloading.reload.refused is None
    assert reloading.heard == [("refused", revision(FIRST)), ("unchanged", revision(FIRST))]
    assert [event for event, _ in reloading.events] == ["callers_file_refused"]


async def test_what_is_in_force_already_is_passed_over(reloading: Reloading) -> None:
    with capture_logs() as logs:
        await reloading.take(FIRST)

    assert (reloading.events, reloading.heard, logs) == ([], [], [])


async def test_a_file_that_takes_loopback_away_on_loopback_is_refused(reloading: Reloading) -> None:
    await reloading.take(HEADER + gateway())

    assert "loopback" in reloading.active.current.rules
    refused = reloading.reload.refused
    assert refused is not None
    assert "no row for loopback" in refused.problems[0].message


async def test_a_file_that_leaves_nobody_over_tls_is_refused(tmp_path: Path) -> None:
    reloading = Reloading(tmp_path, quick_journal(), plaintext=False)
    await reloading.take(SECOND)

    await reloading.take(FIRST)

    assert reloading.active.current.revision == revision(SECOND)


async def test_what_cannot_be_recorded_is_tried_again_until_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whom a file takes away is away once it is on record; until then nobody is answered at all."""
    monkeypatch.setattr(reload_callers, "_AGAIN_SECONDS", 0.01)
    reloading = Reloading(tmp_path, quick_journal())
    reloading.journal.refusal = "no space left on device"

    with capture_logs() as logs:
        taking = asyncio.create_task(reloading.take(SECOND))
        await asyncio.sleep(0.1)
        meanwhile = reloading.active.current.revision
        reloading.journal.refusal = ""
        await taking

    assert (meanwhile, reloading.active.current.revision) == (revision(FIRST), revision(SECOND))
    assert reloading.heard == [("unrecorded", revision(FIRST)), ("activated", revision(SECOND))]
    assert [each["event"] for each in logs] == ["callers_not_reloaded", "callers_activated"]


async def test_what_the_file_no_longer_holds_is_not_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reload_callers, "_AGAIN_SECONDS", 0.01)
    reloading = Reloading(tmp_path, quick_journal())
    reloading.journal.refusal = "no space left on device"
    reloading.path.write_text(FIRST)

    async with asyncio.timeout(5):
        await reloading.reload.take(SECOND.encode())

    assert reloading.active.current.revision == revision(FIRST)


async def test_a_file_that_is_gone_for_a_moment_is_still_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reload_callers, "_AGAIN_SECONDS", 0.01)
    reloading = Reloading(tmp_path, quick_journal())
    reloading.journal.refusal = "no space left on device"
    reloading.path.unlink()

    taking = asyncio.create_task(reloading.reload.take(SECOND.encode()))
    await asyncio.sleep(0.1)
    reloading.journal.refusal = ""
    async with asyncio.timeout(5):
        await taking

    assert reloading.active.current.revision == revision(SECOND)


async def test_a_start_that_cannot_be_recorded_is_none(tmp_path: Path) -> None:
    reloading = Reloading(tmp_path, quick_journal())
    reloading.journal.refusal = "no space left on device"

    with pytest.raises(JournalUnavailableError):
        await reloading.reload.begin()
