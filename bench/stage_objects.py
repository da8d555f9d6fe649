"""The service's own objects, warm, for measuring each stage of a check by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from authz_service.api.v1 import recording_access_pb2 as pb
from authz_service.clocks import SystemClock
from authz_service.facts.cache import FactsCache
from authz_service.facts.cache_bounds import CacheBounds
from authz_service.facts.sql_reader import SqlReader
from authz_service.identity.caller_rules import LOOPBACK, CallerRule
from authz_service.identity.callers_file import read_callers
from authz_service.operations.active_policy import ActivePolicy
from authz_service.operations.ports import FactsQuestion
from authz_service.operations.records import CallContext, DecisionRecord
from authz_service.pdp.decide import decide
from authz_service.pdp.facts import Facts
from authz_service.pdp.model import AccessRequest
from authz_service.policy.source import BundleSource
from authz_service.runtime import new_id
from authz_service.server.convert import request_from_proto
from authz_service.telemetry.metrics import Metrics
from bench.policies import POLICIES
from bench.questions import CHECK_METHOD

_LOADED_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Objects:
    """The service's objects, warm, and the questions with what they lead to."""

    messages: Sequence[bytes]
    requests: Sequence[AccessRequest]
    facts: Sequence[Facts]
    records: Sequence[DecisionRecord]
    cache: FactsCache
    policy: ActivePolicy
    rule: CallerRule
    metrics: Metrics


async def warm_objects(url: str, messages: Sequence[bytes]) -> Objects:
    """Return everything that a check needs, warmed up."""
    clock = SystemClock()
    rule = read_callers(POLICIES / "callers.csv", frozenset({CHECK_METHOD[1]})).rules[LOOPBACK]
    policy = ActivePolicy(clock)
    policy.activate(BundleSource(POLICIES).load())
    cache = FactsCache(SqlReader(url, clock), CacheBounds())
    await cache.start()
    requests = [
        request_from_proto(pb.CheckAccessRequest.FromString(message), rule) for message in messages
    ]
    questions = [FactsQuestion(one.subject_id, one.recording_id) for one in requests]
    facts: list[Facts] = []
    for at in range(0, len(questions), _LOADED_AT_ONCE):
        facts += await cache.facts_for(questions[at : at + _LOADED_AT_ONCE], 0)
    context, ruleset = CallContext(LOOPBACK, new_id()), policy.ruleset
    records = [
        DecisionRecord(
            new_id(), now, context, request, decide(request, known, ruleset, now),
            ruleset.revision, known.revision, 100,
        )
        for request, known in zip(requests, facts, strict=True)
        for now in (clock.now(),)
    ]  # fmt: skip
    return Objects(messages, requests, facts, records, cache, policy, rule, Metrics([CHECK_METHOD]))
