"""Calls that are cancelled at all moments, and what became of them."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

import grpc

from tests.e2e.asked import Asked, Told, any_call

_UP_TO_SECONDS = (0.001, 0.005, 0.05, 0.2)
"""Before anything is sent, while it is loaded and recorded, and about when the answer comes."""
_PATIENCE_SECONDS = 30.0


class Moment(StrEnum):
    """When a call is cancelled."""

    NEVER = "never"
    UNSENT = "before it is sent"
    AT_ONCE = "at once"
    SOON = "soon"
    GIVEN_UP = "with the task that waits for it"
    DEADLINE = "by its deadline"
    ANSWERED = "after the answer"


MOMENTS = tuple(Moment)
BY_THE_CLIENT = frozenset({Moment.UNSENT, Moment.AT_ONCE, Moment.SOON})
SURELY_ANSWERED = frozenset({Moment.NEVER, Moment.ANSWERED})


@dataclass
class Tally:
    """What became of the trials.

    Attributes:
        told: What sound answers told.
        faults: What was wrong, each with its call.
        unavailable: How many calls got no answer because the registry was too slow, as it may be
            for a moment on a machine that does too much.
        ends: How often a call of each moment was answered (True) or not.
    """

    told: list[Told] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    unavailable: int = 0
    ends: Counter[tuple[Moment, bool]] = field(default_factory=Counter)

    def add(self, other: Tally) -> None:
        """Take in what another counted."""
        self.told += other.told
        self.faults += other.faults
        self.unavailable += other.unavailable
        self.ends += other.ends

    def note(self, trial: Trial, answer: Any) -> None:
        """Judge an answer; None where the call was cancelled first."""
        self.ends[trial.moment, answer is not None] += 1
        if answer is None:
            if trial.moment in SURELY_ANSWERED:
                self.fail(trial, "no answer came")
            return
        faults = trial.asked.faults(answer, trial.request_id)
        for fault in faults:
            self.fail(trial, fault)
        if not faults:
            self.told += trial.asked.told(answer)

    def note_failure(self, trial: Trial, code: grpc.StatusCode, why: str) -> None:
        """Judge a failure that is not that of a call which was cancelled."""
        if code is grpc.StatusCode.UNAVAILABLE:
            self.unavailable += 1
        else:
            self.fail(trial, f"{code}: {why}")

    def fail(self, trial: Trial, why: str) -> None:
        """Take note of what was wrong with a call."""
        self.faults.append(f"{trial.request_id} {trial.asked}, cancelled {trial.moment}: {why}")


class Trial(NamedTuple):
    """One call.

    Attributes:
        request_id: Its own.
        asked: What it asks.
        moment: When it is cancelled.
        seconds: After which time, where that is by time.
    """

    request_id: str
    asked: Asked
    moment: Moment
    seconds: float

    def begun(self, method: Callable[..., Any]) -> Any:
        """Make the call."""
        seconds = self.seconds if self.moment is Moment.DEADLINE else _PATIENCE_SECONDS
        metadata = (("x-request-id", self.request_id),)
        return method(self.asked.request, timeout=seconds, metadata=metadata)

    def may_end_with(self, code: grpc.StatusCode) -> bool:
        """Whether a call that is cancelled so may end so."""
        if self.moment is Moment.DEADLINE:
            return code is grpc.StatusCode.DEADLINE_EXCEEDED
        return code is grpc.StatusCode.CANCELLED


def drawn(name: str, trials: int) -> Sequence[Trial]:
    """Return the trials of one client: the same ones for the same name."""
    chance = random.Random(name)
    return [
        Trial(
            f"{name}-{number}",
            any_call(chance),
            chance.choice(MOMENTS),
            chance.choice(_UP_TO_SECONDS) * chance.random(),
        )
        for number in range(trials)
    ]
