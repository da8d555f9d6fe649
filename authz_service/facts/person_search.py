"""Finds everything that is stored about a person: where it stands, in the order of an export.

A fact is found by the text of its value, and kept if one of its fields does name the person, or a
recording of theirs; so no index has to know of a field, and all rows are looked at. It is for
access requests, which are few.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Final, NamedTuple

from authz_service.facts.belonging import known_tenants
from authz_service.facts.naming import persons_in, recordings_in
from authz_service.facts.revisions import state
from authz_service.facts.rows import made_fact, stored_rows
from authz_service.facts.schema import PLURALS
from authz_service.facts.sessions import Session
from authz_service.operations.writes import Tenants
from authz_service.pdp.entities import Consultation, Entity
from authz_service.pdp.entity_words import FactKind
from authz_service.pdp.errors import NotFoundError
from authz_service.pdp.facts import Fact, FactReference

_PAGE: Final = 100
_RECORDINGS: Final = (
    "SELECT id FROM recordings WHERE owner_id = :person"
    " UNION SELECT recording_id FROM attributions WHERE patient_id = :person"
)
_CONSULTATIONS: Final = (
    "SELECT consultation_id FROM recordings WHERE id = ANY(:ids) AND consultation_id IS NOT NULL"
)
_OF_THEM: Final = {
    FactKind.RECORDING: "SELECT id FROM recordings WHERE id = ANY(:recordings)",
    FactKind.ATTENDANCE: "SELECT id FROM attendances WHERE id = ANY(:recordings)",
    FactKind.GRANT: "SELECT id FROM grants WHERE recording_id = ANY(:recordings)",
    FactKind.CONSULTATION: "SELECT id FROM consultations WHERE id = ANY(:consultations)",
    FactKind.CONTAINMENT: "SELECT id FROM containments WHERE value IS NOT NULL",
}
"""Facts that may be about recordings of theirs without naming the person."""
_MENTIONED: Final = "SELECT DISTINCT kind, id FROM past_mentions WHERE named_id = ANY(:named)"
_PAST_OF: Final = (
    "SELECT revision FROM fact_changes WHERE kind = :kind AND id = :id"
    " AND NOT in_place AND value IS NOT NULL"
)
_PAST: Final = (
    "SELECT revision, kind, id, value, source, observed_at FROM fact_changes"
    " WHERE revision = :revision AND kind = :kind AND id = :id"
)
_NOTES: Final = "SELECT revision, note FROM fact_notes WHERE kind = :kind AND id = :id"
_REASONS: Final = (
    "SELECT recording_id, resolved_at_revision, resolved_reason FROM attributions"
    " WHERE recording_id = ANY(:ids) AND resolved_reason IS NOT NULL ORDER BY recording_id"
)


class PastVersion(NamedTuple):
    """Where an earlier version of a fact stands."""

    kind: str
    id: str
    revision: int


class Found(NamedTuple):
    """Where all that is stored about a person stands.

    Attributes:
        revision: The registry's revision.
        facts: The facts.
        past: Their earlier versions, and those of facts that named the person once.
        notes: What was typed about them.
    """

    revision: int
    facts: tuple[FactReference, ...]
    past: tuple[PastVersion, ...]
    notes: tuple[str, ...]


class Whom(NamedTuple):
    """Of whom, and which recordings and appointments are theirs."""

    person: str
    recordings: frozenset[str]
    consultations: frozenset[str]

    def concerns(self, entity: Entity) -> bool:
        """Whether *entity* names the person, or is about a recording of theirs."""
        return (
            self.person in persons_in(entity)
            or not self.recordings.isdisjoint(recordings_in(entity))
            or (isinstance(entity, Consultation) and entity.id in self.consultations)
        )


def find_person(session: Session, person: str, within: Tenants) -> Found:
    """Return where all that is stored about *person* stands, in *session*'s snapshot.

    Raises:
        NotFoundError: Nothing is; or the person is not known to be of *within*.
    """
    revision, _nonce = state(session)
    subject = FactReference(FactKind.SUBJECT, person)
    if within is not None and not list(_only(session, [subject], None, within)):
        raise NotFoundError(f"subject {person}")
    recordings = frozenset(row[0] for row in session.rows(_RECORDINGS, {"person": person}))
    booked = session.rows(_CONSULTATIONS, {"ids": recordings}) if recordings else []
    whom = Whom(person, recordings, frozenset(row[0] for row in booked))
    facts = tuple(
        reference
        for kind in FactKind
        for reference in _only(session, _candidates(session, kind, whom), whom, within)
    )
    past = tuple(_past(session, whom, within))
    if not facts and not past:
        raise NotFoundError(f"subject {person}")
    noted = dict.fromkeys([*facts, *(FactReference(FactKind(p.kind), p.id) for p in past)])
    return Found(revision, facts, past, tuple(_notes(session, list(noted))))


def past_fact(session: Session, version: PastVersion) -> Fact[Entity] | None:
    """Return an earlier version of a fact."""
    row = session.one(_PAST, version._asdict())
    if row is None or row[3] is None:
        return None
    revision, kind, _id, value, source, observed_at = row
    return made_fact(FactKind(kind), value, source, observed_at, revision)


def _contains(session: Session) -> str:
    """Return the condition that a value holds a text; ids have no characters that JSON escapes."""
    return "instr(value, :text) > 0" if session.is_sqlite else "strpos(value, :text) > 0"


def _candidates(session: Session, kind: FactKind, whom: Whom) -> list[FactReference]:
    """Return the facts of *kind* that may concern *whom*, by id."""
    statement = f"SELECT id FROM {PLURALS[kind]} WHERE value IS NOT NULL AND {_contains(session)}"  # noqa: S608  # ours
    ids = {row[0] for row in session.rows(statement, {"text": f'"{whom.person}"'})}
    if kind in _OF_THEM and whom.recordings:
        theirs = {"recordings": whom.recordings, "consultations": whom.consultations}
        ids.update(row[0] for row in session.rows(_OF_THEM[kind], theirs))
    return [FactReference(kind, one) for one in sorted(ids)]


def _only(
    session: Session, references: Sequence[FactReference], whom: Whom | None, within: Tenants
) -> Iterator[FactReference]:
    """Yield those of *references* that concern *whom*, anybody if None, and are of *within*."""
    for start in range(0, len(references), _PAGE):
        page = references[start : start + _PAGE]
        found = stored_rows(session, page)
        facts = {
            one: made_fact(one.kind, row.value, row.source, row.observed_at, row.revision)
            for one in page
            if (row := found.get(one)) is not None and row.value is not None
        }
        concerning = {
            one: fact.entity
            for one, fact in facts.items()
            if whom is None or whom.concerns(fact.entity)
        }
        yield from _within(session, concerning, within)


def _within(
    session: Session, entities: dict[FactReference, Entity], within: Tenants
) -> Iterator[FactReference]:
    """Yield those of *entities* that are known to be of *within*."""
    if within is None:
        yield from entities
        return
    known = known_tenants(session, entities.values())
    yield from (one for one, entity in entities.items() if known.is_within(entity, within))


def _past(session: Session, whom: Whom, within: Tenants) -> Iterator[PastVersion]:
    """Yield the earlier versions of facts that concern *whom* and are of *within*."""
    for version in sorted(_past_candidates(session, whom)):
        kind = FactKind(version.kind)
        reference = FactReference(kind, version.id)
        now = stored_rows(session, [reference]).get(reference)
        fact = past_fact(session, version)
        if fact is None or (now is not None and now.revision == version.revision):
            continue
        if whom.concerns(fact.entity) and list(_within(session, {reference: fact.entity}, within)):
            yield version


def _past_candidates(session: Session, whom: Whom) -> set[PastVersion]:
    """Return the versions that may concern *whom*: by their text, or as noted when replaced."""
    statement = (
        "SELECT kind, id, revision FROM fact_changes"  # noqa: S608  # a condition of ours
        f" WHERE NOT in_place AND value IS NOT NULL AND {_contains(session)}"
    )
    rows = session.rows(statement, {"text": f'"{whom.person}"'})
    found = {PastVersion(*row) for row in rows if row[0] in _KINDS}
    for kind, fact_id in session.rows(_MENTIONED, {"named": {whom.person, *whom.recordings}}):
        revisions = session.rows(_PAST_OF, {"kind": kind, "id": fact_id})
        found.update(PastVersion(kind, fact_id, row[0]) for row in revisions)
    return found


def _notes(session: Session, references: Collection[FactReference]) -> Iterator[str]:
    """Yield what was typed about *references*, each with its fact and revision."""
    for one in references:
        for revision, note in session.rows(_NOTES, {"kind": one.kind.value, "id": one.id}):
            yield f"{one.kind}/{one.id}, revision {revision}: {note}"
    ids = {one.id for one in references if one.kind is FactKind.RECORDING}
    for recording_id, revision, reason in session.rows(_REASONS, {"ids": ids}) if ids else ():
        yield f"recording/{recording_id}, revision {revision}: {reason}"


_KINDS: Final = frozenset(kind.value for kind in FactKind)
