"""The questions of the benchmark, and the check of every answer.

Every other question is a patient's about a recording of their own, which is allowed; the ones
between are a patient's about somebody else's, which are denied. They hold ids and nothing else.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle
from typing import NamedTuple

from authz_service.api.v1 import recording_access_pb2 as pb
from authz_service.api.v1 import vocabulary_pb2 as words
from bench.http2 import Question
from bench.load import Call
from bench.world import FREQUENT_PATIENT, RECORDINGS_EACH, World, patient_id, recording_id

CHECK_METHOD = ("authz_service.api.v1.RecordingAccessService", "CheckAccess")
CHECK_PATH = f"/{CHECK_METHOD[0]}/CheckAccess"
BATCH_PATH = f"/{CHECK_METHOD[0]}/BatchCheckAccess"

_PREPARED = 50_000
_PREPARED_BATCHES = 1_000
_DECISION_ID_LENGTH = 36
_SEED = 20200609


class Asked(NamedTuple):
    """One question, by ids, and whether it is the subject's own recording."""

    subject: str
    recording: str
    is_own: bool


class Checked(NamedTuple):
    """What the check of an answer found.

    Attributes:
        decision_ids: The decisions in it.
        problem: What is wrong with it; None where nothing is.
    """

    decision_ids: Sequence[str] = ()
    problem: str | None = None


Check = Callable[[Call], Checked]


class Questions:
    """Makes questions about one world, always the same ones in the same order."""

    def __init__(self, world: World, share_in_memory: float) -> None:
        """Ask about *world*, of which *share_in_memory* is the working set.

        The working set are all recordings of some patients.
        """
        self._world = world
        self._random = random.Random(_SEED)
        self._warm_patients = max(2, round(world.patients * share_in_memory))

    @property
    def warm_recordings(self) -> int:
        """How many recordings the working set has."""
        return self._warm_patients * RECORDINGS_EACH

    def warming(self, batch: int) -> list[Question]:
        """Return batches that touch all facts of the working set once."""
        world, patients = self._world, self._warm_patients
        asked = [
            Asked(patient_id(patient), recording_id(patient + turn * world.patients), is_own=True)
            for patient in range(patients)
            for turn in range(RECORDINGS_EACH)
        ]
        asked += [
            Asked(FREQUENT_PATIENT, recording_id(number), is_own=True)
            for number in world.frequent_recordings
        ]
        return [batched(asked[at : at + batch]) for at in range(0, len(asked), batch)]

    def asked(self) -> list[Asked]:
        """Return what is asked about the working set, at random."""
        return [self._warm(number) for number in range(_PREPARED)]

    def warm(self) -> Iterator[Question]:
        """Return questions about the working set, at random."""
        return cycle([single(one) for one in self.asked()])

    def warm_batches(self, batch: int) -> Iterator[Question]:
        """Return batches of questions about the working set, at random."""
        return cycle(
            [
                batched([self._warm(number) for number in range(batch)])
                for _ in range(_PREPARED_BATCHES)
            ]
        )

    def asked_by_one(self, batch: int) -> list[list[Asked]]:
        """Return batches of what the frequent patient asks: about their own and others' in turn."""
        own = self._world.frequent_recordings
        return [
            [
                Asked(FREQUENT_PATIENT, recording_id(number), is_own=True)
                if place % 2 == 0
                else Asked(FREQUENT_PATIENT, self._warm(1).recording, is_own=False)
                for place, number in enumerate(self._random.sample(own, batch))
            ]
            for _ in range(_PREPARED_BATCHES)
        ]

    def cold(self) -> Iterator[Question]:
        """Return questions of which no subject, recording or patient comes up twice.

        Until all patients have come up; then they come again in the same order.
        """
        numbers = list(range(self._world.patients))
        self._random.shuffle(numbers)
        return cycle(self._cold(numbers))

    def _cold(self, numbers: Sequence[int]) -> Iterator[Question]:
        """Yield questions in which each patient of *numbers* has one part."""
        for one, two, three in zip(numbers[::3], numbers[1::3], numbers[2::3], strict=False):
            yield single(Asked(patient_id(one), self._recording_of(one), is_own=True))
            yield single(Asked(patient_id(two), self._recording_of(three), is_own=False))

    def _warm(self, number: int) -> Asked:
        """Return one question about the working set: each even one is allowed."""
        subject, other = self._random.sample(range(self._warm_patients), 2)
        is_own = number % 2 == 0
        recording = self._recording_of(subject if is_own else other)
        return Asked(patient_id(subject), recording, is_own)

    def _recording_of(self, patient: int) -> str:
        """Return a recording of *patient*."""
        return recording_id(
            patient + self._random.randrange(RECORDINGS_EACH) * self._world.patients
        )


def single(asked: Asked) -> Question:
    """Return *asked* as a CheckAccess."""
    return Question(_message(asked).SerializeToString(), asked)


def batched(asked: list[Asked]) -> Question:
    """Return *asked* as one BatchCheckAccess."""
    request = pb.BatchCheckAccessRequest(
        checks=[_message(one) for one in asked], semantics=pb.BATCH_SEMANTICS_EXECUTE_ALL
    )
    return Question(request.SerializeToString(), asked)


def check_of(facts_revision: int) -> Check:
    """Return the check of an answer to a CheckAccess at *facts_revision*."""

    def check(call: Call) -> Checked:
        asked = call.question.known
        if not isinstance(asked, Asked) or call.answer is None:
            return Checked(problem=f"no answer to {asked}")
        answer = pb.CheckAccessResponse.FromString(call.answer)
        return _checked([asked], [answer], facts_revision)

    return check


def batch_check_of(facts_revision: int) -> Check:
    """Return the check of an answer to a BatchCheckAccess at *facts_revision*."""

    def check(call: Call) -> Checked:
        asked = call.question.known
        if not isinstance(asked, list) or call.answer is None:
            return Checked(problem="no answer to a batch")
        results = pb.BatchCheckAccessResponse.FromString(call.answer).results
        if len(results) != len(asked) or not all(result.evaluated for result in results):
            return Checked(problem=f"{len(results)} results for a batch of {len(asked)}")
        return _checked(asked, [result.answer for result in results], facts_revision)

    return check


def check_echo(call: Call) -> Checked:
    """Check that an echo is the question again."""
    return Checked(problem=None if call.answer == call.question.message else "not an echo")


def _checked(
    asked: Sequence[Asked], answers: Sequence[pb.CheckAccessResponse], facts_revision: int
) -> Checked:
    """Return the decisions in *answers*, or the first thing wrong with them."""
    for one, answer in zip(asked, answers, strict=True):
        problem = _problem(one, answer, facts_revision)
        if problem:
            return Checked(problem=f"{problem}: {one} was answered {answer!s}")
    return Checked([answer.decision_id for answer in answers])


def _problem(asked: Asked, answer: pb.CheckAccessResponse, facts_revision: int) -> str | None:
    """Say what is wrong with *answer*, if anything is."""
    expected = (
        (words.EFFECT_ALLOW, words.REASON_RULE_ALLOWED)
        if asked.is_own
        else (words.EFFECT_DENY, words.REASON_NO_RULE_MATCHED)
    )
    if (answer.effect, answer.reason) != expected:
        return "wrong effect or reason"
    echo = (answer.subject_id, answer.recording_id, answer.action)
    if echo != (asked.subject, asked.recording, words.ACTION_VIEW):
        return "another question is echoed"
    if answer.facts_revision != facts_revision or len(answer.decision_id) != _DECISION_ID_LENGTH:
        return "wrong revision or no decision id"
    return None


def _message(asked: Asked) -> pb.CheckAccessRequest:
    """Return *asked* as a message."""
    return pb.CheckAccessRequest(
        subject=pb.Subject(id=asked.subject),
        recording_id=asked.recording,
        action=words.ACTION_VIEW,
        context=pb.AccessContext(purpose_of_use=words.PURPOSE_OF_USE_PATRQT),
    )
