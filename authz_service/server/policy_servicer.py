"""PolicyService: convert, call, convert."""

from __future__ import annotations

from collections.abc import Iterable

from authz_service.api.v1 import policy_pb2 as pb
from authz_service.api.v1 import policy_pb2_grpc as grpc_api
from authz_service.operations.active_policy import ActivePolicy
from authz_service.operations.ports import Clock, Journal, PolicyAttempt
from authz_service.operations.records import EventRecord
from authz_service.operations.reload_policy import Reload, ReloadOrder
from authz_service.pdp.errors import PolicyProblem
from authz_service.server.call import Call
from authz_service.server.convert import instant_to_proto, require_actor

_OUTCOMES = {
    "activated": pb.LOAD_OUTCOME_ACTIVATED,
    "unchanged": pb.LOAD_OUTCOME_UNCHANGED,
    "refused": pb.LOAD_OUTCOME_REFUSED,
    "valid": pb.LOAD_OUTCOME_VALID,
}


class PolicyServicer(grpc_api.PolicyServiceServicer):
    """Asks the operations, and nothing else."""

    def __init__(
        self, active: ActivePolicy, reload_policy: Reload, *, journal: Journal, clock: Clock
    ) -> None:
        """Show *active*, replace it through *reload_policy*."""
        self._active = active
        self._reload_policy = reload_policy
        self._journal = journal
        self._clock = clock

    async def GetActivePolicy(  # type: ignore[override]  # noqa: N802  # the layer hands a Call
        self,
        request: pb.GetActivePolicyRequest,  # noqa: ARG002  # it holds nothing
        context: Call,
    ) -> pb.GetActivePolicyResponse:
        """Show the policy in force; that it was read is recorded."""
        loaded = self._active.loaded
        details = (("policy_revision", loaded.ruleset.revision),)
        event = EventRecord("policy_read", self._clock.now(), context.context, None, details)
        await self._journal.append((event,))
        response = pb.GetActivePolicyResponse(
            policy_revision=loaded.ruleset.revision, rules=loaded.rules, cases=loaded.cases
        )
        if self._active.activated_at is not None:
            response.activated_at.CopyFrom(instant_to_proto(self._active.activated_at))
        attempt = self._active.latest_attempt
        if attempt is not None:
            response.latest_attempt.CopyFrom(_attempt_to_proto(attempt))
        return response

    async def ReloadPolicy(  # type: ignore[override]  # noqa: N802  # the layer hands a Call
        self, request: pb.ReloadPolicyRequest, context: Call
    ) -> pb.ReloadPolicyResponse:
        """Read the bundle again: for all tenants, so not for a caller that is bound to some."""
        context.rule.require_every_tenant("reload the policy: it is every tenant's")
        actor = require_actor(request.actor)
        order = ReloadOrder("call", actor, context.context, request.dry_run)
        attempt = await self._reload_policy(order)
        return pb.ReloadPolicyResponse(
            policy_revision=self._active.revision,
            outcome=_OUTCOMES[attempt.outcome],
            problems=_problems_to_proto(attempt.problems),
        )


def _attempt_to_proto(attempt: PolicyAttempt) -> pb.LoadAttempt:
    """Return *attempt* as a message."""
    return pb.LoadAttempt(
        at=instant_to_proto(attempt.at),
        outcome=_OUTCOMES[attempt.outcome],
        problems=_problems_to_proto(attempt.problems),
    )


def _problems_to_proto(problems: Iterable[PolicyProblem]) -> list[pb.PolicyProblem]:
    """Return *problems* as messages."""
    return [pb.PolicyProblem(**problem._asdict()) for problem in problems]
