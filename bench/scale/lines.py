"""The facts of a world as lines of the import format, made from templates.

A patient, and what belongs to them, comes just before the first of their recordings.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

from bench.scale import traits
from bench.scale.shape import TENANTS
from bench.scale.traits import has
from bench.scale.world import (
    BEGINNING,
    CALL_SECONDS,
    END,
    Person,
    Place,
    World,
    clinician_id,
    patient_id,
    recording_id,
)

MOST_LINES = 10
"""No recording has more lines than this, those of its patient included."""
_DAY = 86_400
_CLOCK = [
    f"T{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}Z" for second in range(_DAY)
]
_DAYS = [
    (datetime.fromtimestamp(BEGINNING, UTC) + timedelta(days=day)).date().isoformat()
    for day in range((END - BEGINNING) // _DAY + 1)
]
_REGISTERED = _DAYS[0] + _CLOCK[0]
_ADULTS_BORN = [(date(1930, 1, 1) + timedelta(days=day)).isoformat() for day in range(27_000)]
_CHILDREN_BORN = [(date(2021, 1, 1) + timedelta(days=day)).isoformat() for day in range(365)]
_BY_DIRECTORY = f'"source":"directory","observed_at":"{_REGISTERED}"}}\n'
_FROM = f'"valid_from":"{_REGISTERED}"'


def lines_of(world: World, numbers: range) -> Iterator[str]:
    """Yield the lines of the recordings *numbers*, some at a time, oldest first.

    With the first of all recordings come tenants and staff.
    """
    if numbers and numbers[0] == 0:
        yield _staff(world)
    for number in numbers:
        tenant, local = world.place_of(number)
        practice = world.practices[tenant]
        patient = practice.patient_of(local)
        if local == _first_of(world, tenant, patient):
            yield _patient(Person(tenant, patient), practice.clinicians)
        yield _call(world, number, Place(tenant, local), patient)


@lru_cache(maxsize=1 << 16)
def _first_of(world: World, tenant: int, patient: int) -> int:
    """Return the oldest recording of a patient, by its number in the practice."""
    return world.practices[tenant].recordings_of(patient)[0]


def _instant(seconds: int) -> str:
    """Return an instant as RFC 3339."""
    day, second = divmod(seconds - BEGINNING, _DAY)
    return _DAYS[day] + _CLOCK[second]


def _staff(world: World) -> str:
    """Return the lines of tenants, clinicians, interpreters and reviewers."""
    found = []
    for tenant, practice in enumerate(world.practices):
        name = TENANTS[tenant]
        found.append(f'{{"tenant":{{"id":"{name}","time_zone":"Europe/London"}},{_BY_DIRECTORY}')
        found += [
            _member(clinician_id(tenant, number), name, "clinician")
            for number in range(practice.clinicians)
        ]
        found.append(_member(interpreter_id(tenant), name, "interpreter"))
        found.append(_member(reviewer_id(tenant), name, "quality_reviewer"))
        found.append(
            f'{{"subject":{{"id":"records-{name}","tenant_id":"{name}","kind":"SERVICE",'
            f'"status":"ACTIVE"}},{_BY_DIRECTORY}'
        )
    return "".join(found)


def interpreter_id(tenant: int) -> str:
    """Return the id of a tenant's interpreter."""
    return f"interpreter-{tenant}"


def reviewer_id(tenant: int) -> str:
    """Return the id of who reviews a tenant's quality."""
    return f"reviewer-{tenant}"


def _member(subject: str, tenant: str, role: str) -> str:
    """Return the line of a member of staff."""
    return (
        f'{{"subject":{{"id":"{subject}","tenant_id":"{tenant}","kind":"STAFF","status":"ACTIVE",'
        f'"roles":[{{"role":"{role}",{_FROM}}}]}},{_BY_DIRECTORY}'
    )


def _patient(person: Person, clinicians: int) -> str:
    """Return the lines of a patient and of what belongs to them."""
    own, patient = patient_id(person), person.patient
    born = _CHILDREN_BORN if has(patient, traits.CHILD) else _ADULTS_BORN
    text = (
        f'{{"subject":{{"id":"{own}","tenant_id":"{TENANTS[person.tenant]}","kind":"PATIENT",'
        f'"status":"ACTIVE","birth_date":"{born[patient % len(born)]}"}},{_BY_DIRECTORY}'
    )
    treating = traits.treating(patient, clinicians)
    if treating is not None:
        text += (
            f'{{"relationship":{{"id":"t-{own}","kind":"TREATING_TEAM","patient_id":"{own}",'
            f'"staff_id":"{clinician_id(person.tenant, treating)}",{_FROM}}},{_BY_DIRECTORY}'
        )
    if has(patient, traits.CONSENTING):
        text += (
            f'{{"consent":{{"id":"c-{own}","patient_id":"{own}","scope":"TRAINING",'
            f'"status":"ACTIVE","effective_at":"{_REGISTERED}"}},{_BY_DIRECTORY}'
        )
    return text + _proxies(person, own)


def _proxies(person: Person, own: str) -> str:
    """Return the lines of who may act for a patient, or look on, and of who must not."""
    patient, text = person.patient, ""
    other = patient_id(Person(person.tenant, traits.neighbour(patient)))
    between = f'"patient_id":"{own}","delegate_id":"{other}"'
    if has(patient, traits.CHILD):
        text += (
            f'{{"delegation":{{"id":"d-{own}","kind":"PARENTAL",{between},'
            f'"actions":["LIST","VIEW"],{_FROM}}},{_BY_DIRECTORY}'
        )
    if has(patient, traits.CARED_FOR):
        text += (
            f'{{"delegation":{{"id":"e-{own}","kind":"CARER",{between},"actions":["LIST"],{_FROM},'
            f'"patient_consented_at":"{_REGISTERED}"}},{_BY_DIRECTORY}'
        )
    if has(patient, traits.BLOCKED):
        text += f'{{"block":{{"id":"b-{own}",{between},{_FROM}}},{_BY_DIRECTORY}'
    if has(patient, traits.SHARING):
        text += (
            f'{{"grant":{{"id":"g-{own}","kind":"SHARE","subject_id":"{other}",'
            f'"patient_id":"{own}","actions":["LIST","VIEW"],{_FROM},"approved_by":"{own}"}},'
            f"{_BY_DIRECTORY}"
        )
    return text


def _call(world: World, number: int, place: Place, patient: int) -> str:
    """Return the lines of one recording: the three witnesses, and a grant on some."""
    began_at = world.began_at(number)
    began, ended = _instant(began_at), _instant(began_at + CALL_SECONDS)
    tenant, recording = TENANTS[place.tenant], recording_id(number)
    own = patient_id(Person(place.tenant, patient))
    booked = own
    if has(number, traits.CONFLICTING):
        booked = patient_id(Person(place.tenant, traits.neighbour(patient)))
    text = (
        f'{{"consultation":{{"id":"c{number:08}","tenant_id":"{tenant}","patient_id":"{booked}",'
        f'"modality":"VIDEO","started_at":"{began}","ended_at":"{ended}"}},'
        f'"source":"booking-system","observed_at":"{ended}"}}\n'
        f'{{"recording":{{"id":"{recording}","tenant_id":"{tenant}","state":"{_state(number)}",'
        f'"consultation_id":"c{number:08}","owner_id":"{own}"{_closed(number)},'
        f'"created_at":"{ended}","created_by_release":"2026.1"{_held(number)}}},'
        f'"source":"recording-pipeline","observed_at":"{ended}"}}\n'
    )
    if not has(number, traits.UNATTENDED):
        text += _attendance(world, number, place, own, f'"joined_at":"{began}","left_at":"{ended}"')
        text += f'"source":"media-server","observed_at":"{ended}"}}\n'
    if has(number, traits.SAMPLED):
        text += (
            f'{{"grant":{{"id":"q-{recording}","kind":"QUALITY",'
            f'"subject_id":"{reviewer_id(place.tenant)}","recording_id":"{recording}",'
            f'"actions":["LIST","VIEW"],"valid_from":"{ended}","approved_by":"quality-board"}},'
            f'"source":"directory","observed_at":"{ended}"}}\n'
        )
    return text


def _attendance(world: World, number: int, place: Place, own: str, when: str) -> str:
    """Return the beginning of the line that says who was in the call."""
    clinician = clinician_id(place.tenant, world.practices[place.tenant].clinician_of(place.local))
    third = ""
    if has(number, traits.INTERPRETED):
        third = f',{{"subject_id":"{interpreter_id(place.tenant)}","kind":"INTERPRETER",{when}}}'
    return (
        f'{{"attendance":{{"id":"{recording_id(number)}","participants":['
        f'{{"subject_id":"{own}","kind":"PATIENT",{when}}},'
        f'{{"subject_id":"{clinician}","kind":"CLINICIAN",{when}}}{third}]}},'
    )


def _state(number: int) -> str:
    """Return the state of a recording."""
    return "QUARANTINED" if has(number, traits.QUARANTINED) else "ACTIVE"


def _closed(number: int) -> str:
    """Return the fields of a recording that close it to some."""
    sealed = ',"sealed":true' if has(number, traits.SEALED) else ""
    return sealed + (',"confidential_from_proxy":true' if has(number, traits.CONFIDENTIAL) else "")


def _held(number: int) -> str:
    """Return the legal holds of a recording."""
    if has(number, traits.FROZEN):
        return f',"holds":[{{"matter_id":"matter-{number}","kind":"FREEZE"}}]'
    return ""
