"""Three witnesses: every way in which they may agree, disagree or be silent."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from authz_service.pdp.corroboration import attribute, corroborated_patient_id, standing
from authz_service.pdp.entities import Attendance, Consultation, Participant
from authz_service.pdp.entity_words import ParticipantKind
from authz_service.pdp.facts import Standing
from authz_service.pdp.model import Reason
from tests.unit.pdp.pdp_story import ANA, ATTENDANCE, CONSULTATION, RECORDING, asked, fact, world

_ATTENDED = {
    "unknown": None,
    "nobody": (),
    "ana": ("ana",),
    "bea": ("bea",),
    "both": ("ana", "bea"),
}
# owner and booking, then the standing for each attendance above: Agreed, Conflict, Incomplete
_EXPECTED = """
    -    unknown  I I I I C
    -    nobody   I I I I C
    -    ana      I I I C C
    -    bea      I I C I C
    ana  unknown  I I I C C
    ana  nobody   I I I C C
    ana  ana      I I A C C
    ana  bea      C C C C C
    bea  unknown  I I C I C
    bea  nobody   I I C I C
    bea  ana      C C C C C
    bea  bea      I I C A C
"""
_STANDINGS = {"A": Standing.AGREED, "C": Standing.CONFLICT, "I": Standing.INCOMPLETE}


def _combinations() -> list[object]:
    found: list[object] = []
    for row in _EXPECTED.strip().splitlines():
        owner, booked, *letters = row.split()
        for attended, letter in zip(_ATTENDED, letters, strict=True):
            name = f"owner-{owner}-booked-{booked}-attended-{attended}"
            found.append(pytest.param(owner, booked, attended, _STANDINGS[letter], id=name))
    return found


@pytest.mark.parametrize(("owner", "booked", "attended", "expected"), _combinations())
def test_a_patient_is_known_only_when_three_agree(
    owner: str, booked: str, attended: str, expected: Standing
) -> None:
    """Whatever one of them says alone, and whatever is missing, nobody is guessed."""
    recording = replace(RECORDING, owner_id=None if owner == "-" else owner)
    patient_id = None if booked == "nobody" else booked
    consultation = None if booked == "unknown" else replace(CONSULTATION, patient_id=patient_id)
    who = _ATTENDED[attended]
    attendance = None if who is None else _attendance(*who)

    found = attribute(
        fact(recording),
        fact(consultation) if consultation else None,
        fact(attendance) if attendance else None,
    )

    assert found.standing is expected
    assert (found.standing is Standing.AGREED) == (not found.disagreements)


def _attendance(*ids: str) -> Attendance:
    return Attendance("rec", tuple(Participant(one, ParticipantKind.PATIENT) for one in ids))


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        pytest.param(("a", "b", "c"), Standing.AGREED, id="three-sources"),
        pytest.param(("a", "a", "c"), Standing.INCOMPLETE, id="booking-from-the-pipeline"),
        pytest.param(("a", "b", "a"), Standing.INCOMPLETE, id="attendance-from-the-pipeline"),
        pytest.param(("a", "b", "b"), Standing.INCOMPLETE, id="attendance-from-the-booking"),
        pytest.param(("a", "a", "a"), Standing.INCOMPLETE, id="one-source"),
        pytest.param(("", "b", "c"), Standing.INCOMPLETE, id="a-source-without-name"),
    ],
)
def test_two_facts_of_one_source_are_one_witness(
    sources: tuple[str, str, str], expected: Standing
) -> None:
    recording, consultation, attendance = (
        fact(entity, source)
        for entity, source in zip((RECORDING, CONSULTATION, ATTENDANCE), sources, strict=True)
    )

    assert attribute(recording, consultation, attendance).standing is expected


@pytest.mark.parametrize(
    ("consultation", "expected"),
    [
        pytest.param(replace(CONSULTATION, tenant_id="other"), Standing.CONFLICT, id="tenant"),
        pytest.param(replace(CONSULTATION, started_at=None), Standing.INCOMPLETE, id="no-start"),
        pytest.param(
            replace(CONSULTATION, started_at=RECORDING.created_at), Standing.AGREED, id="same-time"
        ),
        pytest.param(
            replace(
                CONSULTATION,
                started_at=RECORDING.created_at and RECORDING.created_at + timedelta.resolution,
            ),
            Standing.CONFLICT,
            id="recording-older",
        ),
        pytest.param(replace(CONSULTATION, patient_id=""), Standing.INCOMPLETE, id="empty-booking"),
    ],
)
def test_the_consultation_has_to_fit(consultation: Consultation, expected: Standing) -> None:
    found = attribute(fact(RECORDING), fact(consultation), fact(ATTENDANCE))

    assert found.standing is expected


def test_a_recording_of_unknown_age_is_incomplete() -> None:
    recording = fact(replace(RECORDING, created_at=None))

    found = attribute(recording, fact(CONSULTATION), fact(ATTENDANCE))

    assert found.standing is Standing.INCOMPLETE


@pytest.mark.parametrize("kind", [k for k in ParticipantKind if k is not ParticipantKind.PATIENT])
def test_whoever_else_was_there_makes_no_conflict(kind: ParticipantKind) -> None:
    """A patient in a clinician's place is odd, and no second patient."""
    attendance = replace(
        ATTENDANCE, participants=(*ATTENDANCE.participants, Participant("bea", kind))
    )

    found = attribute(fact(RECORDING), fact(CONSULTATION), fact(attendance))

    assert (found.standing, found.patient_id) == (Standing.AGREED, "ana")


def test_an_empty_value_never_equals_an_empty_value() -> None:
    """Nobody owns it, nobody booked it, somebody without an id attended: that is not agreement."""
    nameless = attribute(
        fact(replace(RECORDING, owner_id="")),
        fact(replace(CONSULTATION, patient_id="")),
        fact(_attendance("")),
    )
    unnamed_witness = attribute(fact(RECORDING), fact(CONSULTATION), fact(_attendance("")))

    assert (nameless.standing, nameless.patient_id) == (Standing.INCOMPLETE, None)
    assert unnamed_witness.standing is Standing.INCOMPLETE


def test_a_disputed_recording_is_in_conflict_though_all_agree() -> None:
    facts = world(disputed=["rec"]).facts_for("ana", "rec")

    assert facts.recording is not None
    assert standing(facts.recording, facts.patient) is Standing.CONFLICT


def test_a_patient_whom_no_fact_knows_is_a_gap() -> None:
    facts = world().facts_for("ana", "rec")

    assert facts.recording is not None
    assert standing(facts.recording, None) is Standing.INCOMPLETE
    assert corroborated_patient_id(facts.recording, None) is None


def test_a_patient_of_another_tenant_is_a_disagreement() -> None:
    facts = world(replace(ANA, tenant_id="other")).facts_for("ana", "rec")

    assert facts.recording is not None
    assert standing(facts.recording, facts.patient) is Standing.CONFLICT
    assert corroborated_patient_id(facts.recording, facts.patient) is None


def test_where_a_conflict_and_a_gap_meet_the_conflict_is_the_answer() -> None:
    decision = asked(
        replace(CONSULTATION, tenant_id="other", started_at=None), replace(ANA, tenant_id="clinic")
    )

    assert decision.reason is Reason.FACTS_CONFLICT
    assert decision.patient_id is None
