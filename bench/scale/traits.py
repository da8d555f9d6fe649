"""What is special about some patients and some recordings, told from their numbers alone."""

from __future__ import annotations

from collections.abc import Iterator

SEALED = 199, 13
"""A recording is sealed where its number leaves that remainder; the next likewise."""
FROZEN = 499, 77
QUARANTINED = 397, 333
CONFLICTING = 997, 401
UNATTENDED = 991, 601
CONFIDENTIAL = 97, 29
SAMPLED = 101, 51
INTERPRETED = 11, 5

CHILD = 8, 3
"""A patient is a child, with a parent who acts for them, where the number leaves that remainder."""
CARED_FOR = 25, 7
BLOCKED = 200, 107
TREATED = 3, 1
CONSENTING = 10, 5
SHARING = 20, 9


def has(number: int, trait: tuple[int, int]) -> bool:
    """Whether *number* has *trait*."""
    every, remainder = trait
    return number % every == remainder


def neighbour(patient: int) -> int:
    """Return the adult who is a patient's parent, carer or friend, where the patient has one."""
    if patient == 0:
        return 1
    before = patient - 1
    return before - 1 if has(before, CHILD) else before


def are_close(one: int, other: int) -> bool:
    """Whether two patients of a practice may have to do with one another."""
    return one == other or neighbour(one) == other or neighbour(other) == one


def treating(patient: int, clinicians: int) -> int | None:
    """Return which of so many clinicians treats a patient; None where nobody does."""
    return patient % clinicians if has(patient, TREATED) else None


def treated_by(clinician: int, clinicians: int, patients: int) -> Iterator[int]:
    """Yield which of so many patients one of so many clinicians treats."""
    return (each for each in range(clinician, patients, clinicians) if has(each, TREATED))
