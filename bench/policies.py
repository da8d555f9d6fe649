"""The policy alone: Casbin's verdict beside the remembered one, and what reading a bundle costs."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import median
from time import perf_counter

from authz_service.api.v1 import policy_pb2, policy_pb2_grpc
from authz_service.pdp.model import Action, Condition, PurposeOfUse, Relation, Situation
from authz_service.policy.bundle import read_bundle
from authz_service.policy.casbin_ruleset import CasbinRuleset
from authz_service.policy.source import BundleSource
from bench.processes import ServerError, service

POLICIES = Path("policies")

_RELATIONS = (frozenset({Relation.OWNER}), frozenset({Relation.ATTENDING}), frozenset[Relation]())
_CONDITIONS = (frozenset({Condition.MFA}), frozenset[Condition]())
_ROUNDS = 7


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What one verdict costs, in microseconds.

    Attributes:
        enforced: By Casbin's own `enforce_ex`.
        remembered: By a ruleset that has seen the situation before.
        situations: Over how many different situations.
    """

    enforced: float
    remembered: float
    situations: int


@dataclass(frozen=True, slots=True)
class Reloads:
    """What it takes to put a changed bundle in force, in milliseconds.

    Attributes:
        bare: To read, check, compile and try it out, in this process.
        called: By ReloadPolicy, over gRPC, recorded and in force.
    """

    bare: float
    called: float


def verdicts(calls: int) -> Verdicts:
    """Measure verdicts on the shipped policy, *calls* of either kind a round, in turn."""
    ruleset = CasbinRuleset(read_bundle(POLICIES))
    enforcer = ruleset._enforcer  # noqa: SLF001  # beside Casbin means without what is around it
    kinds = _situations()
    for situation in kinds:
        ruleset.match(situation)
    enforced, remembered = [], []
    for _ in range(_ROUNDS):
        enforced.append(_microseconds(enforcer.enforce_ex, _copies(kinds, calls // 20)))
        remembered.append(_microseconds(ruleset.match, _copies(kinds, calls)))
    return Verdicts(float(median(enforced)), float(median(remembered)), len(kinds))


def reloads(registry: Path, folder: Path, *, rounds: int) -> Reloads:
    """Measure readings of a bundle that has changed each time.

    Raises:
        ServerError: The service does not put it in force.
    """
    policies = folder / "policies"
    shutil.copytree(POLICIES, policies)
    bare, called = [], []
    with (
        service(registry, folder, settings={"AUTHZ_POLICY_DIR": str(policies)}) as server,
        server.channel() as channel,
    ):
        stub = policy_pb2_grpc.PolicyServiceStub(channel)
        for number in range(rounds):
            _change(policies, number)
            called.append(_milliseconds(lambda: _reload(stub)))
            bare.append(_milliseconds(BundleSource(policies).load))
    return Reloads(float(median(bare)), float(median(called)))


def _situations() -> list[Situation]:
    """Return situations as they occur: some that a rule allows, more that none does."""
    roles = (frozenset({"patient"}), frozenset({"clinician"}))
    actions = (Action.VIEW, Action.LIST, Action.DOWNLOAD)
    purposes = (PurposeOfUse.PATRQT, PurposeOfUse.TREAT)
    return [
        Situation(*parts) for parts in product(roles, _RELATIONS, actions, purposes, _CONDITIONS)
    ]


def _copies(kinds: Sequence[Situation], count: int) -> list[Situation]:
    """Return *count* situations, each an object of its own: no hash of it is known yet."""
    return [
        Situation(
            frozenset(list(kind.roles)),
            frozenset(list(kind.relations)),
            kind.action,
            kind.purpose_of_use,
            frozenset(list(kind.conditions)),
        )
        for kind in (kinds[number % len(kinds)] for number in range(count))
    ]


def _microseconds(judge: Callable[[Situation], object], situations: Sequence[Situation]) -> float:
    """Return what *judge* takes for each of *situations*, the loop around it taken off."""
    begun = perf_counter()
    for _ in situations:
        pass
    loop = perf_counter() - begun
    begun = perf_counter()
    for situation in situations:
        judge(situation)
    return (perf_counter() - begun - loop) / len(situations) * 1e6


def _milliseconds(work: Callable[[], object]) -> float:
    """Return what *work* takes."""
    begun = perf_counter()
    work()
    return (perf_counter() - begun) * 1000


def _change(policies: Path, number: int) -> None:
    """Change the bundle in nothing but a comment, which makes another revision of it."""
    with (policies / "rules.csv").open("a") as rules:
        rules.write(f"# Reading {number} of the benchmark.\n")


def _reload(stub: policy_pb2_grpc.PolicyServiceStub) -> None:
    """Put the bundle in force.

    Raises:
        ServerError: The service does not.
    """
    answer = stub.ReloadPolicy(policy_pb2.ReloadPolicyRequest(actor="bench"), timeout=30)
    if answer.outcome != policy_pb2.LOAD_OUTCOME_ACTIVATED:
        raise ServerError(f"the changed bundle was not put in force: {answer!s}")
