"""Each thing that binds before the policy, as changes that would lift it.

What no single change lifts, or none that may be imagined away, has none here: nobody known, another
tenant, facts that are missing or name different patients, and staff who are the patient or kin.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from authz_service.pdp.entities import Recording
from authz_service.pdp.entity_words import HoldKind, RecordingState, SubjectStatus
from authz_service.pdp.facts import Facts, RecordingFacts
from authz_service.pdp.imagining import Change, Edit, each_then_all, is_disputed
from authz_service.pdp.invariants import is_contained
from authz_service.pdp.model import AccessRequest, Instant, Reason

_Opened = Callable[[AccessRequest, Recording], Iterable[tuple[str, Recording]]]


def opening(reason: Reason, request: AccessRequest, facts: Facts, now: Instant) -> Iterator[Change]:
    """Yield what may turn a denial for *reason*, which came before the policy."""
    if reason is Reason.CONTAINED:
        yield from each_then_all("containment {} is lifted", _lifted(request, facts, now))
    elif reason in {Reason.SUBJECT_SUSPENDED, Reason.SUBJECT_DECEASED} and facts.subject:
        active = replace(facts.subject.subject, status=SubjectStatus.ACTIVE)
        yield Change(f"subject {active.id} is ACTIVE", (Edit(active),))
    elif facts.recording is not None and reason is Reason.FACTS_CONFLICT:
        yield from _settled(facts.recording)
    elif facts.recording is not None and reason in _OPENED:
        for words, recording in _OPENED[reason](request, facts.recording.recording.entity):
            yield Change(words, (Edit(recording),))


def _lifted(request: AccessRequest, facts: Facts, now: Instant) -> list[Edit]:
    """Return the containments in force that cover the question, as lifted."""
    return [
        Edit(replace(each, lifted_at=now))
        for each in facts.containments
        if is_contained(request, facts._replace(containments=(each,)), now)
    ]


def _settled(facts: RecordingFacts) -> Iterator[Change]:
    """Yield what may end a conflict in which all facts name one patient."""
    recording, consultation = facts.recording.entity, facts.consultation
    if is_disputed(facts):
        words = f"the dispute about the owner of recording {recording.id} is resolved"
        yield Change(words, (Edit(recording),), settles=True)
    if consultation is None:
        return
    booked = consultation.entity
    here = replace(booked, tenant_id=recording.tenant_id)
    yield Change(f"consultation {booked.id} is of the recording's tenant", (Edit(here),))
    began = replace(booked, started_at=recording.created_at)
    yield Change(f"consultation {booked.id} began before the recording", (Edit(began),))


def _active(_request: AccessRequest, recording: Recording) -> Iterator[tuple[str, Recording]]:
    """Yield the recording as an open one."""
    words = f"recording {recording.id} is ACTIVE, and not {recording.state.value}"
    yield words, replace(recording, state=RecordingState.ACTIVE)


def _retained(_request: AccessRequest, recording: Recording) -> Iterator[tuple[str, Recording]]:
    """Yield the recording without an end of its retention."""
    yield (
        f"the retention of recording {recording.id} is not over",
        replace(recording, retention_until=None),
    )


def _thawed(request: AccessRequest, recording: Recording) -> Iterator[tuple[str, Recording]]:
    """Yield the recording without the freezes that keep the subject out."""
    freezing = [
        hold
        for hold in recording.holds
        if hold.kind is HoldKind.FREEZE and request.subject_id not in hold.viewers
    ]
    yield from _without(recording, [hold.matter_id for hold in freezing], HoldKind.FREEZE)


def _released(_request: AccessRequest, recording: Recording) -> Iterator[tuple[str, Recording]]:
    """Yield the recording without its holds."""
    yield from _without(recording, [hold.matter_id for hold in recording.holds], None)


def _without(
    recording: Recording, matters: list[str], kind: HoldKind | None
) -> Iterator[tuple[str, Recording]]:
    """Yield the recording without the holds for *matters*, of *kind* where one is named."""
    kept = tuple(
        hold
        for hold in recording.holds
        if hold.matter_id not in matters or kind not in (None, hold.kind)
    )
    names = " and ".join(sorted(set(matters)))
    words = f"the legal hold on recording {recording.id} for matter {names} is lifted"
    yield words, replace(recording, holds=kept)


def _unsealed(request: AccessRequest, recording: Recording) -> Iterator[tuple[str, Recording]]:
    """Yield the recording as one that names the subject among its viewers, then unsealed."""
    viewers = (*recording.named_viewers, request.subject_id)
    words = f"the seal of recording {recording.id} names {request.subject_id} as a viewer"
    yield words, replace(recording, named_viewers=viewers)
    yield f"recording {recording.id} is not sealed", replace(recording, sealed=False)


_OPENED: dict[Reason, _Opened] = {
    Reason.RECORDING_QUARANTINED: _active,
    Reason.RECORDING_DELETED: _active,
    Reason.RECORDING_PROCESSING: _active,
    Reason.RECORDING_RESTRICTED: _active,
    Reason.RETENTION_EXPIRED: _retained,
    Reason.LEGAL_HOLD_FROZEN: _thawed,
    Reason.LEGAL_HOLD: _released,
    Reason.SEALED: _unsealed,
}
"""What closes a recording by what stands on it, and the recording without that."""
