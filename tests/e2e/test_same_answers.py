"""What a caller that may not explain is told of closed recordings is the same, byte for byte."""

from __future__ import annotations

from base64 import urlsafe_b64decode
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from authz_service.api.v1 import recording_access_pb2 as pb
from authz_service.api.v1 import vocabulary_pb2 as words
from tests.e2e.client import Client, client_of, question
from tests.e2e.clinic import Plain, patient, recorded
from tests.e2e.closed_doors import DOORS, OTHERS, PLAIN_CALLER, SUBJECT, chunks, names_of, world
from tests.service_thread import serving

AS_MANY = 2
"""How many recordings of each kind there are."""
LEFT_OUT = 500
"""How many denied recordings a list leaves out."""
MADE = "2023-06-01T08:20:00.{:06d}Z"


def _listed() -> Iterator[Plain]:
    """Yield two patients with three recordings each; the one has many more, which are closed."""
    for name, closed in (("full", LEFT_OUT), ("bare", 0)):
        yield patient(name)
        for number in (100, 300, 500):
            yield from _made(recorded(f"{name}-{number:04d}", name), number)
        for number in range(closed):
            facts = recorded(f"{name}-{number + 1000:04d}", name)
            yield from _made(facts, 2 * number + 1, state="DELETED")


def _made(facts: Sequence[Plain], number: int, **fields: Any) -> Iterator[Plain]:
    """Yield *facts* of a recording that was made at another time."""
    for one in facts:
        made = {**one.get("recording", {}), "created_at": MADE.format(number), **fields}
        yield {**one, "recording": made} if "recording" in one else one


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A client that may not explain, of a service in which all doors are closed to Olga."""
    folder = tmp_path_factory.mktemp("doors")
    callers = folder / "callers.csv"
    callers.write_text(PLAIN_CALLER, encoding="utf-8")
    with serving(folder, callers_file=callers) as service, client_of(service) as made:
        for some in chunks([*world(AS_MANY), *_listed()]):
            made.write(some)
        yield made


def cleared(answer: Any) -> Any:
    """Return *answer* without ids and time; it must have had all of them."""
    bare = type(answer)()
    bare.CopyFrom(answer)
    for name in ("decision_id", "evaluated_at", "request_id", "recording_id", "subject_id"):
        if name in answer.DESCRIPTOR.fields_by_name:
            assert name in {field.name for field, _ in answer.ListFields()}
            bare.ClearField(name)
    return bare


def told(client: Client, request: pb.CheckAccessRequest) -> tuple[object, ...]:
    """Return all that a caller can see of an answer but ids and time."""
    named = (("x-request-id", "the-same"),)
    answer, call = client.access.CheckAccess.with_call(request, timeout=10, metadata=named)
    assert (answer.recording_id, answer.subject_id) == (request.recording_id, request.subject.id)
    return (
        cleared(answer).SerializeToString(deterministic=True),
        tuple(call.initial_metadata() or ()),
        tuple(call.trailing_metadata()),
        (len(answer.decision_id), answer.decision_id[14], answer.request_id),
        (call.code(), call.details()),
    )


def doors() -> Iterator[tuple[str, str]]:
    """Yield every kind of closed recording with each id of it."""
    for kind in DOORS:
        for name in names_of(kind, AS_MANY):
            yield kind, name


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({}, id="watch"),
        pytest.param({"action": "EXPORT"}, id="export"),
        pytest.param({"action": "DELETE", "context": {"purpose_of_use": "HOPERAT"}}, id="delete"),
        pytest.param({"tenant_id": "fjell"}, id="tenant-named"),
        pytest.param({"tenant_id": "dal"}, id="other-tenant-named"),
        pytest.param({"tenant_id": "no-such"}, id="unknown-tenant-named"),
        pytest.param(
            {"context": {"purpose_of_use": "FAMRQT", "assurance": "MULTI_FACTOR"}}, id="relative"
        ),
        pytest.param(
            {"context": {"purpose_of_use": "HLEGAL", "matter_id": "m-1"}}, id="matter-named"
        ),
    ],
)
def test_every_closed_recording_gets_the_same_answer(client: Client, fields: Plain) -> None:
    """Known or unknown, seen for the first time or the second."""
    seen = {
        (kind, name, turn): told(client, question(SUBJECT, name, **fields))
        for turn in (1, 2)
        for kind, name in doors()
    }

    assert len(set(seen.values())) == 1


def test_everybody_without_rights_gets_the_same_answer(client: Client) -> None:
    """Unknown, suspended, dead, of elsewhere, kept from one's own or the family's record."""
    asked = [question(who, name) for who in OTHERS for name in ("rec-mara", "no-such")]

    assert len({told(client, one) for one in asked}) == 1


def test_the_same_answer_says_nothing_but_no(client: Client) -> None:
    answer = client.check(SUBJECT, "no-such")

    bare = cleared(answer)
    for name in ("policy_revision", "facts_revision", "action"):
        bare.ClearField(name)
    assert bare == pb.CheckAccessResponse(
        effect=words.EFFECT_DENY, reason=words.REASON_NOT_AVAILABLE
    )


@pytest.mark.parametrize("semantics", ["EXECUTE_ALL", "DENY_ON_FIRST_DENY", "ALLOW_ON_FIRST_ALLOW"])
def test_every_closed_recording_gets_the_same_answer_in_a_batch(
    client: Client, semantics: str
) -> None:
    """Beside what is allowed and what is malformed, and many times over."""

    def batch(names: Sequence[str]) -> bytes:
        checks = [
            question("mara", "rec-mara"),
            *(question(SUBJECT, name) for name in names),
            question("m m", "rec-mara"),
            *(question(SUBJECT, name) for name in names),
        ]
        number = pb.BatchSemantics.Value(f"BATCH_SEMANTICS_{semantics}")
        request = pb.BatchCheckAccessRequest(checks=checks, semantics=number)
        response = client.access.BatchCheckAccess(request, timeout=10)
        assert {r.answer.evaluated_at.nanos for r in response.results if r.evaluated} == {
            response.evaluated_at.nanos
        }
        for result in response.results:
            if result.evaluated:
                result.answer.CopyFrom(cleared(result.answer))
        bare = cleared(response)
        return bytes(bare.SerializeToString(deterministic=True))

    assert len({batch(names_of(kind, AS_MANY)) for kind in DOORS}) == 1
    mixed = [names_of(kind, 1)[0] for kind in DOORS][:AS_MANY]
    assert batch(mixed) == batch(names_of("unknown", AS_MANY))


@pytest.mark.parametrize("page_size", [1, 2, 3, 4, 50])
def test_a_list_does_not_tell_how_much_it_leaves_out(client: Client, page_size: int) -> None:
    """Neither in its rows nor in its token, which names the last row returned and nothing else."""

    def pages(who: str) -> list[tuple[object, ...]]:
        found: list[tuple[object, ...]] = []
        token = ""
        while token or not found:
            request = pb.ListRecordingsRequest(page_size=page_size, page_token=token)
            request.subject.id = who
            request.context.purpose_of_use = question("x", "x").context.purpose_of_use
            page = client.access.ListRecordings(request, timeout=10)
            token = page.next_page_token
            rows = [(r.recording_id.removeprefix(who), r.created_at.nanos) for r in page.recordings]
            held = urlsafe_b64decode(token + "=" * (-len(token) % 4))[17:-32].decode()
            for row in page.recordings:
                assert len(row.decision_id) == len(page.decision_id) == 36
            names = [field.name for field, _ in page.ListFields()]
            found.append((rows, len(token), held.replace(who, ""), names))
        return found

    full, bare = pages("full"), pages("bare")

    assert full == bare
    assert sum(len(rows) for rows, *_ in full if isinstance(rows, list)) == 3


def test_the_list_of_somebody_without_rights_does_not_tell_whose_it_would_be(
    client: Client,
) -> None:
    """A patient with hundreds of recordings, one with a few, one with none, and nobody at all."""
    seen = set()
    for whose in ("full", "bare", "olga", "nora", "no-such"):
        request = pb.ListRecordingsRequest(patient_id=whose)
        request.subject.id = "ines"
        request.context.purpose_of_use = question("x", "x").context.purpose_of_use
        page = client.access.ListRecordings(request, timeout=10)
        assert page.patient_id == whose
        assert not page.recordings
        bare = cleared(page)
        bare.ClearField("patient_id")
        seen.add(bare.SerializeToString(deterministic=True))

    assert len(seen) == 1


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda r: setattr(r, "at_least_facts_revision", 10**9), id="revision-ahead"),
        pytest.param(lambda r: setattr(r, "tenant_id", "a b"), id="malformed-tenant"),
        pytest.param(lambda r: setattr(r, "action", 99), id="unknown-action"),
        pytest.param(lambda r: r.context.ClearField("purpose_of_use"), id="no-purpose"),
    ],
)
def test_a_failure_does_not_tell_what_there_is(
    client: Client, spoil: Callable[[pb.CheckAccessRequest], None]
) -> None:
    """And it comes before anything is looked up, or the same for all."""
    seen = set()
    for _, name in (*doors(), ("open", "rec-mara")):
        request = question(SUBJECT, name)
        spoil(request)
        with pytest.raises(grpc.RpcError) as failed:
            client.access.CheckAccess(request, timeout=10)
        error: Any = failed.value
        details = status_pb2.Status.FromString(
            dict(error.trailing_metadata())["grpc-status-details-bin"]
        )
        reason = error_details_pb2.ErrorInfo()
        details.details[0].Unpack(reason)
        seen.add((error.code(), error.details(), reason.reason, details.SerializeToString()))

    assert len(seen) == 1
