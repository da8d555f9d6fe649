"""What a question rests on, by key; and its facts, out of one load."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from authz_service.facts.reader import CONTAINMENTS_KEY, Candidates, Key, Load, PageQuestion
from authz_service.operations.ports import FactsQuestion
from authz_service.pdp.entities import Containment
from authz_service.pdp.facts import Facts, PatientFacts, RecordingFacts, SubjectFacts


def keys_of(questions: Sequence[FactsQuestion]) -> set[Key]:
    """Return all that *questions* rest on, but the patients that come with their recordings."""
    keys = {CONTAINMENTS_KEY}
    keys.update(Key("subject", question.subject_id) for question in questions)
    keys.update(Key("recording", question.recording_id) for question in questions)
    return keys


def questions_about(page: PageQuestion, found: Candidates) -> list[FactsQuestion]:
    """Return the question about each recording that was *found* for *page*."""
    subject_id = page.of.subject_id
    return [FactsQuestion(subject_id, key.recording_id) for key in found.keys]


def facts_in(load: Load, question: FactsQuestion, revision: int) -> Facts:
    """Return the facts of *question* as *load* brought them; they are true at *revision*."""
    values = load.values
    recording = cast("RecordingFacts | None", values[Key("recording", question.recording_id)])
    patient_id = recording.attribution.patient_id if recording is not None else None
    patient = values[Key("patient", patient_id)] if patient_id is not None else None
    return Facts(
        cast("SubjectFacts | None", values[Key("subject", question.subject_id)]),
        recording,
        cast("PatientFacts | None", patient),
        cast("tuple[Containment, ...]", values[CONTAINMENTS_KEY]),
        revision,
    )
