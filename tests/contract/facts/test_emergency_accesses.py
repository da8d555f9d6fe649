"""Emergency accesses in the registry: opened on what was judged, listed, reviewed and counted."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import product
from typing import Any

import pytest

from authz_service.facts.access_counts import SqlAccessCounts
from authz_service.facts.database import Access, Database
from authz_service.facts.decoding import entity_of
from authz_service.facts.emergency import _OLDEST, _OPEN_COUNT, _UNREVIEWED_COUNT, _page_statement
from authz_service.facts.emergency_registry import SqlEmergencyRegistry
from authz_service.facts.sql_registry import SqlRegistry
from authz_service.operations.emergency_ports import (
    AccessesQuestion,
    AccessKey,
    AccessState,
    Opening,
    Review,
)
from authz_service.pdp.emergency import APPROVER, OPENED_ACTIONS
from authz_service.pdp.entities import Grant, GrantReview, Subject
from authz_service.pdp.entity_words import (
    FactKind,
    GrantKind,
    ReviewVerdict,
    SubjectKind,
    SubjectStatus,
)
from authz_service.pdp.errors import NotFoundError, StateError
from authz_service.pdp.facts import Fact
from tests.contract.facts.registry_cases import (
    ACTOR,
    SteppingClock,
    fact,
    run,
    subject,
    world,
)

NOW = datetime.fromisoformat("2021-01-01T00:00:00+00:00")
STAFF = Subject("dr-1", "uk", SubjectKind.STAFF, SubjectStatus.ACTIVE)
OTHER = subject("gus", "fr")


class StoppedClock:
    """Time stands still."""

    def now(self) -> datetime:
        return NOW


def access(grant_id: str, **fields: Any) -> Grant:
    """Return an emergency access that began an hour ago and lasts for two, unless told so."""
    made = Grant(
        grant_id,
        GrantKind.EMERGENCY,
        "dr-1",
        patient_id="ana",
        actions=OPENED_ACTIONS,
        valid_from=NOW - timedelta(hours=1),
        valid_to=NOW + timedelta(hours=1),
        approved_by=APPROVER,
    )
    return replace(made, **fields)


def reviewed(grant: Grant, by: str = "rev") -> Grant:
    return replace(grant, review=GrantReview(NOW, by, ReviewVerdict.JUSTIFIED))


@pytest.fixture
def counts(registry_url: str) -> Iterator[SqlAccessCounts]:
    made = SqlAccessCounts(registry_url, StoppedClock())
    yield made
    made.close()


@pytest.fixture
def accesses(registry_url: str, registry: SqlRegistry) -> SqlEmergencyRegistry:
    return SqlEmergencyRegistry(registry, StoppedClock())


async def _fill(registry: SqlRegistry, *entities: Any) -> int:
    facts = [*world(), fact(STAFF), fact(OTHER), *(fact(one, day=1) for one in entities)]
    return (await registry.write(facts, actor=ACTOR)).revision


def _many() -> list[Grant]:
    """Return accesses of all sorts, some of one beginning, some to the microsecond."""
    began = [
        None,
        NOW - timedelta(days=9),
        NOW - timedelta(hours=1),
        NOW - timedelta(hours=1, microseconds=-1),
        NOW - timedelta(hours=1, milliseconds=-500),
        NOW,
        NOW + timedelta(days=1),
    ]
    ends = [None, NOW, NOW + timedelta(microseconds=1), NOW - timedelta(days=1)]
    made = []
    for number, (start, end) in enumerate(product(began, ends)):
        grant = access(f"g{number:02}", valid_from=start, valid_to=end)
        changes: dict[str, Any] = {}
        if number % 3 == 1:
            changes["patient_id"] = "bob"
        if number % 4 == 2:
            changes["subject_id"] = "dr-2"
        if number % 7 == 3:
            changes["revoked_at"] = NOW - timedelta(minutes=1)
        grant = replace(grant, **changes)
        made.append(reviewed(grant) if number % 5 == 0 else grant)
    return made


def _naive(grants: list[Grant], question: AccessesQuestion) -> list[str]:
    """Return what a list has to be, told from the grants one by one."""
    kept = []
    for grant in grants:
        is_open = (
            grant.valid_from is not None
            and grant.valid_from <= NOW
            and (grant.valid_to is None or grant.valid_to > NOW)
            and grant.revoked_at is None
        )
        fits = {
            None: True,
            AccessState.OPEN: is_open,
            AccessState.UNREVIEWED: grant.review is None,
            AccessState.REVIEWED: grant.review is not None,
        }[question.state]
        if (
            fits
            and question.subject_id in (None, grant.subject_id)
            and question.patient_id in (None, grant.patient_id)
        ):
            kept.append(grant)
    nothing = datetime.fromisoformat("0001-01-01T00:00:00+00:00")
    kept.sort(key=lambda grant: (grant.valid_from or nothing, grant.id), reverse=True)
    return [grant.id for grant in kept]


async def test_lists_are_those_that_looking_at_each_access_gives(
    registry: SqlRegistry, accesses: SqlEmergencyRegistry
) -> None:
    """Newest first, page by page, for every filter, and nothing but emergency accesses."""
    grants = _many()
    share = access("a-share", kind=GrantKind.SHARE)
    revision = await _fill(registry, *grants, share)
    states = (None, *AccessState)
    for subject_id, patient_id, state in product((None, "dr-1", "dr-2"), (None, "bob"), states):
        question = AccessesQuestion(subject_id, patient_id, state)
        found: list[str] = []
        after: AccessKey | None = None
        while True:
            page = await accesses.page(question, after=after, limit=3)
            assert page.revision == revision
            assert len(page.grants) == 3 or page.is_last
            found += [grant.id for grant in page.grants]
            after = page.last
            if page.is_last:
                break
        assert found == _naive(grants, question), question


async def test_a_caller_of_one_tenant_sees_its_own_and_full_pages_of_them(
    registry: SqlRegistry, accesses: SqlEmergencyRegistry
) -> None:
    grants = _many()
    theirs = [replace(one, id=f"z-{one.id}", patient_id="gus") for one in grants]
    await _fill(registry, *grants, *theirs)

    page = await accesses.page(AccessesQuestion(), after=None, limit=5, within=frozenset({"fr"}))

    assert [one.id for one in page.grants] == _naive(theirs, AccessesQuestion())[:5]
    assert not page.is_last


async def test_what_is_counted_is_what_is_listed(
    registry: SqlRegistry, counts: SqlAccessCounts
) -> None:
    grants = _many()
    await _fill(registry, *grants)

    standing = await counts.standing()

    unreviewed = [one for one in grants if one.review is None]
    assert standing.open == len(_naive(grants, AccessesQuestion(state=AccessState.OPEN)))
    assert standing.unreviewed == len(unreviewed)
    assert standing.oldest == min(one.valid_from for one in unreviewed if one.valid_from)


async def test_nothing_is_counted_where_there_is_nothing(
    registry: SqlRegistry, counts: SqlAccessCounts
) -> None:
    await _fill(registry)

    assert await counts.standing() == (0, 0, None)


async def test_a_grant_is_written_on_the_facts_on_which_it_was_judged(
    registry: SqlRegistry, accesses: SqlEmergencyRegistry
) -> None:
    revision = await _fill(registry)
    known = await accesses.known("dr-1", "ana")
    grant = access("em-1", valid_from=NOW)

    opened = await accesses.open(Opening(Fact(grant, APPROVER, NOW), known, "dr-1"))

    assert opened.revision == revision + 1
    after = await accesses.known("dr-1", "ana")
    assert after.unreviewed == (NOW,)
    assert after.facts.patient is not None
    assert [one.entity for one in after.facts.patient.grants] == [grant]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(replace(STAFF, status=SubjectStatus.SUSPENDED), id="the-subject"),
        pytest.param(subject("ana", family=("dr-1",)), id="the-patient"),
        pytest.param(subject("kin", family=("ana",), same_person_as=("dr-1",)), id="kinship"),
        pytest.param(access("em-0", patient_id="bob"), id="another-access"),
    ],
)
async def test_no_grant_is_written_on_facts_that_have_changed(
    registry: SqlRegistry, accesses: SqlEmergencyRegistry, change: Any
) -> None:
    """What was judged is held against what is there, in the transaction that writes."""
    await _fill(registry)
    known = await accesses.known("dr-1", "ana")
    revision = (await registry.write([fact(change, day=9)], actor=ACTOR)).revision

    opened = await accesses.open(Opening(Fact(access("em-1"), APPROVER, NOW), known, "dr-1"))

    assert opened.revision is None
    assert opened.known != known
    assert opened.known == await accesses.known("dr-1", "ana")
    assert opened.known.facts.revision == revision


async def test_of_many_openings_on_one_judgement_one_is_written(
    registry: SqlRegistry, registry_url: str
) -> None:
    """Through two replicas at once: the others are told what the first has left."""
    await _fill(registry)
    second = SqlRegistry(registry_url, SteppingClock())
    both = [SqlEmergencyRegistry(one, StoppedClock()) for one in (registry, second)]
    known = await both[0].known("dr-1", "ana")
    openings = [
        both[number % 2].open(Opening(Fact(access(f"em-{number}"), APPROVER, NOW), known, "dr-1"))
        for number in range(8)
    ]

    opened = await asyncio.gather(*openings)
    second.close()

    assert [one.revision is not None for one in opened].count(True) == 1


async def test_a_review_stands_on_its_grant_with_its_note_beside(
    registry: SqlRegistry, accesses: SqlEmergencyRegistry, registry_url: str
) -> None:
    """Also where the clock has not moved since the grant was written."""
    await _fill(registry)
    known = await accesses.known("dr-1", "ana")
    await accesses.open(Opening(Fact(access("em-1"), APPROVER, NOW), known, "dr-1"))
    said = GrantReview(NOW, "rev", ReviewVerdict.UNJUSTIFIED)

    done = await accesses.review(Review("em-1", said, "no such patient that night", "console"))

    assert done.grant == replace(access("em-1"), review=said)
    database = Database(registry_url, lock_seconds=2, pool=1)
    with database.transaction(Access.READ) as session:
        (row,) = session.rows("SELECT kind, id, revision, note, length(sha256) FROM fact_notes")
        (stored,) = session.rows("SELECT value FROM grants WHERE id = 'em-1'")
    database.close()
    assert row == ("grant", "em-1", done.revision, "no such patient that night", 64)
    assert entity_of(FactKind.GRANT, stored[0]) == done.grant
    with pytest.raises(StateError, match="never cleared or replaced"):
        await accesses.review(Review("em-1", replace(said, by="eva"), "", "console"))


@pytest.mark.parametrize("by", ["dr-1", "dr-1-at-home", APPROVER])
async def test_nobody_reviews_their_own_access(
    registry: SqlRegistry, accesses: SqlEmergencyRegistry, by: str
) -> None:
    await _fill(registry, subject("dr-1-at-home", same_person_as=("dr-1",)), access("em-1"))

    with pytest.raises(StateError, match="another person reviews it"):
        await accesses.review(
            Review("em-1", GrantReview(NOW, by, ReviewVerdict.JUSTIFIED), "", "console")
        )


@pytest.mark.parametrize(
    ("grant_id", "within"), [("nothing", None), ("a-share", None), ("em-1", frozenset({"fr"}))]
)
async def test_what_is_no_access_of_the_callers_is_not_found(
    registry: SqlRegistry,
    accesses: SqlEmergencyRegistry,
    grant_id: str,
    within: frozenset[str] | None,
) -> None:
    await _fill(registry, access("em-1"), access("a-share", kind=GrantKind.SHARE))
    review = Review(grant_id, GrantReview(NOW, "rev", ReviewVerdict.JUSTIFIED), "", "console")

    with pytest.raises(NotFoundError):
        await accesses.review(review, within=within)


def _plan(url: str, statement: str) -> str:
    """Return how a database answers *statement*, whose parameters are texts or numbers."""
    values = {"now": "2021", "began": "~", "after": "", "limit": 50}
    database = Database(url, lock_seconds=2, pool=1)
    with database.transaction(Access.READ) as session:
        words = "EXPLAIN QUERY PLAN " if session.is_sqlite else "EXPLAIN "
        rows = session.rows(words + statement, values)
    database.close()
    return "\n".join(str(row[-1]) for row in rows)


@pytest.mark.parametrize(
    ("statement", "index"),
    [
        pytest.param(_OPEN_COUNT, "grants_of_emergency_by_end", id="open-count"),
        pytest.param(_UNREVIEWED_COUNT, "grants_unreviewed", id="unreviewed-count"),
        pytest.param(_OLDEST, "grants_unreviewed", id="oldest"),
        pytest.param(_page_statement(AccessesQuestion()), "grants_of_emergency", id="page"),
        pytest.param(
            _page_statement(AccessesQuestion(state=AccessState.UNREVIEWED)),
            "grants_unreviewed",
            id="page-unreviewed",
        ),
    ],
)
def test_accesses_are_found_by_indexes_of_their_own(
    registry_url: str, statement: str, index: str
) -> None:
    """Among however many grants, in the order of the list: nothing is sorted."""
    if not registry_url.startswith("sqlite"):
        _crowd(registry_url)

    plan = _plan(registry_url, statement)

    assert index in plan
    assert "TEMP B-TREE" not in plan
    assert "Sort" not in plan


def _crowd(url: str) -> None:
    """Write grants that are none of emergency, a tenth that are, and few that nobody reviewed."""
    run(
        url,
        "INSERT INTO grants (id, subject_id, patient_id, value, source, observed_at, revision)"
        " SELECT 'g' || n, 's' || mod(n, 50), 'p' || mod(n, 70),"
        ' CASE WHEN mod(n, 10) > 0 THEN \'{"kind":"SHARE"}\' WHEN mod(n, 200) = 0'
        ' THEN \'{"kind":"EMERGENCY","valid_from":"2020-01-01T00:00:00Z"}\''
        ' ELSE \'{"kind":"EMERGENCY","valid_from":"2020-01-01T00:00:00Z","review":{}}\' END,'
        " 'test', 0, 1 FROM generate_series(1, 4000) AS n",
        "ANALYZE grants",
    )
