"""Who may stop access and who may review, over mTLS; and what is recorded of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from authz_service.api.v1 import entities_pb2, facts_pb2
from authz_service.audit.verify import read_records
from tests.certificates import CALLER, EVERYTHING, WITNESSES, Estate
from tests.e2e.client import Client, client_of, failing, write_as_three
from tests.e2e.clinic import FACTS, LATER, SEEN, Plain, fact
from tests.service_thread import serving

_CLINIC = 3
"""The clinic is written as three systems."""
FULL = "spiffe://example.org/console"
DESK = "spiffe://example.org/desk"
BRAKE: Plain = {"id": "k1", "scope": {"audience": "EVERYONE"}, "set_by": "eve"}
LIFTED: Plain = {**BRAKE, "lifted_by": "zed", "lifted_at": SEEN}
GRANT: Plain = {
    "id": "g1",
    "kind": "EMERGENCY",
    "subject_id": "dr-lund",
    "patient_id": "mara",
    "approved_by": "boss",
    "valid_from": SEEN,
}
REVIEWED: Plain = {**GRANT, "review": {"at": SEEN, "by": "rev", "verdict": "JUSTIFIED"}}
PROXY: Plain = {"id": "d1", "kind": "PARENTAL", "patient_id": "lio", "delegate_id": "olga"}
ENDED: Plain = {**PROXY, "competence_review": {"at": SEEN, "outcome": "PROXY_ENDS"}}


class Desks(NamedTuple):
    """A service, with a caller that has every power and one that writes the same without."""

    full: Client
    desk: Client
    folder: Path


@pytest.fixture
def desks(tmp_path: Path) -> Iterator[Desks]:
    estate = Estate(tmp_path)
    kinds = "containment as console|grant as console|delegation as console"
    estate.put_callers(
        f"{CALLER},{EVERYTHING}",
        *WITNESSES,
        f"{FULL},*,*,*,*,{kinds},*",
        f"{DESK},WriteFacts|DeleteFacts|ErasePerson,*,,,{kinds},explain|read_log",
    )
    with ExitStack() as stack:
        service = stack.enter_context(serving(tmp_path, **estate.settings))
        full, desk = (
            stack.enter_context(client_of(service, estate.credentials(one))) for one in (FULL, DESK)
        )
        write_as_three(service, estate, FACTS)
        yield Desks(full, desk, tmp_path)


def said(kind: str, fields: Plain, observed_at: str = SEEN) -> Plain:
    """Return a fact that the console says."""
    return {**fact(kind, observed_at=observed_at, **fields), "source": "console"}


def delete(client: Client, kind: str, one: str) -> Any:
    """Delete a fact."""
    named = entities_pb2.FactReference(
        kind=entities_pb2.FactKind.Value(f"FACT_KIND_{kind.upper()}"), id=one
    )
    request = facts_pb2.DeleteFactsRequest(references=[named], actor="zed")
    return client.facts.DeleteFacts(request, timeout=10)


def written(folder: Path) -> Sequence[dict[str, Any]]:
    """Return what is recorded of writes but of those that make the clinic."""
    records: list[dict[str, Any]] = [dict(one) for one in read_records(folder / "journal")]
    return [one["details"] for one in records if one["kind"] == "FACTS_WRITTEN"][_CLINIC:]


def is_refused(failure: Any) -> bool:
    """Whether a call failed for the lack of a power."""
    refused = (failure.code, failure.reason) == ("PERMISSION_DENIED", "CALLER_NOT_ALLOWED")
    return bool(refused and failure.message.endswith("(power)"))


def test_who_may_not_contain_neither_sets_nor_lifts_nor_deletes(desks: Desks) -> None:
    full, desk, folder = desks

    assert is_refused(failing(desk.write, [said("containment", BRAKE)], actor="eve"))
    full.write([said("containment", BRAKE)], actor="eve")
    lifted = said("containment", LIFTED, LATER)
    assert is_refused(failing(desk.write, [lifted], actor="zed"))
    full.write([lifted], actor="zed")
    assert is_refused(failing(delete, desk, "containment", "k1"))
    delete(full, "containment", "k1")

    assert [(one.get("contained"), one.get("lifted")) for one in written(folder)] == [
        (["containment/k1"], None),
        (None, ["containment/k1"]),
    ]
    assert {tuple(one["references"]) for one in written(folder)} == {("containment/k1",)}


def test_who_may_not_erase_erases_nobody(desks: Desks) -> None:
    full, desk, _ = desks
    request = facts_pb2.ErasePersonRequest(patient_id="ines", reason="her request", actor="dpo")

    assert is_refused(failing(desk.facts.ErasePerson, request, timeout=10))
    assert full.facts.ErasePerson(request, timeout=10).erased == 4


@pytest.mark.parametrize(
    ("kind", "before", "after"), [("grant", GRANT, REVIEWED), ("delegation", PROXY, ENDED)]
)
def test_who_may_not_review_writes_everything_but_reviews(
    desks: Desks, kind: str, before: Plain, after: Plain
) -> None:
    full, desk, folder = desks

    assert is_refused(failing(desk.write, [said(kind, {**after, "id": "new"})], actor="rev"))
    desk.write([said(kind, before)], actor="boss")
    assert is_refused(failing(desk.write, [said(kind, after, LATER)], actor="rev"))
    full.write([said(kind, after, LATER)], actor="rev")

    assert [one.get("reviewed") for one in written(folder)] == [None, [f"{kind}/{before['id']}"]]
