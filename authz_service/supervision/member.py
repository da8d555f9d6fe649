"""A worker as those see it who have several change their policy together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from authz_service.operations.reload_policy import ReloadOrder
from authz_service.pdp.errors import PolicyProblem
from authz_service.policy.bundle import BundleFiles


class WorkerLostError(Exception):
    """The worker is gone, or about to go: it answers no more and judges no more."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a worker says of a bundle.

    Attributes:
        outcome: As of `PolicyAttempt`; ``unrecorded`` where its journal could not take the event.
        revision: The bundle's revision; empty where it was refused.
        problems: What is wrong with it.
        why: Why it could not be recorded.
    """

    outcome: str
    revision: str = ""
    problems: tuple[PolicyProblem, ...] = ()
    why: str = ""


class Member(Protocol):
    """A worker that judges, or is about to. Every method raises `WorkerLostError` if it is gone."""

    @property
    def number(self) -> int:
        """Which worker it is, from 1."""
        ...

    @property
    def is_fit(self) -> bool:
        """Whether nothing is known to stand in the way of its answering."""
        ...

    async def prepare(self, order: ReloadOrder, files: BundleFiles) -> Prepared:
        """Have *files* parsed, compiled, tried out and recorded; they have no effect yet."""
        ...

    async def hold(self) -> None:
        """Have nobody judge until `conclude` or `abandon`."""
        ...

    async def conclude(self) -> None:
        """Let what was prepared have its effect, and let calls go on."""
        ...

    async def abandon(self, why: str) -> None:
        """Forget what was prepared, and let calls go on."""
        ...

    async def give_up(self, hold_seconds: float) -> None:
        """Have it judge nothing any more, and end; return once it judges nothing.

        Raises:
            PolicyNotReadyError: It may still judge.
        """
        ...
