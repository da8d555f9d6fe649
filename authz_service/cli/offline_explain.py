"""Explanations given here, without a service: the service's own operations, recorded nowhere."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from authz_service.api.v1 import recording_access_pb2 as pb
from authz_service.cli.explainer import Explainer, Place
from authz_service.cli.facts_file import FileReadings
from authz_service.cli.named_registry import named_registry
from authz_service.cli.readings import NoJournal, NoObserver, RegistryReadings
from authz_service.clocks import clock_of
from authz_service.facts.as_of import SqlHistory
from authz_service.identity.caller_rules import LOOPBACK, MAY, CallerRule
from authz_service.operations.active_policy import ActivePolicy
from authz_service.operations.explain_access import ExplainAccess, NoHistory
from authz_service.operations.list_recordings import LIST_TOKENS, ListRecordings
from authz_service.operations.list_subjects import SUBJECT_TOKENS, ListSubjects
from authz_service.operations.page_tokens import PageTokens
from authz_service.operations.ports import Clock, HistorySource
from authz_service.operations.records import CallContext
from authz_service.policy.source import BundleSource
from authz_service.server.call import Call
from authz_service.server.explaining import Explaining
from authz_service.server.list_convert import list_request_from_proto, list_response_to_proto
from authz_service.settings import load_settings

_RULE = CallerRule(LOOPBACK, None, None, None, None, None, MAY)
_CALL = Call(CallContext("offline", ""), _RULE, 0)

Readings = RegistryReadings | FileReadings


@contextmanager
def explainer_here(place: Place) -> Iterator[Explainer]:
    """Lend what answers here, from the registry or the file that *place* names.

    Raises:
        SettingsError: A setting is wrong.
        PolicyRefusedError: The bundle is one that no service would put in force.
        CommandError: The registry cannot be read.
        InvalidRequestError: A line of the file is no fact.
    """
    settings = load_settings({"registry_url": place.registry_url, "policy_dir": place.policy_dir})
    clock = clock_of(settings)
    policy = ActivePolicy(clock)
    policy.activate(BundleSource(settings.policy_dir).load())
    if place.facts is not None:
        yield _Here(policy, FileReadings(Path(place.facts)), NoHistory(), clock)
        return
    with named_registry(settings.registry_url) as url:
        readings, history = RegistryReadings(url), SqlHistory(url)
        try:
            yield _Here(policy, readings, history, clock)
        finally:
            history.close()
            readings.close()


class _Here:
    """Answers by the operations, over readings; nothing is recorded, so no answer has an id."""

    def __init__(
        self, policy: ActivePolicy, readings: Readings, history: HistorySource, clock: Clock
    ) -> None:
        """Judge by *policy* on what *readings* bring, or *history* of an earlier instant."""
        key, journal = secrets.token_bytes(32), NoJournal()
        self._explaining = Explaining(
            ExplainAccess(
                policy,
                readings,
                journal,
                history=history,
                stored=readings,
                clock=clock,
                new_id=str,
            ),
            ListSubjects(
                policy,
                readings,
                journal,
                tokens=PageTokens(key, SUBJECT_TOKENS),
                clock=clock,
                new_id=str,
            ),
        )
        self._list = ListRecordings(
            policy,
            readings,
            journal,
            candidates=readings,
            tokens=PageTokens(key, LIST_TOKENS),
            clock=clock,
            observer=NoObserver(),
            new_id=str,
        )

    def why(self, request: pb.ExplainAccessRequest) -> pb.ExplainAccessResponse:
        return asyncio.run(self._explaining.why(request, _CALL))

    def who(self, request: pb.ListSubjectsRequest) -> pb.ListSubjectsResponse:
        return asyncio.run(self._explaining.who(request, _CALL))

    def what(self, request: pb.ListRecordingsRequest) -> pb.ListRecordingsResponse:
        asked = list_request_from_proto(request, _RULE)
        least = request.at_least_facts_revision
        answer = self._list(asked, _CALL.context, at_least=least, started_ns=0)
        return list_response_to_proto(asyncio.run(answer))
