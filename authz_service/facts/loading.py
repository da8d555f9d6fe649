"""The values that checks rest on, built from rows: two exchanges, however many questions.

For a recording that no fact knows as well: one exchange less would tell that there is none.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final

from authz_service.facts.decoding import entity_of
from authz_service.facts.links import EDGES, Links
from authz_service.facts.reader import CONTAINMENTS_KEY, Key, Load, Value
from authz_service.facts.recordings import RECORDINGS, recording_of
from authz_service.facts.revisions import STATE, checked_state
from authz_service.facts.rows import made_fact
from authz_service.facts.sessions import Query, Row, Session
from authz_service.pdp.assembly import patient_facts, subject_facts
from authz_service.pdp.entities import Containment, Subject, Tenant
from authz_service.pdp.entity_words import FactKind
from authz_service.pdp.facts import Fact, PatientFacts, RecordingFacts

_GRANTS_ON_RECORDINGS: Final = Query(
    "SELECT recording_id, value, source, observed_at, revision FROM grants"
    " WHERE recording_id = ANY(:recordings) AND value IS NOT NULL",
    columns=5,
)
_PEOPLE: Final = Query(
    "SELECT s.id, s.value, s.tenant_id, t.value FROM subjects s"
    " LEFT JOIN tenants t ON t.id = s.tenant_id AND t.value IS NOT NULL"
    " WHERE s.id = ANY(:people) AND s.value IS NOT NULL",
    columns=4,
)
_OF_PATIENTS: Final = Query(
    " UNION ALL ".join(
        f"SELECT '{kind.value}', patient_id, value, source, observed_at, revision FROM {table}"  # noqa: S608  # names of ours
        f" WHERE patient_id = ANY(:patients) AND value IS NOT NULL{more}"
        for kind, table, more in (
            (FactKind.DELEGATION, "delegations", ""),
            (FactKind.BLOCK, "blocks", ""),
            (FactKind.RELATIONSHIP, "relationships", ""),
            (FactKind.GRANT, "grants", " AND recording_id IS NULL"),
            (FactKind.CONSENT, "consents", ""),
        )
    ),
    columns=6,
)
_CONTAINMENTS: Final = Query(
    "SELECT id, value FROM containments WHERE value IS NOT NULL ORDER BY id", columns=2
)

Grouped = dict[tuple[str, str], list[Fact[Any]]]
"""Facts by kind and by the id of what they are about."""

Person = tuple[Subject, Tenant | None]


def load_values(
    session: Session, keys: Collection[Key], sent_at: float, between: Callable[[], object]
) -> Load:
    """Return the values of *keys*, and of the patient whom each recording names.

    Args:
        session: A transaction that sees one state of the registry.
        keys: What to load.
        sent_at: When the load began, on the monotonic clock.
        between: Called between the two exchanges.

    Raises:
        FactsUnavailableError: The schema is of another version, or a stored fact is damaged.
    """
    ids: dict[str, set[str]] = {"subject": set(), "recording": set(), "patient": set()}
    for key in keys:
        ids.setdefault(key.space, set()).add(key.id)
    revision, nonce, recordings = _state_and_recordings(session, ids["recording"])
    between()
    named = {who for facts in recordings.values() if (who := facts.attribution.patient_id)}
    values: dict[Key, Value] = {
        Key("recording", one): recordings.get(one) for one in ids["recording"]
    }
    values.update(
        _people_and_containments(
            session,
            ids["subject"],
            ids["patient"] | named,
            containments="containments" in ids,
            always=bool(ids["recording"]),
        )
    )
    return Load(revision, nonce, values, sent_at)


def _state_and_recordings(
    session: Session, ids: Collection[str]
) -> tuple[int, str, dict[str, RecordingFacts]]:
    """Return the revision, its nonce, and what is known of the recordings of *ids*."""
    if not ids:
        return (*checked_state(session.one(STATE.text)), {})
    state, rows, granted = session.gather(
        (STATE, RECORDINGS, _GRANTS_ON_RECORDINGS), {"recordings": ids}
    )
    grants = _grouped((FactKind.GRANT.value, *row) for row in granted)
    recordings = {row[0]: recording_of(row, _of(grants, FactKind.GRANT, row[0])) for row in rows}
    return (*checked_state(state[0]), recordings)


def _people_and_containments(
    session: Session,
    subject_ids: set[str],
    patient_ids: set[str],
    *,
    containments: bool,
    always: bool,
) -> dict[Key, Value]:
    """Return what is known of subjects and patients, and the containments where asked for.

    The database is asked for people *always*, or only where there are any.
    """
    parameters = {"people": subject_ids | patient_ids, "patients": patient_ids}
    queries = (_PEOPLE, EDGES, _OF_PATIENTS) if always or parameters["people"] else ()
    gathered = session.gather((*queries, *((_CONTAINMENTS,) if containments else ())), parameters)
    values: dict[Key, Value] = {}
    if containments:
        values[CONTAINMENTS_KEY] = _containments(gathered.pop())
    if gathered:
        people, edges, facts = gathered
        known = _people(people)
        links = Links(session, parameters["people"], edges)
        values.update(_subjects(subject_ids, known, links))
        values.update(_patients(patient_ids, known, links, _grouped(facts)))
    return values


def _people(rows: Iterable[Row]) -> dict[str, Person]:
    """Return the subjects in *rows*, each with its tenant."""
    tenants: dict[str, Tenant | None] = {}
    people = {}
    for subject_id, value, tenant_id, tenant_value in rows:
        if tenant_id not in tenants:
            tenants[tenant_id] = tenant_value and entity_of(FactKind.TENANT, tenant_value)
        people[subject_id] = entity_of(FactKind.SUBJECT, value), tenants[tenant_id]
    return people


def _subjects(
    ids: Iterable[str], people: Mapping[str, Person], links: Links
) -> Iterable[tuple[Key, Value]]:
    """Yield what is known of the subjects of *ids*."""
    for one in ids:
        person = people.get(one)
        yield Key("subject", one), person and subject_facts(person[0], links.person_ids(one))


def _patients(
    ids: Iterable[str], people: Mapping[str, Person], links: Links, facts: Grouped
) -> Iterable[tuple[Key, Value]]:
    """Yield what is known of the patients of *ids*."""
    for one in ids:
        person = people.get(one)
        yield Key("patient", one), person and _patient(one, person, links, facts)


def _patient(patient_id: str, person: Person, links: Links, facts: Grouped) -> PatientFacts:
    """Return what is known of one patient."""
    person_ids = links.person_ids(patient_id)
    return patient_facts(
        *person,
        person_ids=person_ids,
        family_ids=links.family_ids(person_ids),
        delegations=_of(facts, FactKind.DELEGATION, patient_id),
        blocks=_of(facts, FactKind.BLOCK, patient_id),
        relationships=_of(facts, FactKind.RELATIONSHIP, patient_id),
        grants=_of(facts, FactKind.GRANT, patient_id),
        consents=_of(facts, FactKind.CONSENT, patient_id),
    )


def _containments(rows: Iterable[Row]) -> tuple[Containment, ...]:
    """Return every containment; whether one is lifted yet is judged by the clock of the check."""
    return tuple(entity_of(FactKind.CONTAINMENT, value) for _id, value in rows)


def _grouped(rows: Iterable[Row]) -> Grouped:
    """Return the facts in *rows* by kind and by what they are about."""
    grouped: Grouped = {}
    for kind, about, *columns in rows:
        fact = made_fact(FactKind(kind), *columns)
        grouped.setdefault((kind, about), []).append(fact)
    return grouped


def _of(facts: Grouped, kind: FactKind, about: str) -> Collection[Fact[Any]]:
    """Return the facts of *kind* about something, by id: records depend on no database's order."""
    found = facts.get((kind.value, about), ())
    return found if len(found) < 2 else sorted(found, key=lambda fact: fact.entity.id)  # noqa: PLR2004  # nothing to sort
