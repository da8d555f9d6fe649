"""The questions as messages, and the check of every answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import cycle, islice

from authz_service.api.v1 import recording_access_pb2 as pb
from authz_service.api.v1 import vocabulary_pb2 as words
from bench.http2 import Question
from bench.load import Call
from bench.questions import CHECK_METHOD, Check, Checked
from bench.scale.answers import Asked, Page, carers
from bench.scale.samples import Sample
from bench.scale.world import World

SUBJECTS_PATH = f"/{CHECK_METHOD[0]}/ListSubjects"
PAGE = 50
"""How many rows a list has, and how many questions a batch."""
_DECISION_ID_LENGTH = 36
_BATCHES = 400


def message_of(asked: Asked) -> pb.CheckAccessRequest:
    """Return *asked* as a message."""
    return pb.CheckAccessRequest(
        subject=pb.Subject(id=asked.subject),
        recording_id=asked.recording,
        action=words.ACTION_VIEW,
        context=_context(asked.purpose),
    )


def singles(asked: Iterator[Asked], number: int) -> Iterator[Question]:
    """Return the first *number* of *asked*, each a CheckAccess, again and again."""
    return cycle(
        [Question(message_of(one).SerializeToString(), one) for one in islice(asked, number)]
    )


def once(sample: Sample) -> Iterator[Question]:
    """Yield every question of *sample* once, each a CheckAccess."""
    for asked in (*sample.walked, *sample.cached):
        yield Question(message_of(asked).SerializeToString(), asked)


def batches(asked: Iterator[Asked], number: int) -> Iterator[Question]:
    """Return *asked* as batches of `PAGE`, so many different ones as *number* questions make."""
    made = []
    for _ in range(max(1, min(_BATCHES, -(-number // PAGE)))):
        batch = list(islice(asked, PAGE))
        request = pb.BatchCheckAccessRequest(
            checks=map(message_of, batch), semantics=pb.BATCH_SEMANTICS_EXECUTE_ALL
        )
        made.append(Question(request.SerializeToString(), batch))
    return cycle(made)


def lists(pages: Iterator[Page], number: int) -> Iterator[Question]:
    """Return the first *number* of *pages* as ListRecordings, again and again."""
    return cycle(
        [Question(_list(page).SerializeToString(), page) for page in islice(pages, number)]
    )


def subjects(world: World, asked: Iterator[Asked], number: int) -> Iterator[Question]:
    """Return ListSubjects about what the first *number* of *asked* are about, again and again."""
    made = []
    for one in islice(asked, number):
        request = pb.ListSubjectsRequest(
            recording_id=one.recording,
            action=words.ACTION_VIEW,
            context=_context(words.PURPOSE_OF_USE_TREAT),
            page_size=PAGE,
        )
        made.append(Question(request.SerializeToString(), (one, carers(world, one.number))))
    return cycle(made)


def check_of(revision: int) -> Check:
    """Return the check of an answer to a CheckAccess at *revision*."""

    def check(call: Call) -> Checked:
        if not isinstance(call.question.known, Asked) or call.answer is None:
            return Checked(problem=f"no answer to {call.question.known}")
        answer = pb.CheckAccessResponse.FromString(call.answer)
        return _found(problem_of(call.question.known, answer, revision), answer.decision_id)

    return check


def batch_check_of(revision: int) -> Check:
    """Return the check of an answer to a batch at *revision*."""

    def check(call: Call) -> Checked:
        asked = call.question.known
        if not isinstance(asked, list) or call.answer is None:
            return Checked(problem="no answer to a batch")
        results = pb.BatchCheckAccessResponse.FromString(call.answer).results
        if len(results) != len(asked):
            return Checked(problem=f"{len(results)} results for a batch of {len(asked)}")
        for one, result in zip(asked, results, strict=True):
            problem = problem_of(one, result.answer, revision)
            if problem or not result.evaluated:
                return Checked(problem=problem or f"{one} was not evaluated")
        return Checked([result.answer.decision_id for result in results])

    return check


def list_check_of(revision: int) -> Check:
    """Return the check of a page of recordings at *revision*."""

    def check(call: Call) -> Checked:
        page = call.question.known
        if not isinstance(page, Page) or call.answer is None:
            return Checked(problem=f"no answer to {page}")
        answer = pb.ListRecordingsResponse.FromString(call.answer)
        found = Page(
            answer.subject_id,
            tuple(row.recording_id for row in answer.recordings),
            is_last=not answer.next_page_token,
        )
        right = found == page and answer.facts_revision == revision
        return _found("" if right else f"{page} was answered {answer}", answer.decision_id)

    return check


def subjects_check_of(revision: int) -> Check:
    """Return the check of a page of subjects at *revision*."""

    def check(call: Call) -> Checked:
        if not isinstance(call.question.known, tuple) or call.answer is None:
            return Checked(problem=f"no answer to {call.question.known}")
        one, expected = call.question.known
        answer = pb.ListSubjectsResponse.FromString(call.answer)
        found = tuple(row.subject_id for row in answer.subjects)
        echo = answer.recording_id, answer.facts_revision, answer.next_page_token
        right = found == expected and echo == (one.recording, revision, "")
        return _found("" if right else f"{expected} was answered {answer}", answer.decision_id)

    return check


def problem_of(asked: Asked, answer: pb.CheckAccessResponse, revision: int | None) -> str:
    """Say what is wrong with *answer*, at *revision* where one is given; empty where nothing is."""
    allowed = asked.reason == words.REASON_RULE_ALLOWED
    effect = words.EFFECT_ALLOW if allowed else words.EFFECT_DENY
    echo = answer.subject_id, answer.recording_id, answer.action
    right = (answer.effect, answer.reason) == (effect, asked.reason)
    if not right or echo != (asked.subject, asked.recording, words.ACTION_VIEW):
        return f"{asked} was answered {answer}"
    if revision is not None and answer.facts_revision != revision:
        return f"{asked} was answered at another revision than {revision}"
    return ""


def _found(problem: str, decision_id: str) -> Checked:
    """Return what the check of one answer found."""
    if not problem and len(decision_id) != _DECISION_ID_LENGTH:
        problem = "an answer names no decision"
    return Checked([decision_id], problem or None)


def _list(page: Page) -> pb.ListRecordingsRequest:
    """Return the question for a clinician's list."""
    return pb.ListRecordingsRequest(
        subject=pb.Subject(id=page.subject),
        action=words.ACTION_VIEW,
        context=_context(words.PURPOSE_OF_USE_TREAT),
        page_size=PAGE,
    )


def _context(purpose: words.PurposeOfUse.ValueType) -> pb.AccessContext:
    """Return the circumstances in which everybody asks: with two factors."""
    return pb.AccessContext(purpose_of_use=purpose, assurance=words.ASSURANCE_MULTI_FACTOR)


CheckOf = Callable[[int], Check]
"""Makes the check of answers at a revision."""
