"""June 2020 again, written through WriteFacts by the three systems that wrote it then.

Booking, media server and recording pipeline are three callers, whose streams come interleaved. At
no moment is anybody presented with what is not theirs; the operators see every conflict within a
second of the last write, stop the release with one command, and open it again by two people.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from authz_service.api.v1 import recording_access_pb2 as pb
from authz_service.api.v1 import vocabulary_pb2
from authz_service.audit.verify import read_records
from authz_service.cli.verbs import app
from tests.certificates import BOOKING, CALLER, EVERYTHING, MEDIA_SERVER, WITNESSES, Estate
from tests.e2e.client import client_of, write_as_three
from tests.e2e.incident import (
    CORRECTED_AT,
    RELEASE,
    Incident,
    Plain,
    demo_incident,
    interleaved,
    shared_incident,
)
from tests.golden.scenarios import SHARED
from tests.service_thread import ServiceThread, serving
from tests.wire import fill

PIPELINE = "spiffe://example.org/recording-pipeline"
SPEAKERS = {"consultation": BOOKING, "attendance": MEDIA_SERVER, "recording": PIPELINE}
WITHIN_SECONDS = 1.0
REDONE_AT = "2020-06-10T07:00:00Z"
_CONTEXT = {"purpose_of_use": "PATRQT", "assurance": "SINGLE_FACTOR"}
_DEMO_MIXED_UP = 8
_BESIDE = {"source", "observed_at"}


class Operators:
    """Those who watch, at their commands; and what the three systems and a portal ask.

    Attributes:
        incident: What happens.
    """

    def __init__(
        self, incident: Incident, service: ServiceThread, estate: Estate, folder: Path, url: str
    ) -> None:
        self.incident = incident
        self._stack = ExitStack()
        self._clients = {
            caller: self._stack.enter_context(client_of(service, estate.credentials(caller)))
            for caller in (CALLER, *SPEAKERS.values())
        }
        self._portal = self._clients[CALLER]
        self._folder = folder
        self._environment = {
            **estate.client_files(),
            "AUTHZ_LISTEN": service.address,
            "AUTHZ_REGISTRY_URL": url,
        }
        self._before = self._in_conflict()
        self._counted_before = self._counted()

    def close(self) -> None:
        """Close every channel."""
        self._stack.close()

    def say(self, witness: str, facts: Sequence[Plain]) -> None:
        """Write *facts* as the system that is the *witness*."""
        self._clients[SPEAKERS[witness]].write([_unsigned(fact) for fact in facts])

    def command(self, *words: str, code: int = 0) -> Any:
        """Run a command; return the document that it prints."""
        result = CliRunner().invoke(app, [*words, "--format", "json"], env=self._environment)
        assert result.exit_code == code, result.output
        return json.loads(result.stdout) if code == 0 else None

    def listed(self, patient: str) -> frozenset[str]:
        """Return what *patient* is presented with."""
        request = pb.ListRecordingsRequest(page_size=500)
        fill(request, {"subject": {"id": patient}, "context": _CONTEXT})
        response = self._portal.access.ListRecordings(request, timeout=10)
        return frozenset(row.recording_id for row in response.recordings)

    def reasons(self, patient_of: Mapping[str, str]) -> Mapping[str, str]:
        """Return why each recording may be viewed, or not, by the patient named for it."""
        request = pb.BatchCheckAccessRequest()
        fill(request.defaults, {"action": "VIEW", "context": _CONTEXT})
        for recording, patient in patient_of.items():
            fill(request.checks.add(), {"subject": {"id": patient}, "recording_id": recording})
        response = self._portal.access.BatchCheckAccess(request, timeout=10)
        return {
            one.answer.recording_id: vocabulary_pb2.Reason.Name(one.answer.reason).removeprefix(
                "REASON_"
            )
            for one in response.results
        }

    def require_only_their_own(self) -> None:
        """Ask as everybody who is concerned; nobody may be shown what is another's."""
        incident = self.incident
        assert self.listed(incident.named) <= incident.own
        for patient in incident.true_patients:
            assert self.listed(patient) <= incident.theirs(patient)
        others = {one: incident.named for one in incident.of_that_day if one not in incident.own}
        assert "RULE_ALLOWED" not in self.reasons(others).values()

    def require_all_conflicts_seen(self) -> None:
        """Look where operators look: metric, records, command."""
        mixed_up = self.incident.mixed_up
        assert self._counted() - self._counted_before >= len(mixed_up)
        told = self.recorded("CONFLICTS_FOUND")
        named = {each for one in told for each in one["details"]["recording_ids"]}
        assert named - self._before == mixed_up
        assert self.new_conflicts() == mixed_up

    def new_conflicts(self) -> frozenset[str]:
        """Return the recordings whose facts disagree, and did not before that day."""
        return self._in_conflict() - self._before

    def recorded(self, kind: str) -> Sequence[Mapping[str, Any]]:
        """Return the events of one kind."""
        return [one for one in self._records() if one["kind"] == kind]

    def _in_conflict(self) -> frozenset[str]:
        """Return the recordings whose facts disagree, as the command lists them."""
        found = self.command("facts", "conflicts")["conflicts"]
        return frozenset(one["recording_id"] for one in found)

    def _counted(self) -> float:
        """Return how many conflicts the metric has counted."""
        return float(self._portal.metrics()["authz_facts_conflicts_total"])

    def _records(self) -> Sequence[Mapping[str, Any]]:
        """Return everything that is recorded."""
        return [dict(one) for one in read_records(self._folder / "journal")]


@contextmanager
def operators_of(incident: Incident, folder: Path, url: str) -> Iterator[Operators]:
    """Serve over TLS with the world before that day."""
    estate = Estate(folder)
    pipeline = f"{PIPELINE},WriteFacts,*,,,recording as recording-pipeline,"
    estate.put_callers(f"{CALLER},{EVERYTHING}", *WITNESSES, pipeline)
    with serving(folder, registry_url=url, facts_staleness_ms=0, **estate.settings) as service:
        write_as_three(service, estate, [_unsigned(fact) for fact in incident.before])
        operators = Operators(incident, service, estate, folder, url)
        try:
            yield operators
        finally:
            operators.close()


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared scenarios are not beside the project")
@pytest.mark.parametrize(
    "order", ["recording", "1", pytest.param("attendance", marks=pytest.mark.slow)]
)
def test_the_incident_of_june_2020_shows_nobody_what_is_not_theirs(
    tmp_path: Path, either_url: str, order: str
) -> None:
    incident = shared_incident()
    assert len(incident.mixed_up) == 50

    replay(incident, order, tmp_path, either_url)


@pytest.mark.parametrize(
    "order", ["2", *(pytest.param(one, marks=pytest.mark.slow) for one in ("recording", "3"))]
)
def test_a_small_incident_of_the_demo_shows_nobody_what_is_not_theirs(
    tmp_path: Path, either_url: str, order: str
) -> None:
    incident = demo_incident(_DEMO_MIXED_UP)
    assert len(incident.mixed_up) == _DEMO_MIXED_UP

    replay(incident, order, tmp_path, either_url)


def replay(incident: Incident, order: str, folder: Path, url: str) -> None:
    """Have it happen again, be seen, be stopped, and be mended."""
    with operators_of(incident, folder, url) as operators:
        for witness, facts in interleaved(incident, order):
            operators.say(witness, facts)
            operators.require_only_their_own()
        seen_within(operators)
        containment_id = stop_the_release(operators)
        mend(operators)
        open_again(operators, containment_id)


def seen_within(operators: Operators) -> None:
    """Write the last fact again, a little later, and look at once."""
    *_, last = operators.incident.streams["recording"]
    operators.say("recording", [{**last, "observed_at": "2020-06-09T23:00:00Z"}])
    begun = time.monotonic()
    operators.require_all_conflicts_seen()
    assert time.monotonic() - begun < WITHIN_SECONDS


def stop_the_release(operators: Operators) -> str:
    """Contain all that the release made, by one command; return the containment's id."""
    incident = operators.incident
    done = operators.command(
        "contain", "--release", RELEASE, "--actor", "jo.doe", "--reason", "wrong owners"
    )
    reasons = operators.reasons({one: incident.truth[one] for one in incident.of_that_day})
    assert set(reasons.values()) == {"CONTAINED"}
    for patient in (incident.named, *incident.true_patients):
        assert not operators.listed(patient) & set(incident.of_that_day)
    (event,) = operators.recorded("CONTAINED")
    assert event["details"]["scope"] == ["release"]
    return str(done["containment"]["id"])


def mend(operators: Operators) -> None:
    """Write what is true; a good recording that was named wrongly in between takes a person."""
    incident = operators.incident
    good = next(
        fact["recording"]
        for fact in incident.streams["recording"]
        if fact["recording"]["id"] in incident.truth
        and fact["recording"]["id"] not in incident.mixed_up
        and incident.truth[fact["recording"]["id"]] != incident.named
    )
    wrong = {"recording": {**good, "owner_id": incident.named}, "observed_at": REDONE_AT}
    operators.say("recording", [wrong])
    operators.say("recording", [{"recording": good, "observed_at": CORRECTED_AT}])
    for witness, facts in incident.corrected().items():
        operators.say(witness, facts)
        operators.require_only_their_own()
    assert operators.new_conflicts() == {good["id"]}
    operators.command(
        "facts", "resolve", good["id"], "--actor", "jo.doe", "--reason", "as it was booked"
    )
    assert not operators.new_conflicts()
    everybody = operators.reasons({one: incident.truth[one] for one in incident.of_that_day})
    assert set(everybody.values()) == {"CONTAINED"}


def open_again(operators: Operators, containment_id: str) -> None:
    """Lift it: refused to who set it; then everybody has what is theirs, and nothing else."""
    incident = operators.incident
    lift = ("lift", containment_id, "--reason", "owners corrected", "--actor")
    operators.command(*lift, "jo.doe", code=1)
    operators.command(*lift, "sam.roe")
    reasons = operators.reasons({one: incident.truth[one] for one in incident.of_that_day})
    assert set(reasons.values()) == {"RULE_ALLOWED"}
    assert operators.listed(incident.named) == incident.own
    for patient in incident.true_patients:
        assert operators.listed(patient) == incident.theirs(patient)
    operators.require_only_their_own()


def _unsigned(fact: Plain) -> dict[str, Any]:
    """Return *fact*, its entity first, without its source: the service knows it by who writes."""
    entity = {name: value for name, value in fact.items() if name not in _BESIDE}
    return {**entity, "observed_at": fact["observed_at"]}
