"""Lists: the questions, the check of every page, and walks through all pages of two people."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from statistics import median
from time import perf_counter
from typing import NamedTuple

from authz_service.api.v1 import recording_access_pb2 as pb
from authz_service.api.v1 import recording_access_pb2_grpc as pb_grpc
from authz_service.api.v1 import vocabulary_pb2 as words
from bench.http2 import Question
from bench.load import Call
from bench.measure import Ledger
from bench.processes import Server
from bench.questions import CHECK_METHOD, Checked
from bench.world import BUSY_CLINICIAN, FREQUENT_PATIENT, World, clinician_id, recording_id

LIST_PATH = f"/{CHECK_METHOD[0]}/ListRecordings"
PAGE = 50
"""How many rows the measured pages have."""

_CLINICIANS = 100
_DECISION_ID_LENGTH = 36
_WALKS = 3
_PAGES_AT_LEAST = 40


class Listed(NamedTuple):
    """A page that is asked for: whose, and which recordings have to be on it, in order."""

    subject: str
    recordings: tuple[str, ...]
    is_last: bool = False


@dataclass(frozen=True, slots=True)
class Walk:
    """What the pages of one person took.

    Attributes:
        recordings: How many recordings they have.
        first_milliseconds: The median of a page at the first walk, most facts not in memory.
        again_milliseconds: The same at later walks.
        last_milliseconds: The last full page at later walks.
    """

    recordings: int
    first_milliseconds: float
    again_milliseconds: float
    last_milliseconds: float


def first_pages(world: World) -> list[Question]:
    """Return a question for the first page of each of some clinicians."""
    questions = []
    for number in range(min(_CLINICIANS, world.clinicians)):
        subject = clinician_id(number)
        newest = [
            each
            for each in reversed(world.frequent_recordings)
            if world.clinician_of(each) == subject
        ]
        newest += range(number, world.recordings, world.clinicians)[: -PAGE - 1 : -1]
        listed = Listed(subject, tuple(map(recording_id, newest[:PAGE])))
        questions.append(Question(_question(listed.subject).SerializeToString(), listed))
    return questions


def asked_in_turn(world: World) -> Iterator[Question]:
    """Return these questions again and again."""
    return cycle(first_pages(world))


def list_check_of(facts_revision: int) -> Callable[[Call], Checked]:
    """Return the check of a page at *facts_revision*."""

    def check(call: Call) -> Checked:
        listed = call.question.known
        if not isinstance(listed, Listed) or call.answer is None:
            return Checked(problem="no answer to a list")
        return _checked(listed, pb.ListRecordingsResponse.FromString(call.answer), facts_revision)

    return check


def walks(server: Server, world: World, ledger: Ledger, facts_revision: int) -> tuple[Walk, Walk]:
    """Walk through all pages of the busy clinician and of the frequent patient, one at a time."""
    with server.channel() as channel:
        stub = pb_grpc.RecordingAccessServiceStub(channel)
        busy = range(world.recordings, world.recordings + world.busy)
        whose = ((BUSY_CLINICIAN, busy), (FREQUENT_PATIENT, world.frequent_recordings))
        clinician, patient = (
            _walked(stub, subject, recordings, ledger, facts_revision)
            for subject, recordings in whose
        )
    return clinician, patient


def _walked(
    stub: pb_grpc.RecordingAccessServiceStub,
    subject: str,
    recordings: range,
    ledger: Ledger,
    facts_revision: int,
) -> Walk:
    """Walk through all pages of *subject*, once and then some times more."""
    expected = [recording_id(number) for number in reversed(recordings)]
    pages = [
        Listed(subject, tuple(expected[at : at + PAGE]), is_last=at + PAGE >= len(expected))
        for at in range(0, len(expected), PAGE)
    ]
    first = _walk(stub, pages, ledger, facts_revision)
    more = max(_WALKS, -(-_PAGES_AT_LEAST // len(pages)))
    again = [_walk(stub, pages, ledger, facts_revision) for _ in range(more)]
    return Walk(
        len(recordings),
        float(median(first)),
        float(median(page for walk in again for page in walk)),
        float(median(walk[-1] for walk in again)),
    )


def _walk(
    stub: pb_grpc.RecordingAccessServiceStub,
    pages: Sequence[Listed],
    ledger: Ledger,
    facts_revision: int,
) -> list[float]:
    """Walk once; return what each page took, in milliseconds."""
    found, token = [], ""
    for listed in pages:
        question = _question(listed.subject, token)
        begun = perf_counter()
        answer = stub.ListRecordings(question, timeout=30)
        found.append((perf_counter() - begun) * 1000)
        token = answer.next_page_token
        ledger.take(_checked(listed, answer, facts_revision))
    return found


def _checked(listed: Listed, answer: pb.ListRecordingsResponse, facts_revision: int) -> Checked:
    """Return the decisions on a page, or the first thing wrong with it."""
    found = tuple(row.recording_id for row in answer.recordings)
    if found != listed.recordings or bool(answer.next_page_token) is listed.is_last:
        return Checked(problem=f"{listed} was answered {found}")
    if (answer.subject_id, answer.facts_revision) != (listed.subject, facts_revision):
        return Checked(problem=f"{listed} was answered for another question or revision")
    ids = [answer.decision_id, *(row.decision_id for row in answer.recordings)]
    if any(len(each) != _DECISION_ID_LENGTH for each in ids):
        return Checked(problem=f"{listed} was answered without a decision id")
    return Checked(ids)


def _question(subject: str, token: str = "") -> pb.ListRecordingsRequest:
    """Return a question for a page: a patient's for themselves, a clinician's for their care."""
    is_patient = subject == FREQUENT_PATIENT
    return pb.ListRecordingsRequest(
        subject=pb.Subject(id=subject),
        context=pb.AccessContext(
            purpose_of_use=words.PURPOSE_OF_USE_PATRQT
            if is_patient
            else words.PURPOSE_OF_USE_TREAT,
            assurance=words.ASSURANCE_MULTI_FACTOR,
        ),
        page_size=PAGE,
        page_token=token,
    )
