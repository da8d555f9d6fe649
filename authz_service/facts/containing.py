"""Setting, lifting and reading containments, each inside of one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final, cast

from authz_service.facts.decoding import entity_of
from authz_service.facts.notes import record_note
from authz_service.facts.revisions import state
from authz_service.facts.rows import entity_in, fact_of, stored_rows
from authz_service.facts.sessions import Session
from authz_service.facts.writing import Leave, write_facts
from authz_service.operations.containments import ContainmentChange, Demand, is_lifted
from authz_service.operations.writes import Tenants
from authz_service.pdp.entities import Containment
from authz_service.pdp.entity_words import FactKind
from authz_service.pdp.errors import NotFoundError, StateError
from authz_service.pdp.facts import Fact, FactReference
from authz_service.pdp.model import Instant
from authz_service.pdp.plain_fields import format_instant

_TAKE_TURN: Final = "UPDATE facts_revision SET revision = revision"
"""Changes nothing, and keeps every other write out until the end of this one."""
_ALL: Final = "SELECT value FROM containments WHERE value IS NOT NULL"
_LEAST: Final = timedelta(microseconds=1)


def set_containment(
    session: Session, fact: Fact[Containment], *, actor: str, now: Instant, within: Tenants
) -> ContainmentChange:
    """Write a new containment.

    Raises:
        CallerNotAllowedError: Its scope names none of the tenants in *within*.
        StateError: There is one of that id.
    """
    written = write_facts(
        session, [fact], actor=actor, now=now, naming=_unnamed, leave=Leave(within)
    )
    return ContainmentChange(fact.entity, written.revision)


def lift_containment(
    session: Session, containment_id: str, demand: Demand, *, now: Instant, within: Tenants
) -> ContainmentChange:
    """Write that a containment is lifted from *now* on, and keep the reason beside it.

    Raises:
        NotFoundError: There is none of that id, or not in the tenants of *within*.
        StateError: It is lifted already, or *demand* is by who set it.
    """
    session.run(_TAKE_TURN)
    state(session)
    reference = FactReference(FactKind.CONTAINMENT, containment_id)
    stored = stored_rows(session, [reference]).get(reference)
    containment = cast("Containment | None", entity_in(FactKind.CONTAINMENT, stored))
    what = f"containment {containment_id}"
    if stored is None or containment is None or not _is_within(containment, within):
        raise NotFoundError(what)
    if containment.lifted_at is not None and is_lifted(containment, now):
        raise StateError(what, f"is lifted since {format_instant(containment.lifted_at)}")
    lifted = replace(containment, lifted_by=demand.actor, lifted_at=now)
    seen_at = max(now, fact_of(FactKind.CONTAINMENT, stored).observed_at + _LEAST)
    written = write_facts(
        session,
        [Fact(lifted, demand.source, seen_at)],
        actor=demand.actor,
        now=now,
        naming=_unnamed,
        leave=Leave(within),
    )
    record_note(session, reference, written.revision, demand.reason)
    return ContainmentChange(lifted, written.revision)


def read_containments(session: Session, within: Tenants) -> tuple[Sequence[Containment], int]:
    """Return every containment of the tenants in *within*, lifted ones too, and the revision."""
    revision, _nonce = state(session)
    found = [entity_of(FactKind.CONTAINMENT, row[0]) for row in session.rows(_ALL)]
    return [one for one in found if _is_within(one, within)], revision


def _is_within(containment: Containment, within: Tenants) -> bool:
    """Whether the scope of *containment* names one of the tenants in *within*."""
    return within is None or containment.scope.tenant_id in within


def _unnamed(_index: int) -> str:
    """Call the only fact of a write by its kind alone."""
    return ""
