"""One write, from facts to rows, changes and a revision; inside a transaction that others await."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from authz_service.facts.changes import Change, make_changes
from authz_service.facts.decoding import to_microseconds
from authz_service.facts.deeds import Deeds, deeds_of
from authz_service.facts.disputes import dispute, note_established, owned_by_moved, recordings_of
from authz_service.facts.links import links_around
from authz_service.facts.persons import Hand, check_kept, check_persons, require_review
from authz_service.facts.reach import forget_reach, note_reach
from authz_service.facts.replaced import keep_replaced
from authz_service.facts.revisions import (
    Write,
    begin_write,
    record_attributions,
    record_changes,
    record_write,
)
from authz_service.facts.rows import Stored, entity_in, stored_rows
from authz_service.facts.sessions import Session
from authz_service.facts.tenancy import references_within, require_facts_within
from authz_service.facts.touched import touched_keys
from authz_service.facts.write_rules import (
    Verdict,
    check_batch,
    check_deletion,
    check_entity,
    check_observed,
    judge,
    value_of,
)
from authz_service.operations.writes import Tenants
from authz_service.pdp.entities import Entity
from authz_service.pdp.entity_words import FactKind
from authz_service.pdp.facts import Fact, FactReference
from authz_service.pdp.model import Instant

_OF_ONE_RECORDING = (FactKind.RECORDING, FactKind.ATTENDANCE)

Naming = Callable[[int], str]
"""What stands in errors before the fields of the fact at an index."""


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a write.

    Attributes:
        revision: The registry's revision afterwards.
        written: How many facts were written or deleted.
        skipped: How many were left out because a later observation is stored.
        unchanged: How many were stored already, word for word.
        recordings: The recordings whose patient the write may have changed, and those that it
            named as they are: a write that is sent again tells of their conflicts again.
        deeds: What it stopped, lifted and reviewed.
    """

    revision: int
    written: int
    skipped: int
    unchanged: int
    recordings: frozenset[str]
    deeds: Deeds


class Leave(NamedTuple):
    """What whoever writes may.

    Attributes:
        within: The tenants to whose facts they are bound.
        may_review: Whether they may change reviews.
        replays: Whether they write what others did before them, as an import does.
    """

    within: Tenants = None
    may_review: bool = True
    replays: bool = False


EVERY_LEAVE: Final = Leave()


def in_facts(index: int) -> str:
    """Call a fact by its place in a write."""
    return f"facts[{index}]."


def in_references(index: int) -> str:
    """Call a reference by its place in a deletion."""
    return f"references[{index}]."


def write_facts(
    session: Session,
    facts: Sequence[Fact[Entity]],
    *,
    actor: str,
    now: Instant,
    naming: Naming = in_facts,
    leave: Leave = EVERY_LEAVE,
) -> Written:
    """Write *facts*; the session is discarded where nothing is written.

    Args:
        session: A transaction that writes.
        facts: What is to be written.
        actor: Who is answerable for it.
        now: When it is recorded.
        naming: What stands before the fields of each fact in errors.
        leave: What whoever writes may.

    Raises:
        InvalidRequestError: A fact is malformed, or there are too many.
        CallerNotAllowedError: A fact is not of the caller's tenants, or a review changes.
        StateError: A fact would clear a revocation or a review, contradicts one of the same
            instant, or has somebody lift or review what takes another person.
    """
    names = [naming(index) for index in range(len(facts))]
    references = [FactReference(fact.kind, fact.entity.id) for fact in facts]
    check_batch(references, names)
    for fact, name in zip(facts, names, strict=True):
        check_entity(fact.entity, name)
        check_observed(fact.observed_at, name, now)
    values = [
        value_of(fact.entity, f"{name}{fact.kind}") for fact, name in zip(facts, names, strict=True)
    ]
    named = dict(zip(references, names, strict=True))
    write = begin_write(session, actor, to_microseconds(now))
    stored = stored_rows(session, references)
    require_facts_within(session, leave.within, facts, stored, named)
    verdicts: Counter[Verdict] = Counter()
    changes = []
    unchanged: set[str] = set()
    for fact, reference, value, name in zip(facts, references, values, names, strict=True):
        verdict = judge(fact, value, stored.get(reference), name)
        verdicts[verdict] += 1
        if verdict is Verdict.UNCHANGED and reference.kind in _OF_ONE_RECORDING:
            unchanged.add(reference.id)
        if verdict is Verdict.WRITE:
            row = Stored(value, fact.source, to_microseconds(fact.observed_at), write.revision)
            before = stored.get(reference)
            old = entity_in(reference.kind, before)
            change = Change(reference, old, fact.entity, row, before)
            check_kept(change, name)
            changes.append(change)
    if not leave.may_review:
        require_review(changes, named)
    check_persons(session, changes, Hand(actor, replays=leave.replays), named)
    return _committed(session, write, changes, verdicts, unchanged)


def delete_facts(
    session: Session,
    references: Sequence[FactReference],
    *,
    actor: str,
    now: Instant,
    leave: Leave = EVERY_LEAVE,
) -> Written:
    """Delete facts; the session is discarded where nothing is deleted.

    What is not known to be of the caller's tenants is passed over, like what is not stored.

    Raises:
        InvalidRequestError: A fact stands twice among the references, or there are too many.
        CallerNotAllowedError: A review would go.
        StateError: A fact denies something or is evidence, and stays.
    """
    names = [in_references(index) for index in range(len(references))]
    check_batch(references, names)
    write = begin_write(session, actor, to_microseconds(now))
    stored = stored_rows(session, references)
    own = references_within(session, leave.within, stored)
    disputed = _disputed(session, references)
    changes = []
    for reference, name in zip(references, names, strict=True):
        entity = entity_in(reference.kind, stored.get(reference))
        if entity is None or reference not in own:
            continue
        check_deletion(
            entity, f"{name}{reference.kind}", disputed=reference.id in disputed, now=now
        )
        before = stored[reference]
        observed_at = max(before.observed_at, write.recorded_at)
        row = Stored(None, before.source, observed_at, write.revision)
        changes.append(Change(reference, entity, None, row, before))
    if not leave.may_review:
        require_review(changes, dict(zip(references, names, strict=True)))
    return _committed(session, write, changes, Counter({Verdict.WRITE: len(changes)}))


def _committed(
    session: Session,
    write: Write,
    changes: Sequence[Change],
    verdicts: Mapping[Verdict, int],
    unchanged: Collection[str] = (),
) -> Written:
    """Make *changes*, or discard the session where there are none."""
    recordings = frozenset(unchanged)
    if changes:
        recordings |= _make(session, write, changes)
    else:
        session.discard()
    return Written(
        write.revision if changes else write.revision - 1,
        verdicts[Verdict.WRITE],
        verdicts[Verdict.SKIP],
        verdicts[Verdict.UNCHANGED],
        recordings,
        deeds_of(changes),
    )


def _make(session: Session, write: Write, changes: Sequence[Change]) -> frozenset[str]:
    """Make *changes* with all that follows; return the recordings that they may unsettle."""
    relinked = frozenset(change.id for change in changes if change.relinks)
    before = links_around(session, relinked)
    booked = recordings_of(session, changes)
    note_established(session, changes)
    unsettled = forget_reach(session, changes)
    keep_replaced(session, changes, write.revision)
    make_changes(session, changes)
    note_reach(session, changes, unsettled)
    after = links_around(session, relinked)
    disputed = dispute(session, changes, write.revision)
    touched = [(change, touched_keys(change, booked, (before, after))) for change in changes]
    record_changes(session, write, touched)
    record_attributions(session, write, dict.fromkeys(disputed, True))
    record_write(session, write, len(changes))
    witnesses = {FactKind.RECORDING, FactKind.ATTENDANCE, FactKind.CONSULTATION}
    return owned_by_moved(session, changes) | {
        key.id for change, keys in touched if change.kind in witnesses for key in keys
    }


def _disputed(session: Session, references: Sequence[FactReference]) -> set[str]:
    """Return the ids among *references* of recordings that are disputed."""
    ids = [one.id for one in references if one.kind is FactKind.RECORDING]
    if not ids:
        return set()
    statement = "SELECT recording_id FROM attributions WHERE recording_id = ANY(:ids) AND disputed"
    return {row[0] for row in session.rows(statement, {"ids": ids})}
