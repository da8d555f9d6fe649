"""Facts as they stood at an earlier revision, found by id and by whom they named."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, Final, TypeVar, cast

from authz_service.facts.revisions import ATTRIBUTION_KIND, UNDISPUTED
from authz_service.facts.rows import SAME_PERSON, Stored, fact_of, stored_rows
from authz_service.facts.sessions import Session
from authz_service.pdp.entities import ENTITY_TYPES, Entity, Subject
from authz_service.pdp.entity_words import FactKind
from authz_service.pdp.facts import Fact, FactReference

_REPLACED: Final = (
    "SELECT c.id, c.value, c.source, c.observed_at, c.revision FROM fact_changes c JOIN"
    " (SELECT id, max(revision) AS revision FROM fact_changes WHERE kind = :kind"
    " AND id = ANY(:ids) AND NOT in_place AND revision <= :revision GROUP BY id) l"
    " ON c.id = l.id AND c.revision = l.revision WHERE c.kind = :kind AND NOT c.in_place"
)
_ATTRIBUTION: Final = (
    "SELECT value FROM fact_changes WHERE kind = :kind AND id = :id AND NOT in_place"
    " AND revision <= :revision ORDER BY revision DESC LIMIT 1"
)
_MENTIONED: Final = (
    "SELECT kind, id FROM past_mentions WHERE named_id = ANY(:ids) AND until_revision > :revision"
)
_LINKED: Final = "SELECT subject_id FROM subject_links WHERE other_id = ANY(:ids)"
_ABOUT: Final = " UNION ALL ".join(
    f"SELECT '{kind.value}', id FROM {table} WHERE patient_id = ANY(:ids)"  # noqa: S608  # names of ours
    for kind, table in (
        (FactKind.DELEGATION, "delegations"),
        (FactKind.BLOCK, "blocks"),
        (FactKind.RELATIONSHIP, "relationships"),
        (FactKind.GRANT, "grants"),
        (FactKind.CONSENT, "consents"),
    )
)
_GRANTED: Final = "SELECT 'grant', id FROM grants WHERE recording_id = ANY(:ids)"
_CONTAINMENTS: Final = "SELECT id FROM containments"

E = TypeVar("E", bound=Entity)


class Past:
    """The registry's facts as they stood at one revision. For one transaction.

    A fact is what its own row says where that row is not of a later revision, else what the
    latest change up to the revision says. Who was named then is named still by the fact's own
    row, or it is noted that the fact named them until some later revision.
    """

    def __init__(self, session: Session, revision: int) -> None:
        """Read by *session* what stood at *revision*, which lies within the history kept."""
        self._session = session
        self._revision = revision
        self._read: dict[FactReference, Fact[Any] | None] = {}

    def one(self, made: type[E], fact_id: str | None) -> Fact[E] | None:
        """Return the fact of *fact_id* that stood then."""
        found = self.some(made, () if fact_id is None else (fact_id,))
        return found[0] if found else None

    def some(self, made: type[E], ids: Collection[str]) -> list[Fact[E]]:
        """Return those facts of *ids* that stood then, by id."""
        references = [FactReference(_KINDS[made], one) for one in sorted(ids)]
        missing = [one for one in references if one not in self._read]
        if missing:
            self._read.update(self._stood(missing))
        found = (self._read[reference] for reference in references)
        return [cast("Fact[E]", fact) for fact in found if fact is not None]

    def about(self, patient_id: str) -> dict[FactKind, set[str]]:
        """Return the ids, by kind, of all that may have named a patient."""
        return self._mentioning(_ABOUT, patient_id)

    def granted_on(self, recording_id: str) -> set[str]:
        """Return the ids of all grants that may have been on a recording."""
        return self._mentioning(_GRANTED, recording_id).get(FactKind.GRANT, set())

    def containment_ids(self) -> set[str]:
        """Return the id of every containment there ever was: deleted ones leave a trace."""
        return {row[0] for row in self._session.rows(_CONTAINMENTS)}

    def was_disputed(self, recording_id: str) -> bool:
        """Whether a recording's owner had been changed, and nobody had resolved that."""
        parameters = {"kind": ATTRIBUTION_KIND, "id": recording_id, "revision": self._revision}
        row = self._session.one(_ATTRIBUTION, parameters)
        return row is not None and row[0] != UNDISPUTED

    def same(self, ids: frozenset[str]) -> frozenset[str]:
        """Return the ids that were declared to be the same persons as *ids*, by either side."""
        return self._declared(ids, SAME_PERSON)

    def family(self, ids: frozenset[str]) -> frozenset[str]:
        """Return the ids that were declared to be relatives of *ids*, by either side."""
        return self._declared(ids, "family")

    def _declared(self, ids: frozenset[str], kind: str) -> frozenset[str]:
        """Return the other ends of the declarations of *kind* that named or were made by *ids*."""
        declaring = {row[0] for row in self._session.rows(_LINKED, {"ids": ids})}
        declaring |= self._named_once(ids).get(FactKind.SUBJECT, set())
        found: set[str] = set()
        for fact in self.some(Subject, ids | declaring):
            subject = fact.entity
            others = subject.same_person_as if kind == SAME_PERSON else subject.family
            if subject.id in ids:
                found.update(others)
            if ids.intersection(others):
                found.add(subject.id)
        return frozenset(found)

    def _mentioning(self, statement: str, named_id: str) -> dict[FactKind, set[str]]:
        """Return what names an id by the rows of *statement*, and what did until later."""
        found = self._named_once({named_id})
        for kind, fact_id in self._session.rows(statement, {"ids": [named_id]}):
            found.setdefault(FactKind(kind), set()).add(fact_id)
        return found

    def _named_once(self, ids: Collection[str]) -> dict[FactKind, set[str]]:
        """Return the ids of what named any of *ids* until some revision after this one."""
        found: dict[FactKind, set[str]] = {}
        parameters = {"ids": list(ids), "revision": self._revision}
        for kind, fact_id in self._session.rows(_MENTIONED, parameters):
            found.setdefault(FactKind(kind), set()).add(fact_id)
        return found

    def _stood(
        self, references: Collection[FactReference]
    ) -> Iterable[tuple[FactReference, Fact[Any] | None]]:
        """Yield each of *references*, which are of one kind, with the fact that stood then."""
        rows = stored_rows(self._session, references)
        later = [one for one, row in rows.items() if row.revision > self._revision]
        if later:
            rows |= self._replaced(later)
        for reference in references:
            row = rows.get(reference)
            stands = row is not None and row.revision <= self._revision and row.value is not None
            yield reference, fact_of(reference.kind, row) if row and stands else None

    def _replaced(self, references: list[FactReference]) -> dict[FactReference, Stored]:
        """Return what stood then of *references*, whose rows are of later revisions."""
        kind = references[0].kind
        ids = [one.id for one in references]
        parameters = {"kind": kind.value, "ids": ids, "revision": self._revision}
        return {
            FactReference(kind, fact_id): Stored(*columns)
            for fact_id, *columns in self._session.rows(_REPLACED, parameters)
        }


_KINDS: Final[dict[type, FactKind]] = {made: kind for kind, made in ENTITY_TYPES.items()}
