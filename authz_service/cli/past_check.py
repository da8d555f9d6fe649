"""A check judged at an earlier instant, by what was known then, under the policy in force now."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from authz_service.api.v1 import recording_access_pb2 as pb
from authz_service.api.v1 import recording_access_pb2_grpc as grpc_api
from authz_service.cli.answer import Answer
from authz_service.cli.channel import connected, new_request_id
from authz_service.cli.named_registry import named_registry
from authz_service.cli.offline_check import answer_to
from authz_service.cli.remote_check import answer_of, require_echo, require_instant, to_proto
from authz_service.clocks import SystemClock
from authz_service.facts.as_of import SqlHistory
from authz_service.operations.ports import FactsQuestion
from authz_service.pdp.errors import InvalidRequestError, Violation
from authz_service.pdp.model import AccessRequest, Instant
from authz_service.policy.source import BundleSource
from authz_service.settings import load_settings

_WORDS: Final = "by what was known then, under the policy of now"


def check_past_offline(
    request: AccessRequest, as_of: Instant, overrides: dict[str, str | None]
) -> Answer:
    """Return the decision on *request* at an instant, from a registry and a policy here.

    Args:
        request: The question.
        as_of: The instant.
        overrides: Settings that go before those of the environment.

    Raises:
        InvalidRequestError: The instant has not come yet.
        SettingsError: A setting is wrong.
        PolicyRefusedError: The bundle is one that no service would put in force.
        CommandError: The registry cannot be read.
        HistoryGoneError: The instant lies before the history that the registry keeps.
    """
    settings = load_settings(overrides)
    now = settings.fixed_clock or SystemClock().now()
    if as_of > now:
        raise InvalidRequestError(Violation("--as-of", "has not come yet"))
    ruleset = BundleSource(settings.policy_dir).load().ruleset
    with named_registry(settings.registry_url) as url:
        history = SqlHistory(url)
        try:
            question = FactsQuestion(request.subject_id, request.recording_id)
            facts = history.read(question, as_of)
        finally:
            history.close()
    answer = replace(answer_to(request, facts, ruleset, as_of), evaluated_at=_in_words(now))
    return _told(answer, as_of)


def check_past_remote(
    request: AccessRequest, as_of: Instant, *, address: str, timeout_seconds: float
) -> Answer:
    """Return the service's answer to *request* at an instant, which it records as explained.

    Raises:
        CommandError: The call failed, or the answer is to another question or instant.
    """
    request_id = new_request_id()
    asked = pb.ExplainAccessRequest(check=to_proto(request, 0))
    asked.as_of.FromDatetime(as_of)
    with connected(address, timeout_seconds) as service:
        stub = service.stub(grpc_api.RecordingAccessServiceStub)
        response = service.call(stub.ExplainAccess, asked, request_id)
    require_echo(asked.check, response.answer, request_id)
    require_instant(asked, response)
    return _told(answer_of(response.answer), response.as_of.ToDatetime(UTC))


def _told(answer: Answer, as_of: datetime) -> Answer:
    """Return *answer* with the words that say what it is."""
    answer.details.update({"as_of": _in_words(as_of), "judged": _WORDS})
    return answer


def _in_words(instant: datetime) -> str:
    """Return *instant* as answers have it."""
    return instant.isoformat().replace("+00:00", "Z")
