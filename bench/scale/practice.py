"""One tenant's patients, clinicians and recordings, by numbers of its own, from 0.

Recordings are numbered in the order in which they were made. A patient's are spread over all of
that time: each has consecutive slots, and slots are scattered over the recordings by a stride that
has no divisor in common with their number, so that the way back is a stride as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import gcd

from bench.scale.shape import (
    BLOCK,
    BLOCK_PATIENTS,
    CLINICIAN_AT,
    COUNTS,
    GROUP,
    GROUP_CLINICIANS,
    PATIENT_AT,
    PERIOD,
    PLACES_OF,
    STARTS,
)

_GOLDEN = 0.6180339887


@dataclass(frozen=True, slots=True)
class Practice:
    """A tenant with so many recordings.

    Attributes:
        tenant: Its id.
        recordings: How many recordings it has, at least one.
        patients: How many patients have them.
        groups: How many groups of clinicians hold the consultations.
    """

    tenant: str
    recordings: int
    patients: int = field(init=False)
    groups: int = field(init=False)
    _stride: int = field(init=False)
    _back: int = field(init=False)

    def __post_init__(self) -> None:
        """Fix how its slots are scattered."""
        stride = stride_for(self.recordings)
        object.__setattr__(self, "_stride", stride)
        object.__setattr__(self, "_back", pow(stride, -1, self.recordings))
        object.__setattr__(self, "patients", _patient_of_slot(self.recordings - 1) + 1)
        object.__setattr__(self, "groups", max(1, self.recordings // GROUP))

    @property
    def clinicians(self) -> int:
        """How many clinicians there are."""
        return self.groups * GROUP_CLINICIANS

    def patient_of(self, recording: int) -> int:
        """Return whose a recording is."""
        return _patient_of_slot(recording * self._back % self.recordings)

    def recordings_of(self, patient: int) -> list[int]:
        """Return a patient's recordings, oldest first."""
        block, place = divmod(patient, BLOCK_PATIENTS)
        start = block * BLOCK + STARTS[place]
        slots = range(start, min(start + COUNTS[place], self.recordings))
        return sorted(slot * self._stride % self.recordings for slot in slots)

    def clinician_of(self, recording: int) -> int:
        """Return who held the consultation."""
        turn, group = divmod(recording, self.groups)
        return group * GROUP_CLINICIANS + CLINICIAN_AT[turn % PERIOD]

    def recordings_by(self, clinician: int) -> Iterator[int]:
        """Yield the recordings of a clinician's consultations, newest first."""
        group, who = divmod(clinician, GROUP_CLINICIANS)
        turns = len(range(group, self.recordings, self.groups))
        for period in range((turns - 1) // PERIOD, -1, -1):
            for place in reversed(PLACES_OF[who]):
                turn = period * PERIOD + place
                if turn < turns:
                    yield turn * self.groups + group


def stride_for(number: int) -> int:
    """Return a stride that scatters *number* places evenly and comes to each of them once."""
    stride = max(1, round(number * _GOLDEN))
    while gcd(stride, number) != 1:
        stride += 1
    return stride


def scattered(number: int) -> Iterator[int]:
    """Yield every place below *number* once, neighbours far apart."""
    stride = stride_for(number)
    place = stride // 2
    for _ in range(number):
        yield place
        place = (place + stride) % number


def _patient_of_slot(slot: int) -> int:
    """Return whose a slot is."""
    block, place = divmod(slot, BLOCK)
    return block * BLOCK_PATIENTS + PATIENT_AT[place]
