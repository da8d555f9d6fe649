"""What the generator makes: lines that the strict reader takes, spread as life spreads them."""

from __future__ import annotations

import io
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cache
from itertools import islice

import orjson
import pytest

from authz_service.facts.import_lines import fact_on
from authz_service.facts.write_rules import check_entity
from authz_service.pdp.entities import Attendance, Entity, Recording, Relationship, Subject
from authz_service.pdp.entity_plain import fact_to_plain
from authz_service.pdp.entity_words import FactKind, ParticipantKind
from authz_service.pdp.facts import Fact
from bench.scale.answers import carers, newest
from bench.scale.generate import write_lines
from bench.scale.lines import MOST_LINES
from bench.scale.shape import BLOCK_PATIENTS, GROUP_CLINICIANS
from bench.scale.world import Person, World, clinician_id, patient_id, recording_id

WORLD = World(2_400)


def bytes_of(world: World, numbers: range) -> bytes:
    """Return the lines of *numbers*."""
    file = io.BytesIO()
    write_lines(world, numbers, file)
    return file.getvalue()


@cache
def facts() -> tuple[Fact[Entity], ...]:
    """Return all facts of `WORLD`, as the strict reader reads them."""
    lines = bytes_of(WORLD, range(WORLD.recordings)).splitlines(keepends=True)
    return tuple(fact_on(line, f"line {number}: ") for number, line in enumerate(lines, 1))


def of_kind(kind: FactKind) -> Iterator[Entity]:
    """Yield the entities of one kind."""
    return (fact.entity for fact in facts() if fact.kind is kind)


def test_every_line_is_what_the_strict_encoder_would_write() -> None:
    """Templates are fast, and would be wrong in silence without the reader and the writer."""
    lines = bytes_of(WORLD, range(WORLD.recordings)).splitlines()

    for line, fact in zip(lines, facts(), strict=True):
        check_entity(fact.entity, "")
        assert orjson.dumps(fact_to_plain(fact)) == line


def test_no_fact_is_written_twice() -> None:
    names = Counter((fact.kind, fact.entity.id) for fact in facts())

    assert set(names.values()) == {1}


@pytest.mark.parametrize("part", [1, 7, 500, 2_399])
def test_parts_make_the_whole(part: int) -> None:
    """A load may be cut anywhere, and is cut the same way each time."""
    parts = [
        bytes_of(WORLD, range(WORLD.recordings)[first : first + part])
        for first in range(0, 200 if part == 1 else WORLD.recordings, part)
    ]

    whole = bytes_of(WORLD, range(200 if part == 1 else WORLD.recordings))
    assert b"".join(parts) == whole


def test_everybody_is_known_before_their_first_recording() -> None:
    """While facts are imported, what is asked about an imported recording has one right answer."""
    known: set[str] = set()
    for fact in facts():
        if isinstance(fact.entity, Subject):
            known.add(fact.entity.id)
        elif isinstance(fact.entity, Recording):
            assert fact.entity.owner_id in known


def test_nobody_has_more_lines_than_an_import_counts_on() -> None:
    """How many recordings are in for certain is told from the lines that are."""
    done = 0
    lines = bytes_of(WORLD, range(WORLD.recordings)).splitlines()[WORLD.staff :]

    for number, line in enumerate(lines, 1):
        done += line.startswith(b'{"attendance"')
        assert number // MOST_LINES <= done + 2


@pytest.mark.parametrize("recordings", [100, 101, 1_999, 10_000, 250_007])
def test_numbers_lead_there_and_back(recordings: int) -> None:
    """Whose a recording is, and which somebody has, is one relation computed from two sides."""
    world = World(recordings)
    step = max(1, recordings // 300)

    for number in range(0, recordings, step):
        assert world.number_of(world.place_of(number)) == number
        assert number in world.recordings_of(world.patient_of(number))
    assert sum(practice.recordings for practice in world.practices) == recordings


def test_every_recording_has_one_patient_and_one_clinician() -> None:
    """Counted from the other side, patients and clinicians have every recording once."""
    by_patients = Counter(
        number
        for tenant, practice in enumerate(WORLD.practices)
        for patient in range(practice.patients)
        for number in WORLD.recordings_of(Person(tenant, patient))
    )
    by_clinicians = Counter(
        number
        for tenant, practice in enumerate(WORLD.practices)
        for clinician in range(practice.clinicians)
        for number in WORLD.recordings_by(tenant, clinician)
    )

    assert by_patients == by_clinicians == Counter(range(WORLD.recordings))


def test_the_lines_say_what_the_numbers_say() -> None:
    """The expected answers are computed from numbers; here they are held against the facts."""
    owners = {
        each.id: each.owner_id
        for each in of_kind(FactKind.RECORDING)
        if isinstance(each, Recording)
    }
    attending = {
        each.id: {
            one.subject_id for one in each.participants if one.kind is ParticipantKind.CLINICIAN
        }
        for each in of_kind(FactKind.ATTENDANCE)
        if isinstance(each, Attendance)
    }

    for number in range(WORLD.recordings):
        name = recording_id(number)
        assert owners[name] == patient_id(WORLD.patient_of(number))
        assert attending.get(name, {WORLD.clinician_of(number)}) == {WORLD.clinician_of(number)}


def test_lists_and_carers_are_those_of_the_facts() -> None:
    """A scan over all facts, with none of the arithmetic, finds the same people and pages."""
    treating: dict[str, set[str]] = defaultdict(set)
    for each in of_kind(FactKind.RELATIONSHIP):
        assert isinstance(each, Relationship)
        treating[str(each.patient_id)].add(str(each.staff_id))
    by_staff: dict[str, list[int]] = defaultdict(list)
    for number in range(WORLD.recordings):
        found = carers(WORLD, number)
        everybody = {WORLD.clinician_of(number)} | treating[patient_id(WORLD.patient_of(number))]
        assert set(found) in (set(), everybody)
        for staff in found:
            by_staff[staff].append(number)

    for clinician in range(GROUP_CLINICIANS):
        page = newest(WORLD, 0, clinician, 50)
        own = by_staff[clinician_id(0, clinician)]
        assert page.recordings == tuple(map(recording_id, reversed(own[-50:])))
        assert page.is_last is (len(own) <= 50)


def test_recordings_are_spread_as_in_life() -> None:
    """Most patients have 1 to 5 recordings, a few 500; clinicians thousands, some tens of those."""
    world = World(10_000_000)
    practice = world.practices[0]

    counts = sorted(len(practice.recordings_of(patient)) for patient in range(BLOCK_PATIENTS * 3))
    held = sorted(
        sum(1 for _ in islice(practice.recordings_by(clinician), 30_000))
        for clinician in range(GROUP_CLINICIANS)
    )

    assert (counts[0], counts[len(counts) // 2], counts[-1]) == (1, 2, 500)
    assert sum(count <= 5 for count in counts) / len(counts) > 0.95
    assert counts.count(500) == 3
    assert counts[int(len(counts) * 0.99)] in range(6, 31)
    assert held[0] >= 1_000
    assert held[len(held) // 2] <= 3_000
    assert held[-1] >= 20_000
    assert sum(number >= 10_000 for number in held) == 2
    assert 3_000_000 < world.patients < 4_000_000
    assert len({practice.tenant for practice in world.practices}) == 5


def test_a_recording_brings_three_facts_and_a_half() -> None:
    """From three sources, with the people and what they are to one another, in every kind."""
    calls = {FactKind.CONSULTATION, FactKind.RECORDING, FactKind.ATTENDANCE}
    world = World(20_000)
    text = bytes_of(world, range(world.recordings))

    assert 3.4 < text.count(b"\n") / world.recordings < 3.8
    assert {fact.kind for fact in facts()} == set(FactKind) - {FactKind.CONTAINMENT}
    assert len({fact.source for fact in facts() if fact.kind in calls}) == 3
    for closed in (b'"sealed":true', b'"holds"', b"QUARANTINED", b'"confidential_from_proxy":true'):
        assert closed in text


def test_no_time_is_ahead_of_any_clock_that_reads_this() -> None:
    """A fact observed in the future is refused."""
    latest = max(fact.observed_at for fact in facts())

    assert latest.year == 2025
    assert latest.isoformat() < "2026-01-01T00:00:00+00:00"
