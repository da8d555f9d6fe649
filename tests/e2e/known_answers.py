"""A house of many patients whose every answer is known before it is asked for.

Who is who, and what became of a recording, is in the number of its name: the right answer is read
off a question here, by a table, and off the facts there, by the service. An answer to another
question is told by its echo, and one that was judged by another's facts by its effect and reason.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from tests.e2e.clinic import SEEN, TENANT, Plain, fact, patient

OWNERS = 80
"""Subjects with recordings of their own; as many guests have two shares each, and nothing else."""
SUBJECTS = 2 * OWNERS
EACH = 4
"""How many recordings an owner has."""
RECORDINGS = OWNERS * EACH
SUSPENDED = 20
"""Of so many guests the last is suspended."""

_ACTIVE, _CLOSED = "ACTIVE", "QUARANTINED"
_KINDS = (*[_ACTIVE] * 6, _CLOSED, "DELETED", "SEALED", "CONFLICT")
"""What became of a recording, by the last digit of its number."""

Outcome = tuple[str, str]
"""Effect and reason."""

_WHOEVER_ASKS: dict[str, Outcome] = {
    "QUARANTINED": ("DENY", "RECORDING_QUARANTINED"),
    "DELETED": ("DENY", "RECORDING_DELETED"),
    "CONFLICT": ("DENY", "FACTS_CONFLICT"),
}
_MAY: Outcome = ("ALLOW", "RULE_ALLOWED")
_STEP_UP: Outcome = ("DENY", "STEP_UP_REQUIRED")
_NOTHING: Outcome = ("DENY", "NO_RULE_MATCHED")
_BY_ACTION: dict[str, dict[str, Outcome]] = {
    "owner": {"VIEW": _MAY, "DOWNLOAD": _MAY, "EXPORT": _STEP_UP, "DELETE": _NOTHING},
    "guest": {"VIEW": _MAY, "DOWNLOAD": _STEP_UP, "EXPORT": _NOTHING, "DELETE": _NOTHING},
    "stranger": dict.fromkeys(("VIEW", "DOWNLOAD", "EXPORT", "DELETE"), _NOTHING),
}
_SEALED: dict[str, dict[str, Outcome]] = {
    "owner": {**dict.fromkeys(_BY_ACTION["owner"], _STEP_UP), "DELETE": ("DENY", "RULE_DENIED")},
    "guest": dict.fromkeys(_BY_ACTION["guest"], ("DENY", "SEALED")),
    "stranger": dict.fromkeys(_BY_ACTION["stranger"], ("DENY", "SEALED")),
}
ACTIONS = tuple(_BY_ACTION["owner"])


class Question(NamedTuple):
    """A question, by numbers.

    Attributes:
        subject: Below `OWNERS` an owner, else a guest.
        recording: The recording.
        action: What for.
    """

    subject: int
    recording: int
    action: str = "VIEW"

    @property
    def purpose(self) -> str:
        """Owners ask for themselves, guests as relatives."""
        return purpose_of(self.subject)

    @property
    def outcome(self) -> Outcome:
        """The right answer."""
        if self.subject >= OWNERS and self.subject % SUSPENDED == SUSPENDED - 1:
            return ("DENY", "SUBJECT_SUSPENDED")
        kind = _KINDS[self.recording % len(_KINDS)]
        by_action = _SEALED if kind == "SEALED" else _BY_ACTION
        return _WHOEVER_ASKS.get(kind) or by_action[self._relation()][self.action]

    def _relation(self) -> str:
        if self.subject < OWNERS:
            return "owner" if self.recording // EACH == self.subject else "stranger"
        return "guest" if self.recording in shared_with(self.subject) else "stranger"


def purpose_of(subject: int) -> str:
    """Return what *subject* asks for."""
    return "PATRQT" if subject < OWNERS else "FAMRQT"


def shared_with(guest: int) -> tuple[int, int]:
    """Return the two recordings that *guest* may watch, of two owners."""
    first = (guest - OWNERS) * EACH
    return first, (first + 6) % RECORDINGS


def in_conflict(recording: int) -> bool:
    """Whether the facts of *recording* disagree."""
    return _KINDS[recording % len(_KINDS)] == "CONFLICT"


def listed_for(subject: int) -> list[str]:
    """Return what is on the list of *subject*, newest first."""
    first = subject * EACH
    own = range(first, first + EACH) if subject < OWNERS else shared_with(subject)
    seen = [each for each in own if Question(subject, each).outcome == _MAY]
    return [recording_name(each) for each in sorted(seen, reverse=True)]


def subject_name(subject: int) -> str:
    """Return the id of a subject."""
    return f"s-{subject:03d}"


def recording_name(recording: int) -> str:
    """Return the id of a recording."""
    return f"r-{recording:03d}"


def any_question(chance: random.Random) -> Question:
    """Return a question, mostly of somebody who has to do with the recording."""
    subject = chance.randrange(SUBJECTS)
    recording = chance.randrange(RECORDINGS)
    if chance.random() < 0.75:
        own = subject * EACH + chance.randrange(EACH)
        recording = own if subject < OWNERS else chance.choice(shared_with(subject))
    action = "VIEW" if chance.random() < 0.6 else chance.choice(ACTIONS)
    return Question(subject, recording, action)


def facts() -> Iterator[Plain]:
    """Yield what makes the answers so."""
    yield fact("tenant", id=TENANT, time_zone="Europe/Oslo")
    for number in range(SUBJECTS):
        yield _subject(number)
    for number in range(RECORDINGS):
        yield from _recorded(number)
    for guest in range(OWNERS, SUBJECTS):
        for recording in shared_with(guest):
            yield _share(guest, recording)


def seen_again(recording: int, observed_at: str) -> Plain:
    """Return the fact of a recording as it is, seen later: it is written, and changes no answer."""
    kind = _KINDS[recording % len(_KINDS)]
    return fact(
        "recording",
        observed_at=observed_at,
        id=recording_name(recording),
        tenant_id=TENANT,
        consultation_id=f"con-{recording:03d}",
        owner_id=subject_name(recording // EACH),
        state=_ACTIVE if kind in {"SEALED", "CONFLICT"} else kind,
        sealed=kind == "SEALED",
        created_at=_made(recording),
    )


def _made(recording: int) -> str:
    made = datetime(2023, 6, 1, tzinfo=UTC) + timedelta(minutes=recording)
    return made.isoformat().replace("+00:00", "Z")


def _subject(number: int) -> Plain:
    known = patient(subject_name(number))
    if number >= OWNERS and number % SUSPENDED == SUSPENDED - 1:
        known["subject"]["status"] = "SUSPENDED"
    return known


def _recorded(number: int) -> Iterator[Plain]:
    """Yield the three facts of a recording; of a conflict, the booking names somebody else."""
    owner = number // EACH
    booked_by = (owner + 1) % OWNERS if in_conflict(number) else owner
    yield fact(
        "consultation",
        id=f"con-{number:03d}",
        tenant_id=TENANT,
        patient_id=subject_name(booked_by),
        modality="VIDEO",
        started_at="2023-05-31T08:00:00Z",
    )
    yield seen_again(number, SEEN)
    yield fact(
        "attendance",
        id=recording_name(number),
        participants=[
            {"subject_id": subject_name(owner), "kind": "PATIENT"},
            {"subject_id": "dr-lund", "kind": "CLINICIAN"},
        ],
    )


def _share(guest: int, recording: int) -> Plain:
    owner = subject_name(recording // EACH)
    return fact(
        "grant",
        id=f"share-{guest}-{recording}",
        kind="SHARE",
        subject_id=subject_name(guest),
        recording_id=recording_name(recording),
        patient_id=owner,
        actions=["LIST", "VIEW", "DOWNLOAD"],
        valid_from=SEEN,
        approved_by=owner,
    )
