"""The values that the cache holds in memory, by space and id; bounded, the unknown apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from authz_service.facts.reader import CONTAINMENTS_KEY, Key, Value
from authz_service.facts.shelf import Shelf
from authz_service.operations.ports import FactsQuestion
from authz_service.pdp.entities import Containment
from authz_service.pdp.facts import Facts, PatientFacts, RecordingFacts, SubjectFacts


class Holdings:
    """Subjects, recordings, patients and containments. Unknown ids have a shelf of their own.

    So an id scan costs what known ids cost, and cannot evict them.

    Attributes:
        last_containments: Those held last, also while a change keeps them from being held; None
            before the first. For counts, never for answers.
    """

    def __init__(self, max_entries: int, max_unknown: int) -> None:
        """Hold up to *max_entries* of each space, and *max_unknown* unknown ids."""
        self._subjects: Shelf[str, SubjectFacts] = Shelf(max_entries)
        self._recordings: Shelf[str, RecordingFacts] = Shelf(max_entries)
        self._patients: Shelf[str, PatientFacts] = Shelf(max_entries)
        self._unknown: Shelf[Key, bool] = Shelf(max_unknown)
        self._containments: tuple[Containment, ...] | None = None
        self.last_containments: tuple[Containment, ...] | None = None

    def facts_of(self, question: FactsQuestion, revision: int) -> Facts | None:
        """Return the facts that *question* rests on, or None unless all of them are held.

        *revision* is the one at which what is held is true. Every check comes through here.
        """
        containments = self._containments
        subject = self._subjects.cells.get(question.subject_id)
        recording = self._recordings.cells.get(question.recording_id)
        if subject is None or recording is None or containments is None:
            return self._facts_with_unknown(question, revision)
        patient_id = recording.value.attribution.patient_id
        patient = self._patients.cells.get(patient_id) if patient_id is not None else None
        if patient is None:
            return self._facts_with_unknown(question, revision)
        subject.used = recording.used = patient.used = True
        return Facts(subject.value, recording.value, patient.value, containments, revision)

    def _facts_with_unknown(self, question: FactsQuestion, revision: int) -> Facts | None:
        """Return the facts where an id among them is unknown, or a recording names nobody."""
        containments = self._containments
        if containments is None or self.missing_of((question,)):
            return None
        recording = self._recordings.use(question.recording_id)
        patient_id = recording.attribution.patient_id if recording is not None else None
        return Facts(
            self._subjects.use(question.subject_id),
            recording,
            self._patients.use(patient_id) if patient_id is not None else None,
            containments,
            revision,
        )

    @property
    def lacks_containments(self) -> bool:
        """Whether the containments have to be loaded before anything can be answered."""
        return self._containments is None

    def missing_of(self, questions: Iterable[FactsQuestion]) -> set[Key]:
        """Return the keys that have to be loaded before *questions* can be answered.

        The patient of a recording that is not held comes with its load, and is not named.
        """
        missing = {CONTAINMENTS_KEY} if self._containments is None else set[Key]()
        for question in questions:
            if question.subject_id not in self._subjects.cells:
                missing.add(Key("subject", question.subject_id))
            recording = self._recordings.cells.get(question.recording_id)
            if recording is None:
                missing.add(Key("recording", question.recording_id))
                continue
            patient_id = recording.value.attribution.patient_id
            if patient_id is not None and patient_id not in self._patients.cells:
                missing.add(Key("patient", patient_id))
        return {key for key in missing if not self._unknown.use(key)}

    def put(self, key: Key, value: Value) -> None:
        """Hold *value*; None means that the id is unknown."""
        match value:
            case None:
                self._unknown.put(key, value=True)
            case SubjectFacts():
                self._subjects.put(key.id, value)
            case RecordingFacts():
                self._recordings.put(key.id, value)
            case PatientFacts():
                self._patients.put(key.id, value)
            case _:
                self._containments = self.last_containments = value

    def drop(self, key: Key) -> bool:
        """Forget what is held of *key*, known or unknown; whether anything was."""
        held = self._unknown.drop(key)
        match key.space:
            case "subject":
                return self._subjects.drop(key.id) or held
            case "recording":
                return self._recordings.drop(key.id) or held
            case "patient":
                return self._patients.drop(key.id) or held
            case "containments":
                held, self._containments = self._containments is not None, None
                return held

    def clear(self) -> int:
        """Forget everything; how much that was."""
        held = int(self._containments is not None)
        self._containments = None
        held += self._subjects.clear() + self._recordings.clear()
        return held + self._patients.clear() + self._unknown.clear()

    def counts(self) -> Mapping[str, int]:
        """Return how many values are held, by space."""
        return {
            "subject": len(self._subjects.cells),
            "recording": len(self._recordings.cells),
            "patient": len(self._patients.cells),
            "containments": int(self._containments is not None),
            "unknown": len(self._unknown.cells),
        }

    def evicted(self) -> Mapping[str, int]:
        """Return how many values had to make room, by space."""
        return {
            "subject": self._subjects.evicted,
            "recording": self._recordings.evicted,
            "patient": self._patients.evicted,
            "containments": 0,
            "unknown": self._unknown.evicted,
        }
