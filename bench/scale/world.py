"""The registry of the scale benchmark, by numbers: five tenants whose recordings take turns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from bench.scale.practice import Practice
from bench.scale.shape import (
    PLACES_OF_TENANT,
    RANK_AT,
    TENANT_AT,
    TENANT_PERIOD,
    TENANTS,
)

LEAST_RECORDINGS = 100
"""The smallest world: below it some tenant would have nothing."""
_BEGAN = 1_640_995_200
_SECONDS = 4 * 365 * 86_400
_CALL_SECONDS = 600


class Place(NamedTuple):
    """Where a recording is: which tenant's, by its place in `TENANTS`, and its number there."""

    tenant: int
    local: int


class Person(NamedTuple):
    """A patient: of which tenant, and which number there."""

    tenant: int
    patient: int


@dataclass(frozen=True, slots=True)
class World:
    """So many recordings, numbered in the order in which they were made.

    Attributes:
        recordings: How many, at least `LEAST_RECORDINGS`.
        practices: The tenants, in the order of `TENANTS`.
    """

    recordings: int
    practices: tuple[Practice, ...] = field(init=False)

    def __post_init__(self) -> None:
        """Spread the recordings over the tenants."""
        if self.recordings < LEAST_RECORDINGS:
            raise ValueError(f"a world has {LEAST_RECORDINGS} recordings at least")
        turns, rest = divmod(self.recordings, TENANT_PERIOD)
        practices = tuple(
            Practice(tenant, turns * len(places) + sum(place < rest for place in places))
            for tenant, places in zip(TENANTS, PLACES_OF_TENANT, strict=True)
        )
        object.__setattr__(self, "practices", practices)

    @property
    def patients(self) -> int:
        """How many patients there are."""
        return sum(each.patients for each in self.practices)

    @property
    def staff(self) -> int:
        """How many facts there are of tenants, staff and services."""
        return sum(each.clinicians + 4 for each in self.practices)

    def place_of(self, number: int) -> Place:
        """Return where a recording is."""
        turn, place = divmod(number, TENANT_PERIOD)
        tenant = TENANT_AT[place]
        return Place(tenant, turn * len(PLACES_OF_TENANT[tenant]) + RANK_AT[place])

    def number_of(self, place: Place) -> int:
        """Return the number of the recording at *place*."""
        places = PLACES_OF_TENANT[place.tenant]
        turn, rank = divmod(place.local, len(places))
        return turn * TENANT_PERIOD + places[rank]

    def patient_of(self, number: int) -> Person:
        """Return whose a recording is."""
        tenant, local = self.place_of(number)
        return Person(tenant, self.practices[tenant].patient_of(local))

    def clinician_of(self, number: int) -> str:
        """Return who held the consultation."""
        tenant, local = self.place_of(number)
        return clinician_id(tenant, self.practices[tenant].clinician_of(local))

    def recordings_of(self, person: Person) -> list[int]:
        """Return a patient's recordings, oldest first."""
        own = self.practices[person.tenant].recordings_of(person.patient)
        return [self.number_of(Place(person.tenant, local)) for local in own]

    def recordings_by(self, tenant: int, clinician: int) -> Iterator[int]:
        """Yield the recordings of a clinician's consultations, newest first."""
        for local in self.practices[tenant].recordings_by(clinician):
            yield self.number_of(Place(tenant, local))

    def began_at(self, number: int) -> int:
        """Return when the call began, in seconds since 1970; later for each later recording."""
        return _BEGAN + number * _SECONDS // self.recordings


BEGINNING = _BEGAN
"""When all staff and patients were registered, in seconds since 1970."""
CALL_SECONDS = _CALL_SECONDS
"""How long every call took."""
END = _BEGAN + _SECONDS + _CALL_SECONDS
"""Nothing is observed at this instant or later."""


def recording_id(number: int) -> str:
    """Return the id of a recording."""
    return f"r{number:08}"


def patient_id(person: Person) -> str:
    """Return the id of a patient."""
    return f"p{person.tenant}{person.patient:07}"


def clinician_id(tenant: int, clinician: int) -> str:
    """Return the id of a clinician."""
    return f"s{tenant}{clinician:05}"
