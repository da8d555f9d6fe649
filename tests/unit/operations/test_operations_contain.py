"""The brake: recorded before it is answered, by digests alone, and seen to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from authz_service.operations.contain import CONTAINMENT_TOKENS, ContainAccess, ListContainments
from authz_service.operations.containments import (
    ContainmentChange,
    Demand,
    ScopeKind,
    counted_by_scope,
    scope_kinds,
)
from authz_service.operations.page_tokens import PageTokens
from authz_service.operations.records import EventRecord
from authz_service.operations.writes import Tenants
from authz_service.pdp.entities import Containment, ContainmentScope
from authz_service.pdp.entity_words import Audience
from authz_service.pdp.errors import InvalidRequestError, JournalUnavailableError
from authz_service.pdp.facts import Fact
from authz_service.pdp.model import Action
from tests.unit.operations.fakes import CONTEXT, NOON, FakeJournal, StoppedClock, quick_journal

JO = Demand("jo.doe", "ticket 4711", "desk")
SAM = Demand("sam.roe", "mended", "desk")
RELEASED = ContainmentScope(created_by_release="2020.06 beta", recording_ids=("r1", "r2"))


@dataclass
class FakeContainments:
    """Holds what is set."""

    held: dict[str, Containment] = field(default_factory=dict)
    sources: list[str] = field(default_factory=list)

    async def contain(
        self, fact: Fact[Containment], *, actor: str, within: Tenants = None
    ) -> ContainmentChange:
        self.held[fact.entity.id] = fact.entity
        self.sources.append(fact.source)
        return ContainmentChange(fact.entity, len(self.held))

    async def lift(
        self, containment_id: str, demand: Demand, *, within: Tenants = None
    ) -> ContainmentChange:
        lifted = replace(self.held[containment_id], lifted_by=demand.actor, lifted_at=NOON)
        self.held[containment_id] = lifted
        return ContainmentChange(lifted, 9)

    async def read(self, *, within: Tenants = None) -> tuple[Sequence[Containment], int]:
        return [*self.held.values()], 9


def brake(containments: FakeContainments, journal: FakeJournal) -> ContainAccess:
    """Return the operation over fakes."""
    ids = iter(("k1", "k2", "k3"))
    return ContainAccess(containments, journal, clock=StoppedClock(), new_id=lambda: next(ids))


async def test_what_is_set_is_a_fact_of_the_service_and_a_record_without_its_words() -> None:
    containments, journal = FakeContainments(), quick_journal()

    with capture_logs() as logs:
        change = await brake(containments, journal).contain(RELEASED, JO, context=CONTEXT)

    assert change.containment == Containment("k1", RELEASED, "ticket 4711", "jo.doe", NOON)
    assert containments.sources == ["desk"]
    ((event,),) = journal.lines
    assert isinstance(event, EventRecord)
    assert (event.event, event.actor, event.context) == ("contained", "jo.doe", CONTEXT)
    details = dict(event.details)
    assert len(str(details.pop("reason_digest"))) == 64
    assert details == {
        "containment_id": "k1",
        "facts_revision": 1,
        "scope": ("recordings", "release"),
        "recording_ids": ("r1", "r2"),
    }
    assert [(one["event"], one["log_level"]) for one in logs] == [("containment_set", "warning")]
    assert "ticket" not in str(logs)


async def test_one_whose_caller_goes_away_is_recorded_all_the_same() -> None:
    containments, journal = FakeContainments(), FakeJournal()
    operation = brake(containments, journal)
    setting = asyncio.create_task(operation.contain(RELEASED, JO, context=CONTEXT))
    await journal.arrived.wait()

    setting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await setting
    journal.synced.set()
    await operation.finish(10)

    assert len(journal.lines) == len(containments.held) == 1


async def test_what_could_not_be_recorded_is_not_set_and_not_lifted() -> None:
    containments = FakeContainments()
    operation = brake(containments, FakeJournal(refusal="full"))

    with pytest.raises(JournalUnavailableError):
        await operation.contain(RELEASED, JO, context=CONTEXT)
    with pytest.raises(JournalUnavailableError):
        await operation.lift("k1", SAM, context=CONTEXT)

    assert not containments.held


async def test_pages_hold_every_containment_once_and_belong_to_their_question() -> None:
    containments = FakeContainments()
    for number in range(7):
        set_at = NOON + timedelta(days=number) if number else None
        one = Containment(f"k{number}", RELEASED, "why", "jo.doe", set_at)
        containments.held[one.id] = replace(one, lifted_at=NOON) if number % 2 else one
    tokens = PageTokens(b"k" * 16, CONTAINMENT_TOKENS)
    show = ListContainments(containments, clock=StoppedClock(), tokens=tokens)
    found, token = [], ""

    while True:
        page = await show(include_lifted=True, page_size=2, page_token=token, context=CONTEXT)
        found += [one.id for one in page.containments]
        token = page.next_page_token
        if not token:
            break
        last = token

    assert found == ["k6", "k4", "k2", "k0", "k5", "k3", "k1"]
    with pytest.raises(InvalidRequestError):
        await show(include_lifted=False, page_size=2, page_token=last, context=CONTEXT)


@pytest.mark.parametrize(
    ("scope", "kinds"),
    [
        (ContainmentScope(Audience.EVERYONE), {ScopeKind.EVERYONE}),
        (ContainmentScope(Audience.STAFF, "uk"), {ScopeKind.AUDIENCE, ScopeKind.TENANT}),
        (ContainmentScope(action=Action.VIEW), {ScopeKind.ACTION}),
        (RELEASED, {ScopeKind.RELEASE, ScopeKind.RECORDINGS}),
        (ContainmentScope(created_to=NOON), {ScopeKind.CREATED}),
        (ContainmentScope(created_from=NOON), {ScopeKind.CREATED}),
    ],
)
def test_a_scope_is_of_each_kind_that_it_sets(
    scope: ContainmentScope, kinds: set[ScopeKind]
) -> None:
    assert scope_kinds(scope) == kinds


def test_what_is_lifted_is_not_counted_from_that_instant_on() -> None:
    everyone = ContainmentScope(Audience.EVERYONE, "uk")
    made = [
        Containment("k1", everyone),
        Containment("k2", everyone, lifted_at=NOON),
        Containment("k3", RELEASED, lifted_at=NOON + timedelta(microseconds=1)),
    ]

    counts = counted_by_scope(made, NOON)

    assert {kind: count for kind, count in counts.items() if count} == {
        "everyone": 1, "tenant": 1, "release": 1, "recordings": 1, "any": 2,
    }  # fmt: skip
    assert set(counts) == {*(kind.value for kind in ScopeKind), "any"}
