"""The pdp as a target: facts in a `World`, and naive restatements of what lies around it.

Malformed questions are judged at the wire, so cases that expect a status are not for this target;
inside a batch it knows a malformed item when it sees one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta

from authz_service.pdp.assembly import World
from authz_service.pdp.corroboration import corroborated_patient_id
from authz_service.pdp.decide import decide
from authz_service.pdp.emergency import OpeningRequest, judge_opening
from authz_service.pdp.entities import Entity, Grant, Recording
from authz_service.pdp.entity_plain import fact_from_plain, parse_instant
from authz_service.pdp.entity_words import EmergencyGround, FactKind, GrantKind
from authz_service.pdp.facts import Fact, FactReference
from authz_service.pdp.model import (
    AccessRequest,
    Action,
    Assurance,
    Decision,
    Effect,
    Instant,
    PurposeOfUse,
    is_id,
)
from authz_service.pdp.reasons import reason_for
from authz_service.pdp.ruleset import Ruleset
from tests.golden.scenarios import Case, Plain
from tests.golden.target import Answer, Failure, OpenTarget, Page, Row, Setting, Target
from tests.opening_facts import known_in

_WINDOW = {"created_from": "0001-01-01T00:00:00Z", "created_to": "9999-12-31T00:00:00Z"}
_STOPS = {"DENY_ON_FIRST_DENY": "DENY", "ALLOW_ON_FIRST_ALLOW": "ALLOW"}


def opening_pdp_targets(ruleset_of: Callable[[tuple[str, ...] | None], Ruleset]) -> OpenTarget:
    """Return what opens a `PdpTarget` for a case, with the ruleset of the case's rows."""

    @asynccontextmanager
    async def opened(setting: Setting) -> AsyncIterator[Target]:
        yield PdpTarget(ruleset_of(setting.rules), parse_instant(setting.clock), setting.plain)

    def open_target(setting: Setting) -> AbstractAsyncContextManager[Target]:
        return opened(setting)

    return open_target


class PdpTarget:
    """Answers by `decide` on facts held in memory."""

    def __init__(self, ruleset: Ruleset, now: Instant, plain: bool) -> None:  # noqa: FBT001  # as in `Setting`
        self._ruleset = ruleset
        self._now = now
        self._plain = plain
        self._facts: dict[FactReference, Fact[Entity]] = {}
        self._disputed: set[str] = set()
        self._world: World | None = None

    async def write_facts(self, facts: Sequence[Plain]) -> None:
        """Store *facts*; an owner changed after all had agreed leaves the recording disputed."""
        before = World(self._facts.values(), self._disputed)
        for fact in (fact_from_plain(dict(plain)) for plain in facts):
            reference = FactReference(fact.kind, fact.entity.id)
            stored = self._facts.get(reference)
            if stored is not None and fact.observed_at < stored.observed_at:
                continue
            if stored is not None and _changes_owner(before, stored.entity, fact.entity):
                self._disputed.add(fact.entity.id)
            self._facts[reference] = fact
        self._world = None

    async def contain(self, case: Case) -> None:
        """Store the containments of *case* as facts."""
        if case.containments:
            await self.write_facts(case.containments)

    async def check(self, question: Plain) -> Answer | Failure:
        """Decide."""
        answer = self._answer(question)
        return answer if answer is not None else Failure("INVALID_ARGUMENT")

    async def batch(self, question: Plain) -> Sequence[Answer | None] | Failure:
        """Decide one after the other, up to the stop."""
        stop = _STOPS.get(question["semantics"])
        results: list[Answer | None] = []
        stopped = False
        for item in question["checks"]:
            if stopped:
                results.append(None)
                continue
            answer = self._answer({**question.get("defaults", {}), **item})
            results.append(answer or Answer("DENY", "INVALID_REQUEST", {}))
            stopped = stop == (answer.effect if answer else "DENY")
        return results

    async def open(self, question: Plain) -> Answer | Failure:
        """Judge an opening, and keep what it leaves."""
        request = opening_of(question)
        if request is None:
            return Failure("INVALID_ARGUMENT")
        known = known_in(self._read(), request.subject_id, request.patient_id)
        decision = judge_opening(request, known, self._ruleset, self._now)
        if decision.effect is Effect.ALLOW:
            self._keep(request)
        return Answer(
            decision.effect.value,
            reason_for(decision.reason, may_explain=not self._plain).value,
            {"subject_id": request.subject_id, "patient_id": request.patient_id},
            {"obligations": decision.obligations},
        )

    def _keep(self, request: OpeningRequest) -> None:
        """Keep the grant that an opening leaves, for half an hour."""
        grant = Grant(
            f"opened-{len(self._facts)}",
            GrantKind.EMERGENCY,
            request.subject_id,
            patient_id=request.patient_id,
            actions=(Action.LIST, Action.READ_METADATA, Action.VIEW),
            valid_from=self._now,
            valid_to=self._now + timedelta(minutes=30),
            approved_by="emergency-access",
        )
        self._facts[FactReference(FactKind.GRANT, grant.id)] = Fact(grant, "", self._now)
        self._world = None

    async def page(self, question: Plain) -> Page | Failure:
        """Decide on every recording there is; a token says how many rows came before."""
        rows = sorted(self._rows(question), key=lambda row: (row.created_at, row.recording_id))
        rest = rows[::-1][int(question.get("page_token", 0)) :]
        size = question.get("page_size") or 50
        echo = {
            "subject_id": question["subject"]["id"],
            "action": question.get("action", "LIST"),
            "patient_id": question.get("patient_id", ""),
        }
        token = str(len(rows) - len(rest) + size) if len(rest) > size else ""
        return Page(tuple(rest[:size]), token, echo)

    def _rows(self, question: Plain) -> Iterator[Row]:
        """Yield the recordings that are allowed, among those that *question* asks for."""
        start, end = (parse_instant(question.get(each, edge)) for each, edge in _WINDOW.items())
        for fact in self._facts.values():
            made = fact.entity.created_at if isinstance(fact.entity, Recording) else None
            request = request_of({"action": "LIST", **question, "recording_id": fact.entity.id})
            if made is None or request is None or not start <= made < end:
                continue
            decision = self._decision(request)
            whose = decision.patient_id
            if decision.effect is Effect.ALLOW and question.get("patient_id", whose) == whose:
                yield Row(request.recording_id, str(whose), made)

    def _answer(self, question: Plain) -> Answer | None:
        request = request_of(question)
        return None if request is None else self._told(request, self._decision(request))

    def _decision(self, request: AccessRequest) -> Decision:
        facts = self._read().facts_for(request.subject_id, request.recording_id)
        return decide(request, facts, self._ruleset, self._now)

    def _read(self) -> World:
        if self._world is None:
            self._world = World(self._facts.values(), self._disputed)
        return self._world

    def _told(self, request: AccessRequest, decision: Decision) -> Answer:
        assert (decision.effect is Effect.ALLOW) == (decision.reason == "RULE_ALLOWED")
        return Answer(
            decision.effect.value,
            reason_for(decision.reason, may_explain=not self._plain).value,
            {
                "subject_id": request.subject_id,
                "recording_id": request.recording_id,
                "action": request.action.value,
            },
            {"obligations": decision.obligations},
        )


def request_of(question: Plain) -> AccessRequest | None:
    """Return *question* as the pdp knows it, or None where it is malformed."""
    try:
        context = question["context"]
        authenticated_at = context.get("authenticated_at")
        assurance = context.get("assurance")
        request = AccessRequest(
            question["subject"]["id"],
            question["recording_id"],
            Action(question["action"]),
            PurposeOfUse(context["purpose_of_use"]),
            question.get("tenant_id"),
            None if assurance is None else Assurance(assurance),
            None if authenticated_at is None else parse_instant(authenticated_at),
            context.get("matter_id"),
        )
    except (KeyError, ValueError):
        return None
    ids = (request.subject_id, request.recording_id, request.tenant_id, request.matter_id)
    return request if all(one is None or is_id(one) for one in ids) else None


def opening_of(question: Plain) -> OpeningRequest | None:
    """Return *question* for emergency access as the pdp knows it, or None where it is malformed."""
    recording = {"recording_id": "none", "action": "VIEW"}
    view = request_of({**question, **recording})
    patient_id, reason = question.get("patient_id", ""), question.get("reason", "")
    if view is None or not is_id(patient_id) or not reason.strip():
        return None
    try:
        ground = EmergencyGround(question["ground"])
    except (KeyError, ValueError):
        return None
    return OpeningRequest(
        view.subject_id,
        patient_id,
        view.purpose_of_use,
        ground,
        reason,
        view.tenant_id,
        view.assurance,
        view.authenticated_at,
        view.matter_id,
    )


def _changes_owner(before: World, stored: Entity, written: Entity) -> bool:
    """Whether *written* names another owner than a recording had when all facts agreed."""
    if not isinstance(stored, Recording) or not isinstance(written, Recording):
        return False
    if stored.owner_id == written.owner_id:
        return False
    facts = before.facts_for(stored.owner_id or "", stored.id)
    return facts.recording is not None and bool(
        corroborated_patient_id(facts.recording, facts.patient)
    )
