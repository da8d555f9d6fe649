"""An opening is judged on what it is written on, recorded before it is answered, and never lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest
from structlog.testing import capture_logs

from authz_service.operations.active_policy import ActivePolicy
from authz_service.operations.emergency_access import EMERGENCY_TOKENS, EmergencyAccess
from authz_service.operations.emergency_ports import (
    AccessesQuestion,
    AccessKey,
    AccessPage,
    AccessStanding,
    Opened,
    Opening,
    Review,
    Reviewed,
)
from authz_service.operations.open_emergency import Asked, OpenEmergency
from authz_service.operations.page_tokens import PageTokens
from authz_service.operations.ports import LoadedPolicy
from authz_service.operations.records import EmergencyRecord
from authz_service.operations.watch_emergency import AccessWatch
from authz_service.operations.writes import Tenants
from authz_service.pdp.emergency import OpeningFacts, OpeningRequest
from authz_service.pdp.entities import Subject
from authz_service.pdp.entity_words import EmergencyGround, SubjectKind, SubjectStatus
from authz_service.pdp.errors import FactsUnavailableError, JournalUnavailableError, NotFoundError
from authz_service.pdp.facts import Facts, PatientFacts, SubjectFacts
from authz_service.pdp.model import Assurance, Effect, PurposeOfUse, Reason
from tests.property.pdp_worlds import OPEN
from tests.unit.operations.fakes import (
    CONTEXT,
    NOON,
    FakeJournal,
    FakeSource,
    StoppedClock,
    quick_journal,
)

DOCTOR = Subject("dr-1", "uk", SubjectKind.STAFF, SubjectStatus.ACTIVE)
SUSPENDED = Subject("dr-1", "uk", SubjectKind.STAFF, SubjectStatus.SUSPENDED)
ANA = Subject("ana", "uk", SubjectKind.PATIENT, SubjectStatus.ACTIVE)
REQUEST = OpeningRequest(
    "dr-1",
    "ana",
    PurposeOfUse.BTG,
    EmergencyGround.VITAL_INTEREST,
    "unconscious",
    assurance=Assurance.MULTI_FACTOR,
    authenticated_at=NOON,
)
ASKED = Asked(REQUEST, "desk", "emergency-access", 0, 0)


def known(subject: Subject = DOCTOR, revision: int = 7) -> OpeningFacts:
    who = SubjectFacts(subject, frozenset({subject.id}))
    patient = PatientFacts(ANA, None, None, frozenset({"ana"}))
    return OpeningFacts(Facts(who, None, patient, revision=revision))


@dataclass
class FakeRegistry:
    """Knows what it is told, and has moved on as often as there is something in `moves`.

    Attributes:
        moves: What is found instead of what was judged, opening by opening.
    """

    moves: list[OpeningFacts] = field(default_factory=list)
    opened: list[Opening] = field(default_factory=list)

    async def known(self, subject_id: str, patient_id: str) -> OpeningFacts:
        return known()

    async def open(self, opening: Opening) -> Opened:
        self.opened.append(opening)
        if self.moves:
            return Opened(None, self.moves.pop(0))
        return Opened(8, opening.judged)

    async def page(
        self,
        question: AccessesQuestion,
        *,
        after: AccessKey | None,
        limit: int,
        within: Tenants = None,
    ) -> AccessPage:
        return AccessPage((), None, is_last=True, revision=7)

    async def review(self, review: Review, *, within: Tenants = None) -> Reviewed:
        raise NotFoundError("emergency access")


@dataclass
class FakeCounts:
    """Counts one open access and two to review, unless it is broken."""

    readings: int = 0
    broken: bool = False

    async def standing(self) -> AccessStanding:
        self.readings += 1
        if self.broken:
            raise FactsUnavailableError("it is away")
        return AccessStanding(1, 2, NOON)


class Counted:
    """Counts openings."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str]] = []

    def emergency_decided(self, effect: str, reason: str) -> None:
        self.heard.append((effect, reason))


def access_over(registry: FakeRegistry, journal: FakeJournal, heard: Any = None) -> EmergencyAccess:
    clock, numbers = StoppedClock(), count(1)
    policy = ActivePolicy(clock)
    policy.activate(LoadedPolicy(OPEN, 1, 1))
    opening = OpenEmergency(
        policy,
        FakeSource(),
        registry,
        journal,
        clock=clock,
        observer=heard or Counted(),
        new_id=lambda: f"id-{next(numbers)}",
        minutes=30,
    )
    tokens = PageTokens(b"0" * 32, EMERGENCY_TOKENS)
    return EmergencyAccess(opening, registry, journal, clock=clock, tokens=tokens)


async def test_what_has_moved_is_judged_anew() -> None:
    """The grant that is written in the end is the one that the last facts gave."""
    registry, journal = FakeRegistry([known(revision=9)] * 3), quick_journal()

    opened = await access_over(registry, journal).open(ASKED, CONTEXT)

    assert [one.judged.facts.revision for one in registry.opened] == [7, 9, 9, 9]
    assert opened.grant == registry.opened[-1].grant.entity
    assert (opened.record.facts_revision, opened.record.grant_id) == (8, opened.grant.id)


async def test_what_has_moved_may_refuse() -> None:
    registry, journal, heard = FakeRegistry([known(SUSPENDED)]), quick_journal(), Counted()

    opened = await access_over(registry, journal, heard).open(ASKED, CONTEXT)

    assert opened.grant is None
    assert opened.record.decision.reason is Reason.SUBJECT_SUSPENDED
    assert heard.heard == [(Effect.DENY, Reason.SUBJECT_SUSPENDED)]


async def test_what_never_stays_is_no_registry_to_rely_on() -> None:
    registry, journal = FakeRegistry([known()] * 50), quick_journal()

    with pytest.raises(FactsUnavailableError):
        await access_over(registry, journal).open(ASKED, CONTEXT)

    assert journal.lines == []


async def test_nothing_is_written_that_could_not_be_recorded() -> None:
    registry, journal = FakeRegistry(), FakeJournal(refusal="the disk is full")

    with pytest.raises(JournalUnavailableError):
        await access_over(registry, journal).open(ASKED, CONTEXT)

    assert registry.opened == []


async def test_what_was_written_and_could_not_be_recorded_is_in_the_log() -> None:
    """No record, no answer; and nobody has to guess which grant is there."""
    registry, journal = FakeRegistry(), FakeJournal()
    asked = asyncio.ensure_future(access_over(registry, journal).open(ASKED, CONTEXT))
    await journal.arrived.wait()
    journal.refusal = "the disk is full"
    with capture_logs() as lines:
        journal.synced.set()
        with pytest.raises(JournalUnavailableError):
            await asked

    (line,) = (one for one in lines if one["event"] == "emergency_unrecorded")
    assert line["grant_id"] == registry.opened[0].grant.entity.id
    assert line["log_level"] == "error"
    assert "unconscious" not in str(lines)


async def test_an_opening_that_has_begun_is_recorded_though_nobody_waits() -> None:
    registry, journal = FakeRegistry(), FakeJournal()
    access = access_over(registry, journal)
    asked = asyncio.ensure_future(access.open(ASKED, CONTEXT))
    await journal.arrived.wait()

    asked.cancel()
    journal.synced.set()
    await access.finish(5)

    (line,) = journal.lines
    assert isinstance(line[0], EmergencyRecord)


async def _until(holds: Callable[[], bool]) -> None:
    for _ in range(5000):
        if holds():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it never came to be")


async def test_what_cannot_be_read_is_not_known_and_is_read_again() -> None:
    counts = FakeCounts(broken=True)
    watch = AccessWatch(counts, StoppedClock(), every_seconds=0.001)
    watch.start()
    await _until(lambda: counts.readings > 0)
    unknown = (watch.standing, watch.oldest_seconds)
    counts.broken = False
    await _until(lambda: watch.standing is not None)
    await watch.close()

    assert unknown == (None, None)
    assert watch.standing == AccessStanding(1, 2, NOON)
    assert watch.oldest_seconds == 0.0


async def test_what_was_read_long_ago_is_not_said_any_more() -> None:
    """A registry that never answers leaves nothing but an old number."""
    seconds = [100.0]
    watch = AccessWatch(
        FakeCounts(), StoppedClock(), every_seconds=60, monotonic=lambda: seconds[0]
    )
    watch.start()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    before = watch.standing
    seconds[0] += 11
    after = watch.standing
    await watch.close()

    assert before == AccessStanding(1, 2, NOON)
    assert after is None
