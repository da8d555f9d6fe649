"""Declared sameness and kinship, read from the registry as far as a question needs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from authz_service.facts.rows import FAMILY, SAME_PERSON
from authz_service.facts.sessions import Query, Row, Session
from authz_service.pdp.assembly import relatives, same_person

EDGES: Final = Query(
    "SELECT subject_id, kind, other_id FROM subject_links WHERE subject_id = ANY(:people)"
    " UNION ALL "
    "SELECT subject_id, kind, other_id FROM subject_links WHERE other_id = ANY(:people)",
    columns=3,
)
"""The declarations that name any of some people."""


class Links:
    """The declarations around some people, whichever side declares them.

    Complete for the same persons as those, for their declared relatives, and for the same persons
    as these.
    """

    def __init__(self, session: Session, people: Iterable[str], edges: Iterable[Row]) -> None:
        """Read the declarations around *people*, of which *edges* are those that name them."""
        self._beside: dict[str, dict[str, set[str]]] = {SAME_PERSON: {}, FAMILY: {}}
        self._add(edges)
        if not self._is_empty:
            self._complete(session, frozenset(people))

    def person_ids(self, subject_id: str) -> frozenset[str]:
        """Return every id of the person of id *subject_id*."""
        if self._is_empty:
            return frozenset({subject_id})
        return same_person(subject_id, self.same)

    def family_ids(self, person_ids: frozenset[str]) -> frozenset[str]:
        """Return every id of every declared relative of a person."""
        if self._is_empty:
            return frozenset()
        return relatives(person_ids, self.same, self.family)

    def around(self, people: frozenset[str]) -> frozenset[str]:
        """Return *people*, the same persons, their relatives, and the same persons as these."""
        persons = people.union(*(self.person_ids(one) for one in people))
        return persons | self.family_ids(persons)

    def same(self, ids: frozenset[str]) -> frozenset[str]:
        """Return the ids declared to be the same persons as *ids*."""
        return self._declared(SAME_PERSON, ids)

    def family(self, ids: frozenset[str]) -> frozenset[str]:
        """Return the ids declared to be relatives of *ids*."""
        return self._declared(FAMILY, ids)

    def _declared(self, kind: str, ids: frozenset[str]) -> frozenset[str]:
        """Return the other ends of the declarations of *kind* that name *ids*."""
        beside = self._beside[kind]
        if not beside:
            return frozenset()
        return frozenset().union(*(beside[one] for one in ids if one in beside))

    @property
    def _is_empty(self) -> bool:
        """Whether nobody declares anything, as is so for most people."""
        return not any(self._beside.values())

    def _complete(self, session: Session, people: frozenset[str]) -> None:
        """Read on from *people*, of whom all declarations are there, until nothing is missing."""
        known = people
        while missing := self.around(people) - known:
            self._add(*session.gather((EDGES,), {"people": missing}))
            known |= missing

    def _add(self, edges: Iterable[Row]) -> None:
        """Add declarations, which count from either side."""
        for subject_id, kind, other_id in edges:
            self._beside[kind].setdefault(subject_id, set()).add(other_id)
            self._beside[kind].setdefault(other_id, set()).add(subject_id)


def links_around(session: Session, people: frozenset[str]) -> Links:
    """Return the declarations around *people*."""
    edges = session.gather((EDGES,), {"people": people})[0] if people else []
    return Links(session, people, edges)
