"""A list is a disclosure: what is on it was judged, together, and is recorded before it leaves."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import count
from typing import Any

import pytest

from authz_service.operations import page_filling
from authz_service.operations.active_policy import ActivePolicy
from authz_service.operations.list_recordings import ListOutcome, ListRecordings
from authz_service.operations.lists import ListRequest
from authz_service.operations.page_tokens import PageTokens
from authz_service.operations.ports import LoadedPolicy
from authz_service.operations.records import CallContext, DecisionRecord, ListRecord, RecordKind
from authz_service.pdp.decide import decide
from authz_service.pdp.entities import (
    Attendance,
    Consultation,
    Containment,
    ContainmentScope,
    Participant,
)
from authz_service.pdp.entity_words import (
    Audience,
    FactKind,
    ParticipantKind,
    RecordingState,
    SubjectStatus,
)
from authz_service.pdp.errors import (
    FactsUnavailableError,
    InvalidRequestError,
    JournalUnavailableError,
    RevisionAheadError,
)
from authz_service.pdp.model import (
    AccessRequest,
    Action,
    Assurance,
    Condition,
    Effect,
    PurposeOfUse,
    Relation,
    Situation,
)
from authz_service.pdp.ruleset import PolicyReading, RuleMatch, RuleReading
from tests.unit.operations.fakes import (
    CONTEXT,
    NOON,
    FakeJournal,
    Heard,
    StoppedClock,
    quick_journal,
)
from tests.unit.operations.ward import DAWN, Ward, patient, recorded, staff

ANA = ListRequest("ana", Action.LIST, PurposeOfUse.PATRQT)
PATIENT = ParticipantKind.PATIENT
PEOPLE = (patient("ana"), patient("bea"), staff("finch"))


@dataclass
class OwnersOnly:
    """Allows owners and those who attended, and keeps what it was asked for."""

    revision: str = "old"
    closed: bool = False
    asked: list[tuple[Action, PurposeOfUse, frozenset[Condition]]] = field(default_factory=list)

    def match(self, situation: Situation) -> RuleMatch | None:
        wanted = {Relation.OWNER, Relation.ATTENDING}
        allows = not self.closed and not wanted.isdisjoint(situation.relations)
        return RuleMatch(Effect.ALLOW, "own") if allows else None

    def open_relations(
        self, action: Action, purpose_of_use: PurposeOfUse, impossible: frozenset[Condition]
    ) -> frozenset[Relation]:
        self.asked.append((action, purpose_of_use, impossible))
        return frozenset({Relation.OWNER, Relation.ATTENDING})

    def explain(self, situation: Situation) -> PolicyReading:
        match = self.match(situation)
        unmet = () if match else ("relation",)
        return PolicyReading(situation.roles, [RuleReading("own", Effect.ALLOW, unmet)])


class Desk:
    """The operation over a ward."""

    def __init__(self, ward: Ward, journal: FakeJournal | None = None) -> None:
        self.ward, self.journal, self.heard = ward, journal or quick_journal(), Heard()
        self.clock, self.ruleset, numbers = StoppedClock(), OwnersOnly(), count()
        self.policy = ActivePolicy(self.clock)
        self.put_in_force(self.ruleset)
        self.list = ListRecordings(
            self.policy,
            ward,
            self.journal,
            candidates=ward,
            tokens=PageTokens(b"k" * 32, "recordings"),
            clock=self.clock,
            observer=self.heard,
            new_id=lambda: f"d{next(numbers)}",
        )

    def put_in_force(self, ruleset: OwnersOnly) -> None:
        self.policy.activate(LoadedPolicy(ruleset, 1, 0))

    async def page(
        self, request: ListRequest = ANA, context: CallContext = CONTEXT, at_least: int = 0
    ) -> ListOutcome:
        return await self.list(request, context, at_least=at_least, started_ns=0)

    def allowed(self, request: ListRequest) -> list[str]:
        """Return what checks allow now of all recordings, newest first."""
        subject_id, action, purpose = request[:3]
        return [
            one.id
            for one in self.ward.recordings()
            if decide(
                AccessRequest(subject_id, one.id, action, purpose),
                self.ward.about(subject_id, one.id),
                self.ruleset,
                self.clock.now(),
            ).effect
            is Effect.ALLOW
        ]

    async def pages(self, request: ListRequest = ANA) -> list[list[str]]:
        """Return every page's recordings, following the tokens."""
        found = []
        while True:
            outcome = await self.page(request)
            found.append(ids(outcome))
            if not outcome.next_page_token:
                return found
            request = request._replace(page_token=outcome.next_page_token)


def ids(outcome: ListOutcome) -> list[str]:
    return [row.record.request.recording_id for row in outcome.rows if row.record.request]


def many(number: int, owner_id: str = "ana", start: int = 0, **more: Any) -> list[Any]:
    """Return *number* recordings, r00 the oldest, with what all facts need to agree."""
    return [
        entity
        for each in range(start, start + number)
        for entity in recorded(f"r{each:04}", owner_id, each, **more)
    ]


def names(*numbers: int) -> list[str]:
    return [f"r{number:04}" for number in numbers]


async def test_a_page_leaves_after_its_rows_are_on_the_disk() -> None:
    """One line: the page, then every row of it, all judged at one time on one state."""
    journal = FakeJournal()
    desk = Desk(Ward(*PEOPLE, *many(2), *recorded("other", "bea", 9)), journal)

    answer = asyncio.create_task(desk.page())
    await journal.arrived.wait()
    for _ in range(10):
        await asyncio.sleep(0)
    assert not answer.done()
    journal.synced.set()
    outcome = await answer

    page, first, second = (line for lines in journal.lines for line in lines)
    assert len(journal.lines) == 1
    assert isinstance(page, ListRecord)
    assert (page.rows, page.considered, page.is_last, page.request) == (2, 3, True, ANA)
    assert (first, second) == tuple(row.record for row in outcome.rows)
    for record in (first, second):
        assert isinstance(record, DecisionRecord)
        assert record.kind is RecordKind.PRESENTED
        assert record.decision.effect is Effect.ALLOW
        assert (record.evaluated_at, record.facts_revision, record.policy_revision) == (
            NOON,
            desk.ward.revision,
            "old",
        )
    assert ids(outcome) == names(1, 0)
    assert [row.created_at for row in outcome.rows] == [DAWN + timedelta(minutes=1), DAWN]
    assert desk.heard.lists == [("LIST", 2, 3)]
    assert desk.heard.decisions == []


@pytest.mark.parametrize(
    "world",
    [
        pytest.param((), id="unknown"),
        pytest.param((patient("ana"),), id="without-recordings"),
        pytest.param((patient("ana"), patient("bea"), *recorded("b", "bea", 1)), id="of-others"),
    ],
)
async def test_an_empty_list_is_recorded_too(world: tuple[Any, ...]) -> None:
    """Who looked and found nothing has looked."""
    desk = Desk(Ward(*world))

    outcome = await desk.page()

    assert (outcome.rows, outcome.next_page_token) == ((), "")
    assert desk.journal.lines == [[outcome.record]]
    assert (outcome.record.rows, outcome.record.is_last) == (0, True)
    assert outcome.record.facts_revision == desk.ward.revision


async def settled() -> None:
    """Let all go on that can."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_list_that_comes_while_the_policy_is_held_waits() -> None:
    """Nothing is asked for meanwhile: candidates go by the rules as well."""
    desk = Desk(Ward(*PEOPLE, *many(2)))
    desk.policy.hold()

    def too_early() -> None:
        raise AssertionError("a candidate was asked for")

    desk.ward.before_chunk[1] = too_early
    answer = asyncio.create_task(desk.page())
    await settled()
    desk.ward.before_chunk.clear()
    desk.put_in_force(OwnersOnly("new"))
    desk.policy.release()
    outcome = await answer

    assert ids(outcome) == names(1, 0)
    assert {row.record.policy_revision for row in outcome.rows} == {"new"}
    assert outcome.record.policy_revision == "new"


@pytest.mark.parametrize("revision", ["old", "new"], ids=["abandoned", "concluded"])
async def test_a_list_during_which_the_policy_is_held_is_judged_again(revision: str) -> None:
    """Whatever becomes of the hold, no page is judged within it."""
    desk = Desk(Ward(*PEOPLE, *many(2)))

    def only_when_let_go() -> None:
        assert desk.policy.held is None

    desk.ward.before_chunk = {1: desk.policy.hold, 2: only_when_let_go}

    answer = asyncio.create_task(desk.page())
    await settled()
    assert not answer.done()
    assert desk.journal.lines == []
    desk.ward.change("r0001", state=RecordingState.DELETED)
    if revision == "new":
        desk.put_in_force(OwnersOnly("new"))
    desk.policy.release()
    outcome = await answer

    assert ids(outcome) == names(0)
    assert outcome.record.policy_revision == revision
    assert len(desk.ward.chunks) == 2


async def test_no_record_no_list() -> None:
    desk = Desk(Ward(*PEOPLE, *many(2)), FakeJournal(refusal="full"))

    with pytest.raises(JournalUnavailableError):
        await desk.page()


@pytest.mark.parametrize("page_size", [1, 2, 3, 7, 8, 500])
async def test_pages_add_up_newest_first(page_size: int) -> None:
    """No row twice, none lost, no page too long, and none but the last is short."""
    same_minute = [e for name in ("x", "z", "y") for e in recorded(name, "ana", 100)]
    desk = Desk(Ward(*PEOPLE, *many(4), *same_minute, *many(3, "bea", start=50)))

    pages = await desk.pages(ANA._replace(page_size=page_size))

    assert [name for page in pages for name in page] == ["z", "y", "x", *names(3, 2, 1, 0)]
    assert all(len(page) == page_size for page in pages[:-1])
    assert 0 < len(pages[-1]) <= page_size


async def test_what_is_hidden_leaves_no_trace() -> None:
    """A full page is the last where only denied candidates follow, or a token would tell of them.

    So the answer is, but for ids, that of a world without them.
    """
    hidden = many(60, start=0, state=RecordingState.QUARANTINED)
    desk = Desk(Ward(*PEOPLE, *hidden, *many(2, start=100)))
    plain = Desk(Ward(*PEOPLE, *many(2, start=100)))
    asked = ANA._replace(page_size=2)

    outcome, without = await desk.page(asked), await plain.page(asked)

    assert ids(outcome) == ids(without) == names(101, 100)
    assert (outcome.next_page_token, outcome.record.is_last) == ("", True)
    assert len(desk.ward.chunks) > 1


async def test_the_search_for_one_more_row_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind a full page it stops in time; the next page is looked for when it is asked for."""
    monkeypatch.setattr(page_filling, "LOOK_AHEAD", 20)
    hidden = many(60, start=0, state=RecordingState.DELETED)
    desk = Desk(Ward(*PEOPLE, *hidden, *many(2, start=100)))

    assert await desk.pages(ANA._replace(page_size=2)) == [names(101, 100), []]
    assert desk.ward.chunks == [16, 32, 16, 32, 64]


async def test_chunks_grow_where_much_is_denied() -> None:
    """A page of one that has to look at two hundred does not ask two hundred times."""
    desk = Desk(Ward(*PEOPLE, *many(200, "bea", start=10), *many(1)))

    outcome = await desk.page(ANA._replace(page_size=1))

    assert ids(outcome) == names(0)
    assert desk.ward.chunks == [16, 32, 64, 128]
    assert outcome.record.considered == 201


async def test_what_was_closed_meanwhile_is_not_on_the_page() -> None:
    """The page is filled on in its place, and rests on the later state whole."""
    desk = Desk(Ward(*PEOPLE, *many(3, start=100), *many(30, "bea", start=50), *many(4)))
    ward = desk.ward
    ward.before_chunk[2] = lambda: ward.change("r0101", state=RecordingState.RESTRICTED)

    outcome = await desk.page(ANA._replace(page_size=4))

    assert ids(outcome) == names(102, 100, 3, 2)
    assert {row.record.facts_revision for row in outcome.rows} == {ward.revision}
    assert outcome.next_page_token


async def test_what_opens_while_the_page_is_put_together_is_on_it() -> None:
    """The page says on which revision it rests: all that checks allow there is on it."""
    opening = many(1, start=200, state=RecordingState.RESTRICTED)
    desk = Desk(Ward(*PEOPLE, *many(3, start=100), *opening, *many(30, "bea", start=50), *many(4)))
    ward = desk.ward
    ward.before_chunk[2] = lambda: ward.change("r0200", state=RecordingState.ACTIVE)

    outcome = await desk.page(ANA._replace(page_size=8))

    assert ids(outcome) == names(200, 102, 101, 100, 3, 2, 1, 0) == desk.allowed(ANA)
    assert outcome.record.facts_revision == ward.revision
    assert outcome.record.is_last
    assert ward.chunks == [16, 32, 192]


async def test_a_registry_that_moves_at_every_chunk_is_met_with_one_chunk() -> None:
    """Whatever is written, candidates that come together rest on one state."""
    desk = Desk(Ward(*PEOPLE, *many(3, start=100), *many(300, "bea", start=200), *many(4)))
    ward = desk.ward
    newer = count(600)
    for number in range(2, 9):
        ward.before_chunk[number] = lambda: ward.put(*recorded(f"r{next(newer):04}", "ana", 900))

    outcome = await desk.page()

    assert ids(outcome) == desk.allowed(ANA)
    assert outcome.record.facts_revision == ward.revision
    assert ward.chunks == [57, 114, 684]


async def test_a_page_that_cannot_be_put_together_is_refused() -> None:
    """Rather than one that holds what was never so at any one revision."""
    desk = Desk(Ward(*PEOPLE, *many(400, "bea", start=100), *many(2)))
    ward = desk.ward
    for number in range(1, 20):
        ward.before_chunk[number] = lambda: ward.put(patient("cid"))

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(page_filling, "MOST_AT_ONE_REVISION", 100)
        with pytest.raises(FactsUnavailableError, match="changes faster"):
            await desk.page()
    assert len(ward.chunks) == 2 * page_filling.WALKS
    assert desk.journal.lines == []


async def test_all_is_judged_at_one_time() -> None:
    """Also where it came in chunks: what is allowed from then on is on a later page, or list."""
    desk = Desk(Ward(*PEOPLE, *many(3, start=100), *many(30, "bea", start=50), *many(4)))

    def tick() -> None:
        desk.clock.instant += timedelta(minutes=1)

    desk.ward.before_chunk = {2: tick, 3: tick}
    outcome = await desk.page(ANA._replace(page_size=8))

    assert len(desk.ward.chunks) == 2
    assert {row.record.evaluated_at for row in outcome.rows} == {NOON}


async def test_others_have_their_turn_while_many_are_judged() -> None:
    """A list of hundreds does not hold up checks."""
    desk = Desk(Ward(*PEOPLE, *many(500)))
    page, turns = asyncio.create_task(desk.page(ANA._replace(page_size=500))), 0
    while not page.done():
        turns += 1
        await asyncio.sleep(0)

    assert len((await page).rows) == 500
    assert turns > 500 / page_filling.STRETCH


async def test_what_is_written_while_many_are_judged_is_found_by_a_young_look() -> None:
    """Judging with pauses may take longer than facts may be old: so a look comes after it."""
    desk = Desk(Ward(*PEOPLE, *many(200)))
    ward = desk.ward
    ward.before_facts = [lambda: ward.change("r0199", state=RecordingState.DELETED)]

    outcome = await desk.page(ANA._replace(page_size=200))

    assert ids(outcome) == desk.allowed(ANA)
    assert len(outcome.rows) == 199
    assert outcome.record.facts_revision == ward.revision


async def test_at_last_all_is_judged_in_one_go() -> None:
    """However fast the registry changes, a page that fits in one chunk comes."""
    desk = Desk(Ward(*PEOPLE, *many(200)))
    ward = desk.ward
    ward.before_facts = [lambda: ward.put(patient("cid"))] * 10

    outcome = await desk.page(ANA._replace(page_size=200))

    assert len(outcome.rows) == 200
    assert outcome.record.facts_revision == ward.revision
    assert len(ward.chunks) == page_filling.WALKS


async def test_a_candidate_that_alarms_is_counted() -> None:
    """A policy that reaches another patient's recording, and facts that disagree."""
    astray = Participant("ana", ParticipantKind.CLINICIAN), Participant("bea", PATIENT)
    two = Participant("ana", PATIENT), Participant("bea", PATIENT)
    desk = Desk(Ward(*PEOPLE, *recorded("x", "bea", 3), *recorded("y", "ana", 2), *many(1)))
    desk.ward.put(Attendance("x", astray), Attendance("y", two))

    outcome = await desk.page()

    assert ids(outcome) == names(0)
    assert desk.heard.alarms == ["PATIENT_BOUNDARY", "FACTS_CONFLICT"]
    assert desk.heard.decisions == []


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"created_at": DAWN}, id="moved-to-another-place"),
        pytest.param({"created_at": None}, id="moved-to-none"),
    ],
)
async def test_what_stands_elsewhere_meanwhile_is_not_on_the_page(change: Any) -> None:
    """Or the list would not be in order, and a later page would have it again."""
    desk = Desk(Ward(*PEOPLE, *many(2, start=100), *many(30, "bea", start=50), *many(2)))
    ward = desk.ward
    ward.before_chunk[2] = lambda: ward.change("r0101", **change)

    outcome = await desk.page(ANA._replace(page_size=2))

    assert ids(outcome) == names(100, 1)


async def test_whose_recording_it_is_by_now_counts() -> None:
    """A list of one patient's shows no recording that turned out to be another's meanwhile."""
    clinician = ListRequest("finch", Action.LIST, PurposeOfUse.TREAT, patient_id="ana")
    desk = Desk(Ward(*PEOPLE, *many(2, start=100), *many(20, state=RecordingState.DELETED)))
    ward = desk.ward

    def correct() -> None:
        people = (
            Participant("bea", ParticipantKind.PATIENT),
            Participant("finch", ParticipantKind.CLINICIAN),
        )
        ward.put(Consultation("c-r0101", "uk", "bea", started_at=DAWN), Attendance("r0101", people))
        ward.change("r0101", owner_id="bea")

    ward.before_chunk[2] = correct
    outcome = await desk.page(clinician._replace(page_size=3))

    assert ids(outcome) == names(100)


async def test_the_list_ends_where_the_subject_is_suspended_meanwhile() -> None:
    desk = Desk(Ward(*PEOPLE, *many(2, start=100), *many(80, "bea")))
    ward = desk.ward
    suspended = replace(patient("ana"), status=SubjectStatus.SUSPENDED)
    ward.before_chunk[2] = lambda: ward.put(suspended)

    outcome = await desk.page()

    assert ids(outcome) == []
    assert ward.chunks == [57, 114, 684]
    assert outcome.record.considered == 0


@pytest.mark.parametrize(
    "entity",
    [
        pytest.param(replace(patient("ana"), status=SubjectStatus.SUSPENDED), id="suspended"),
        pytest.param(replace(patient("ana"), status=SubjectStatus.DECEASED), id="deceased"),
        pytest.param(Containment("x", ContainmentScope(Audience.PATIENTS)), id="all-patients"),
        pytest.param(Containment("x", ContainmentScope(action=Action.LIST)), id="all-lists"),
    ],
)
async def test_nothing_is_looked_at_for_whom_nothing_is_open(entity: Any) -> None:
    """Whatever the recording, the answer would be no: one look says so."""
    desk = Desk(Ward(*PEOPLE, *many(200), entity))

    outcome = await desk.page()

    assert (ids(outcome), outcome.record.considered) == ([], 0)
    assert len(desk.ward.chunks) == 1


async def test_a_containment_of_some_recordings_hides_those() -> None:
    some = Containment("x", ContainmentScope(recording_ids=tuple(names(1, 3))))
    desk = Desk(Ward(*PEOPLE, *many(5), some))

    assert ids(await desk.page()) == names(4, 2, 0)


async def test_a_deletion_between_pages_shifts_nothing() -> None:
    """The token names the last row that was returned, whether it is still there or not."""
    desk = Desk(Ward(*PEOPLE, *many(6)))
    first = await desk.page(ANA._replace(page_size=2))

    desk.ward.delete(FactKind.RECORDING, "r0004")
    desk.ward.put(*recorded("newer", "ana", 900))
    second = await desk.page(ANA._replace(page_size=2, page_token=first.next_page_token))

    assert (ids(first), ids(second)) == (names(5, 4), names(3, 2))


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"subject_id": "finch"}, id="subject"),
        pytest.param({"action": Action.VIEW}, id="action"),
        pytest.param({"purpose_of_use": PurposeOfUse.TREAT}, id="purpose"),
        pytest.param({"tenant_id": "uk"}, id="tenant"),
        pytest.param({"assurance": Assurance.MULTI_FACTOR}, id="assurance"),
        pytest.param({"authenticated_at": NOON}, id="authenticated-at"),
        pytest.param({"matter_id": "m"}, id="matter"),
        pytest.param({"patient_id": "ana"}, id="patient"),
        pytest.param({"created_from": DAWN}, id="from"),
        pytest.param({"created_to": NOON}, id="to"),
    ],
)
async def test_a_token_is_for_its_own_question(other: dict[str, Any]) -> None:
    """A list cannot be widened, nor handed to somebody else, page by page."""
    desk = Desk(Ward(*PEOPLE, *many(4)))
    token = (await desk.page(ANA._replace(page_size=2))).next_page_token
    lines = len(desk.journal.lines)

    with pytest.raises(InvalidRequestError, match="page_token: belongs to another question"):
        await desk.page(ANA._replace(page_token=token, **other))
    assert len(desk.journal.lines) == lines


async def test_a_token_is_for_its_own_caller_and_any_page_size() -> None:
    desk = Desk(Ward(*PEOPLE, *many(4)))
    token = (await desk.page(ANA._replace(page_size=2))).next_page_token
    asked = ANA._replace(page_size=1, page_token=token)

    assert ids(await desk.page(asked, at_least=1)) == names(1)
    with pytest.raises(InvalidRequestError, match="page_token: belongs to another question"):
        await desk.page(asked, CallContext("spiffe://a/b", "r"))


async def test_the_policy_in_force_at_the_end_judges_all() -> None:
    """Another policy in the middle of a list: no row is on it that the new one denies."""
    desk = Desk(Ward(*PEOPLE, *many(2, start=100), *many(30, "bea", start=50), *many(4)))
    desk.ward.before_chunk[2] = lambda: desk.put_in_force(OwnersOnly("new", closed=True))

    outcome = await desk.page(ANA._replace(page_size=4))

    assert (ids(outcome), outcome.record.policy_revision) == ([], "new")


async def test_candidates_are_those_that_a_rule_may_allow() -> None:
    """What the question itself rules out narrows what is looked at."""
    desk = Desk(Ward(*PEOPLE))
    fresh = ANA._replace(
        assurance=Assurance.MULTI_FACTOR, authenticated_at=NOON, matter_id="m", patient_id="ana",
        created_from=DAWN, created_to=NOON,
    )  # fmt: skip

    await desk.page()
    await desk.page(fresh)
    await desk.page(fresh._replace(authenticated_at=NOON - timedelta(minutes=6)))

    mfa, recent, matter = (
        Condition.MFA,
        Condition.RECENT_AUTHENTICATION,
        Condition.MATTER_MATCHES,
    )
    assert [impossible for _, _, impossible in desk.ruleset.asked] == [
        {mfa, recent, matter},
        set(),
        {recent},
    ]
    relations = frozenset({Relation.OWNER, Relation.ATTENDING})
    assert desk.ward.questions[1] == ("ana", relations, "ana", DAWN, NOON)


async def test_a_revision_that_is_ahead_is_said_to_be() -> None:
    desk = Desk(Ward(*PEOPLE))

    with pytest.raises(RevisionAheadError):
        await desk.page(at_least=desk.ward.revision + 1)


async def test_a_registry_that_went_back_meanwhile_is_not_the_callers_fault() -> None:
    """Restored in the middle of a list: the caller asked for no revision, and may try again."""
    desk = Desk(Ward(*PEOPLE, *many(2, start=100), *many(30, "bea", start=50)))

    def restore() -> None:
        desk.ward.revision -= 1

    desk.ward.before_chunk[2] = restore

    with pytest.raises(FactsUnavailableError, match="went back"):
        await desk.page(ANA._replace(page_size=4))
