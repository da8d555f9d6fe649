"""A check decided here, without a service, from the registry and the policy as they are now.

The same bundle, the same facts and the same decision as the service's; nothing is recorded.
"""

from __future__ import annotations

from typing import Any

from authz_service.cli.answer import Answer
from authz_service.cli.named_registry import named_registry
from authz_service.clocks import SystemClock
from authz_service.facts.questions import facts_in, keys_of
from authz_service.facts.sql_reader import SqlReader
from authz_service.operations.ports import FactsQuestion
from authz_service.pdp.decide import decide
from authz_service.pdp.errors import RevisionAheadError
from authz_service.pdp.facts import Facts
from authz_service.pdp.model import AccessRequest, Decision, Instant
from authz_service.pdp.ruleset import Ruleset
from authz_service.policy.source import BundleSource
from authz_service.settings import load_settings


def check_offline(
    request: AccessRequest, *, at_least: int, overrides: dict[str, str | None]
) -> Answer:
    """Return the decision on *request*, which nobody records.

    Args:
        request: The question.
        at_least: The facts revision that the answer must rest on at least; 0 for any.
        overrides: Settings that go before those of the environment.

    Raises:
        SettingsError: A setting is wrong.
        PolicyRefusedError: The bundle is one that no service would put in force.
        CommandError: The registry cannot be read.
        RevisionAheadError: The registry has not reached *at_least*.
    """
    settings = load_settings(overrides)
    ruleset = BundleSource(settings.policy_dir).load().ruleset
    with named_registry(settings.registry_url) as url:
        facts = _facts(url, request)
    if facts.revision < at_least:
        raise RevisionAheadError(at_least, facts.revision)
    return answer_to(request, facts, ruleset, settings.fixed_clock or SystemClock().now())


def answer_to(request: AccessRequest, facts: Facts, ruleset: Ruleset, now: Instant) -> Answer:
    """Return the decision on *request* by *facts* at *now*, which nobody records."""
    decision = decide(request, facts, ruleset, now)
    return Answer(
        effect=decision.effect.value,
        reason=decision.reason.value,
        obligations=decision.obligations,
        policy_revision=ruleset.revision,
        facts_revision=facts.revision,
        evaluated_at=now.isoformat().replace("+00:00", "Z"),
        details=_details(decision),
    )


def _facts(url: str, request: AccessRequest) -> Facts:
    """Return what *request* rests on, read in one snapshot of the registry at *url*."""
    question = FactsQuestion(request.subject_id, request.recording_id)
    reader = SqlReader(url, SystemClock(), connections=1)
    try:
        reader.look()
        load = reader.load(keys_of((question,)))
    finally:
        reader.close()
    return facts_in(load, question, load.revision)


def _details(decision: Decision) -> dict[str, Any]:
    """Return what a service tells its records but not its callers."""
    details: dict[str, Any] = {"rule": decision.rule, "patient_id": decision.patient_id}
    situation = decision.situation
    if situation is not None:
        details["situation"] = {
            "roles": sorted(situation.roles),
            "relations": sorted(relation.value for relation in situation.relations),
            "conditions": sorted(condition.value for condition in situation.conditions),
        }
    return details
