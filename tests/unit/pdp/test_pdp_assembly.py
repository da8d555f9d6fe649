"""Birthdays, kinship, and entities put together to what a check rests on."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from authz_service.pdp.assembly import World, birthday, relatives, same_person
from authz_service.pdp.entities import Consent
from authz_service.pdp.entity_words import ConsentScope, ConsentStatus
from tests.unit.pdp.pdp_story import (
    ANA,
    ATTENDANCE,
    BEA,
    BOK,
    CONSULTATION,
    RECORDING,
    TENANT,
    block,
    care,
    delegation,
    fact,
    grant,
    world,
)


def _utc(*numbers: int) -> datetime:
    return datetime(*numbers, tzinfo=UTC)  # type: ignore[arg-type,misc]  # year, month, day, hour


@pytest.mark.parametrize(
    ("born", "age", "zone", "expected"),
    [
        pytest.param(date(2004, 6, 9), 16, "UTC", _utc(2020, 6, 9), id="utc"),
        pytest.param(
            date(2004, 6, 9), 16, "Europe/London", _utc(2020, 6, 8, 23), id="summer-in-london"
        ),
        pytest.param(date(2004, 1, 9), 16, "Europe/London", _utc(2020, 1, 9), id="winter-there"),
        pytest.param(date(2004, 6, 9), 16, "America/New_York", _utc(2020, 6, 9, 4), id="new-york"),
        pytest.param(
            date(2004, 6, 9), 16, "Pacific/Kiritimati", _utc(2020, 6, 8, 10), id="far-east"
        ),
        pytest.param(date(2004, 2, 29), 16, "UTC", _utc(2020, 2, 29), id="leap-day-leap-year"),
        pytest.param(date(2004, 2, 29), 15, "UTC", _utc(2019, 3, 1), id="leap-day-other-year"),
        pytest.param(date(1896, 2, 29), 4, "UTC", _utc(1900, 3, 1), id="leap-day-1900"),
        pytest.param(
            date(2007, 9, 3), 16, "America/Santiago", _utc(2023, 9, 3, 4), id="no-midnight-there"
        ),
        pytest.param(
            date(2012, 4, 28), 11, "Africa/Cairo", _utc(2023, 4, 27, 22), id="no-midnight-cairo"
        ),
        pytest.param(
            date(2007, 11, 5), 16, "America/Havana", _utc(2023, 11, 5, 4), id="two-midnights"
        ),
        pytest.param(date(2004, 6, 9), 0, "UTC", _utc(2004, 6, 9), id="birth"),
        pytest.param(date(9990, 1, 1), 16, "UTC", None, id="beyond-the-calendar"),
        pytest.param(date(9996, 2, 29), 16, "UTC", None, id="leap-day-beyond-the-calendar"),
        pytest.param(date(9983, 12, 31), 16, "America/New_York", _utc(9999, 12, 31, 5), id="last"),
        pytest.param(date(1, 1, 1), 0, "Asia/Tokyo", None, id="before-the-calendar"),
    ],
)
def test_a_birthday_begins_at_midnight_in_the_tenants_zone(
    born: date, age: int, zone: str, expected: datetime | None
) -> None:
    """Where the clocks skip midnight, with the day's first instant."""
    assert birthday(born, age, zone) == expected


def test_sameness_makes_chains_whichever_side_declares() -> None:
    people = World(
        [
            fact(replace(ANA, same_person_as=("a2",))),
            fact(replace(ANA, id="a3", same_person_as=("a2", "a4"))),
            fact(BEA),
        ]
    )

    found = people.facts_for("a4", "rec").subject
    known = people.facts_for("ana", "rec").subject

    assert found is None
    assert known is not None
    assert known.person_ids == {"ana", "a2", "a3", "a4"}


def test_a_circle_of_declarations_ends() -> None:
    circle = {"a": {"b"}, "b": {"c"}, "c": {"a"}}

    def declared(ids: frozenset[str]) -> frozenset[str]:
        return frozenset(end for one in ids for end in circle.get(one, ()))

    assert same_person("a", declared) == {"a", "b", "c"}
    assert relatives(frozenset({"a"}), declared, lambda _ids: frozenset()) == frozenset()
    assert relatives(frozenset({"x"}), declared, lambda _ids: frozenset({"a"})) == {"a", "b", "c"}


def test_a_patients_facts_are_those_that_name_the_patient() -> None:
    consent = Consent("c", "ana", ConsentScope.TRAINING, ConsentStatus.ACTIVE)
    known = world(
        delegation(),
        delegation(id="x", patient_id="bea", delegate_id="ana"),
        block(),
        block(id="x", patient_id="bea"),
        care(),
        care(id="x", patient_id=None),
        grant(),
        grant(id="x", recording_id="rec"),
        grant(id="y", patient_id=None, recording_id="rec"),
        grant(id="z", patient_id="bea"),
        consent,
        replace(consent, id="x", patient_id="bea"),
    ).facts_for("bok", "rec")

    assert known.patient is not None
    assert known.recording is not None
    assert [one.entity.id for one in known.patient.delegations] == ["del"]
    assert [one.entity.id for one in known.patient.blocks] == ["blk"]
    assert [one.entity.id for one in known.patient.relationships] == ["rel"]
    assert [one.entity.id for one in known.patient.grants] == ["gra"]
    assert [one.entity.id for one in known.recording.grants] == ["x", "y"]
    assert [one.entity.id for one in known.patient.consents] == ["c"]


def test_ages_come_from_the_patients_tenant() -> None:
    child = replace(ANA, birth_date=date(2010, 1, 1))

    known = world(child).facts_for("ana", "rec").patient
    no_tenant = World([fact(one) for one in (child, RECORDING, CONSULTATION, ATTENDANCE)])
    unknown = no_tenant.facts_for("ana", "rec").patient

    assert TENANT.proxy_restricted_from_age == 12
    assert known is not None
    assert known.restricted_from == _utc(2021, 12, 31, 23)
    assert known.suspended_from == _utc(2025, 12, 31, 23)
    assert unknown is not None
    assert (unknown.restricted_from, unknown.suspended_from) == (None, None)


def test_what_is_asked_about_and_not_known_is_none() -> None:
    known = world().facts_for("nobody", "nothing")

    assert (known.subject, known.recording, known.patient) == (None, None, None)


def test_a_later_fact_takes_the_place_of_an_earlier_one_of_its_kind_and_id() -> None:
    known = world(replace(BOK, tenant_id="other")).facts_for("bok", "rec").subject

    assert known is not None
    assert known.subject.tenant_id == "other"


def test_ids_of_different_kinds_do_not_meet() -> None:
    """A subject whose id is a recording's is still no recording."""
    known = World([fact(replace(BEA, id="rec"))]).facts_for("rec", "rec")

    assert known.recording is None
    assert known.subject is not None
