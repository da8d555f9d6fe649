"""Trials of how soon a replica obeys what was committed through another, timed by one clock.

A trial has somebody look at a recording through one replica, again and again, while what lets them
is taken away through the other. Its delay is the time from the answer to the write until the last
check was sent that was still allowed: at most the staleness bound, whatever the machine does,
because a check rests on a look that was *sent* that shortly before.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any, NamedTuple

import grpc

from authz_service.api.v1 import facts_pb2_grpc, vocabulary_pb2
from authz_service.api.v1 import recording_access_pb2_grpc as access_grpc
from tests.e2e.client import question, write_request
from tests.e2e.revocations import KINDS, Trial, trial_of

SETTLING_SECONDS = 0.1
"""How long is watched on after the bound, for an ALLOW that comes back."""
_PATIENCE = 20.0


class Observed(NamedTuple):
    """One trial.

    Attributes:
        kind: What was taken away.
        last_allowed_ms: From the write's answer until the last check was sent that was allowed;
            negative where none was sent after it.
        first_denied_ms: From the write's answer until the first check was sent that was denied.
        allowed_again: How many checks were allowed after one that was denied.
        carried_allowed: Whether a check that carried the write's revision was allowed.
        checks: How many checks there were.
    """

    kind: str
    last_allowed_ms: float
    first_denied_ms: float
    allowed_again: int
    carried_allowed: bool
    checks: int


class Replica:
    """One service of several on the same registry."""

    def __init__(self, address: str) -> None:
        self.channel = grpc.aio.insecure_channel(address)
        self._access: Any = access_grpc.RecordingAccessServiceStub(self.channel)
        self._facts: Any = facts_pb2_grpc.FactsServiceStub(self.channel)

    async def write(self, facts: Sequence[Any], actor: str = "operator") -> int:
        """Write *facts*; return the revision."""
        request = write_request(facts, actor)
        written = await self._facts.WriteFacts(request, timeout=_PATIENCE)
        return int(written.facts_revision)

    async def allows(self, trial: Trial, at_least: int = 0) -> bool:
        """Whether the subject may view, now."""
        request = question(
            trial.subject,
            trial.recording,
            context=trial.context,
            at_least_facts_revision=at_least,
        )
        answer = await self._access.CheckAccess(request, timeout=_PATIENCE)
        return bool(answer.effect == vocabulary_pb2.EFFECT_ALLOW)


async def observe(
    addresses: tuple[str, str], trials: int, *, bound_ms: float, at_once: int, seed: int
) -> list[Observed]:
    """Make so many *trials*, some *at_once*, between the replicas at *addresses*."""
    observed: list[Observed] = []
    draw = random.Random(seed)
    async with AsyncExitStack() as stack:
        replicas = [Replica(address) for address in addresses]
        for replica in replicas:
            stack.push_async_callback(replica.channel.close)
        while len(observed) < trials:
            names = range(len(observed), min(trials, len(observed) + at_once))
            observed += await asyncio.gather(
                *(_observe(replicas, KINDS[n % len(KINDS)], n, bound_ms, draw) for n in names)
            )
    return observed


async def _observe(
    replicas: Sequence[Replica], kind: str, number: int, bound_ms: float, draw: random.Random
) -> Observed:
    """Make one trial."""
    through, asked = draw.sample(list(replicas), 2)
    trial = trial_of(kind, f"{number}")
    known = await through.write(trial.given)
    assert await asked.allows(trial, at_least=known), f"{kind}: the facts do not let them view"
    checks: list[tuple[float, bool]] = []
    watching = asyncio.create_task(_watch(asked, trial, checks, draw))
    await asyncio.sleep(draw.uniform(0.0, 0.06))
    revision = await through.write(trial.revoked)
    answered = time.monotonic()
    carried = await asked.allows(trial, at_least=revision)
    await asyncio.sleep(bound_ms / 1000 + SETTLING_SECONDS)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    if trial.tidied:
        await through.write(trial.tidied, "operator-2")
    return _observed(kind, checks, answered, carried_allowed=carried)


async def _watch(
    replica: Replica, trial: Trial, checks: list[tuple[float, bool]], draw: random.Random
) -> None:
    """Check again and again; note when each was sent, and whether it was allowed."""
    while True:
        sent_at = time.monotonic()
        checks.append((sent_at, await replica.allows(trial)))
        await asyncio.sleep(draw.uniform(0.0, 0.004))


def _observed(
    kind: str, checks: Sequence[tuple[float, bool]], answered: float, *, carried_allowed: bool
) -> Observed:
    """Return what *checks* show, held against when the write was *answered*."""
    denied = [at for at, allowed in checks if not allowed]
    assert denied, f"{kind}: no check was denied after the write"
    first = min(denied)
    allowed = [at for at, is_allowed in checks if is_allowed]
    last = max(allowed, default=answered - 1.0)
    return Observed(
        kind,
        1000 * (last - answered),
        1000 * (first - answered),
        sum(at > first for at in allowed),
        carried_allowed,
        len(checks),
    )
