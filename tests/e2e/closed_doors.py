"""Recordings that are closed to Olga, each for another reason, and ids that no fact knows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from tests.e2e.clinic import FACTS, SEEN, TENANT, Plain, fact, patient, recorded

PLAIN_CALLER = (
    "caller,rpcs,tenants,actions,purposes,writes,may\nloopback,*,*,*,*,*,assert_assurance\n"
)
"""A callers file whose one caller may ask everything and is told no reason."""
SUBJECT = "olga"
"""Who asks: a patient without a recording of her own, and without rights to anybody else's."""
ELSEWHERE = "dal"
"""A tenant that is not hers."""
ENDED = "2020-01-01T00:00:00Z"

Door = Callable[[str], list[Plain]]
"""The facts of a recording of one kind, by its id."""


def _changed(facts: list[Plain], kind: str, **fields: Any) -> list[Plain]:
    """Return *facts* with fields of the fact of *kind* replaced."""
    return [{**one, kind: {**one[kind], **fields}} if kind in one else one for one in facts]


def _another_tenants(name: str) -> list[Plain]:
    facts = _changed(recorded(name, "dalia"), "recording", tenant_id=ELSEWHERE)
    return _changed(facts, "consultation", tenant_id=ELSEWHERE)


def _without(name: str, *kinds: str) -> list[Plain]:
    return [one for one in recorded(name, "mara") if not set(kinds) & one.keys()]


def _in_conflict(name: str) -> list[Plain]:
    return _changed(recorded(name, "mara"), "recording", owner_id="ines")


def _of_state(state: str) -> Door:
    return lambda name: _changed(recorded(name, "mara"), "recording", state=state)


def _like(patient_id: str, **fields: Any) -> Door:
    return lambda name: recorded(name, patient_id, **fields)


_FREEZE = [{"matter_id": "m-1", "kind": "FREEZE", "viewers": []}]

MUCH = "of-a-patient-with-many-facts"
"""The kind that takes the most work."""
DOORS: dict[str, Door] = {
    "unknown": lambda _name: [],
    "another-patients": _like("mara"),
    "another-tenants": _another_tenants,
    "deleted": _of_state("DELETED"),
    "quarantined": _of_state("QUARANTINED"),
    "processing": _of_state("PROCESSING"),
    "restricted": _of_state("RESTRICTED"),
    "sealed": _like("mara", sealed=True),
    "conflicting": _in_conflict,
    "incomplete": lambda name: _without(name, "attendance"),
    "unattributed": lambda name: _changed(
        _without(name, "attendance", "consultation"), "recording", owner_id=None
    ),
    "retention-expired": _like("mara", retention_until=ENDED),
    "held": _like("mara", holds=_FREEZE),
    "contained": _like("mara"),
    MUCH: _like("nora"),
}
"""The kinds, each with what makes a recording of it."""


OTHERS = ("nobody", "gone", "late", "stray", "dr-self", "dr-kin", "ines")
"""Who else may not watch a recording of Mara's: unknown, closed, of elsewhere, and kept from it."""


def names_of(kind: str, count: int) -> list[str]:
    """Return ids of so many recordings of *kind*: all are equally long, and tell nothing."""
    place = list(DOORS).index(kind)
    return [f"v-{number * 37 % 10_000 + place * 10_000:06d}" for number in range(count)]


def world(each: int) -> Iterator[Plain]:
    """Yield the facts of *each* recordings of every kind."""
    yield from FACTS
    yield fact("tenant", id=ELSEWHERE, time_zone="UTC")
    yield from (_changed([patient("dalia")], "subject", tenant_id=ELSEWHERE))
    yield from (_changed([patient("gone")], "subject", status="SUSPENDED"))
    yield from (_changed([patient("late")], "subject", status="DECEASED"))
    yield from (_changed([patient("stray")], "subject", tenant_id=ELSEWHERE))
    yield _staff("dr-self", same_person_as=["mara"])
    yield _staff("dr-kin", family=["mara"])
    yield from _much_about("nora")
    for kind, made in DOORS.items():
        for name in names_of(kind, each):
            yield from made(name)
    contained = names_of("contained", each)
    if contained:
        yield fact(
            "containment",
            id="brake",
            scope={"recording_ids": contained},
            reason="under review",
            set_by="operator",
            set_at=SEEN,
        )


def _staff(name: str, **fields: Any) -> Plain:
    roles = [{"role": "clinician", "valid_from": SEEN}]
    return fact(
        "subject", id=name, tenant_id=TENANT, kind="STAFF", status="ACTIVE", roles=roles, **fields
    )


def _much_about(name: str) -> Iterator[Plain]:
    """Yield a patient of whom much is known; Olga once had a delegation and was shared things."""
    yield from _changed([patient(name)], "subject", same_person_as=["nora-2"], family=["ines"])
    for number in range(5):
        yield fact(
            "relationship",
            id=f"team-{number}",
            patient_id=name,
            staff_id=f"dr-{number}",
            kind="TREATING_TEAM",
            valid_from=SEEN,
        )
    named: dict[str, Any] = {"patient_id": name, "actions": ["LIST"], "valid_from": SEEN}
    for number, who in enumerate(("mara", "ines", SUBJECT)):
        yield fact(
            "delegation",
            id=f"proxy-{number}",
            delegate_id=who,
            kind="CONSENTED",
            valid_to=ENDED,
            **named,
        )
        yield fact(
            "grant",
            id=f"share-{number}",
            kind="SHARE",
            subject_id=who,
            approved_by=name,
            revoked_at=ENDED,
            **named,
        )
    yield fact(
        "consent",
        id="agreed",
        patient_id=name,
        scope="TRAINING",
        status="ACTIVE",
        effective_at=SEEN,
    )


def chunks(facts: Iterable[Plain], size: int = 1000) -> Iterator[Sequence[Plain]]:
    """Yield *facts* in writes that are not too large."""
    gathered: list[Plain] = []
    for one in facts:
        gathered.append(one)
        if len(gathered) == size:
            yield gathered
            gathered = []
    yield gathered
