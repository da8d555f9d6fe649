"""An earlier instant asked about at a service and without one: the same answers, on record."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from authz_service.api.v1 import recording_access_pb2 as pb
from authz_service.audit.verify import read_records
from authz_service.pdp.model import Instant
from tests.e2e.client import client_of, failing, outcome_of, question
from tests.e2e.clinic import FACTS, LATER, delegation
from tests.service_thread import serving
from tests.unit.cli.cli_runs import document, run

BEGAN = datetime(2023, 9, 20, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)
GIVEN = {"purpose_of_use": "FAMRQT"}
ASKED = ("olga", "rec-lio", "--purpose", "FAMRQT")
STATES = {
    0.5: ("DENY", "NO_RULE_MATCHED"),
    1: ("ALLOW", "RULE_ALLOWED"),
    1.5: ("ALLOW", "RULE_ALLOWED"),
    2: ("DENY", "DELEGATION_REVOKED"),
}
"""What is answered about so many hours after the beginning."""


class Place(NamedTuple):
    """A registry that was written hour by hour, with the service that still runs on it."""

    url: str
    service: Any
    folder: Path


def told(hours: float) -> str:
    """Return an instant as it is typed."""
    return (BEGAN + HOUR * hours).isoformat()


@pytest.fixture
def place(tmp_path: Path, either_url: str) -> Iterator[Place]:
    """Olga is made Lio's guardian after an hour, and is not any more after two."""
    with (
        serving(tmp_path, registry_url=either_url, facts_staleness_ms=0) as service,
        client_of(service) as client,
    ):
        for hours, facts in (
            (0, FACTS),
            (1, [delegation("d1")]),
            (2, [delegation("d1", observed_at=LATER, revoked_at=LATER)]),
        ):
            service.clock.instant = BEGAN + HOUR * hours
            client.write(facts)
        service.clock.instant = BEGAN + HOUR * 3
        yield Place(either_url, service, tmp_path)


def test_a_service_and_no_service_give_one_answer_about_then(place: Place) -> None:
    """`authz check` and `authz explain`, asked of the service and on its registry."""
    there = ("--address", place.service.address, "--format", "json")
    here = ("--offline", "--registry-url", place.url, "--format", "json")

    for hours, outcome in STATES.items():
        instant = ("--as-of", told(hours))
        answers = [document(run("check", *ASKED, *instant, *way)) for way in (there, here)]
        reasons = [document(run("explain", *ASKED, *instant, *way)) for way in (there, here)]

        found = [(one["effect"], one["reason"]) for one in answers]
        assert found == [outcome, outcome]
        assert answers[0]["facts_revision"] == answers[1]["facts_revision"]
        assert answers[0]["as_of"] == answers[1]["as_of"]
        for name in ("rule", "situation", "facts", "nearest_change", "as_of", "rules"):
            assert reasons[0].get(name) == reasons[1].get(name), name
        assert (reasons[1]["answer"]["effect"], reasons[1]["answer"]["reason"]) == outcome


def test_what_is_asked_about_then_is_on_record_as_explained(place: Place) -> None:
    """With the instant that it is about, and that at which it was asked."""
    with client_of(place.service) as client:
        request = pb.ExplainAccessRequest(check=question("olga", "rec-lio", context=GIVEN))
        request.as_of.FromDatetime(BEGAN + HOUR * 1.5)
        answer = client.access.ExplainAccess(request, timeout=10)

    (record,) = (
        dict(one) for one in read_records(place.folder / "journal") if "decision_id" in one
    )
    assert outcome_of(answer.answer) == STATES[1.5]
    assert (record["kind"], record["effect"]) == ("EXPLAINED", "ALLOW")
    assert (record["as_of"], record["evaluated_at"]) == (
        "2023-09-20T10:30:00Z",
        "2023-09-20T12:00:00Z",
    )


def test_clocks_that_jump_never_let_a_later_write_into_an_earlier_instant(place: Place) -> None:
    """A clock an hour behind writes; what was known at its instant is as it was before it wrote."""
    place.service.clock.instant = BEGAN + HOUR * 1.2
    with client_of(place.service) as client:
        client.write([delegation("d2")])
        request = pb.ExplainAccessRequest(check=question("olga", "rec-lio", context=GIVEN))
        request.as_of.FromDatetime(BEGAN + HOUR * 2)
        ahead: Instant = place.service.clock.instant
        refused = failing(lambda: client.access.ExplainAccess(request, timeout=10))
        place.service.clock.instant = BEGAN + HOUR * 3
        answers = []
        for hours in (1.2, 2):
            request.as_of.FromDatetime(BEGAN + HOUR * hours)
            answers.append(outcome_of(client.access.ExplainAccess(request, timeout=10).answer))

    assert ahead < BEGAN + HOUR * 2
    assert (refused.code, list(refused.fields)) == ("INVALID_ARGUMENT", ["as_of"])
    assert answers == [STATES[1.5], ("ALLOW", "RULE_ALLOWED")]
