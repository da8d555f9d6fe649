"""What is known of a worker: how it is, why it does not start, and when it counts as hung."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from authz_service.pdp.errors import PolicyProblem


class Refusal(NamedTuple):
    """Why a worker does not start, by its own account.

    Attributes:
        cause: The kind of error, by name.
        why: Its message.
        problems: What is wrong with the policy, where it is that.
    """

    cause: str
    why: str
    problems: tuple[PolicyProblem, ...] = ()


@dataclass(frozen=True, slots=True)
class Limits:
    """When a worker counts as hung, in seconds.

    Attributes:
        ping: How often it is asked whether it is there.
        silent: How long it may say nothing, once it has spoken.
        first_word: How long it may take to speak at all.
        start: How long it may take to serve.
        unfit: How long it may be unable to answer while another worker can.
        end: How long it may take to end after that.
    """

    ping: float = 0.5
    silent: float = 10.0
    first_word: float = 60.0
    start: float = 180.0
    unfit: float = 5.0
    end: float = 40.0


@dataclass
class Standing:
    """What is known of a worker.

    Attributes:
        state: ``starting``, ``serving``, ``not_serving`` or ``restarting``.
        reasons: What stands in the way of its serving, by part.
        http_port: Where it serves its metrics; 0 until it does.
        revision: The policy revision in force there.
    """

    state: str = "starting"
    reasons: dict[str, str] = field(default_factory=lambda: {"worker": "starting"})
    http_port: int = 0
    revision: str = ""


@dataclass(frozen=True, slots=True)
class Pauses:
    """How long to wait before a worker is started again, in seconds.

    Attributes:
        first: After it had served for long.
        last: The longest; each pause is twice the one before.
        settled: How long it must have lived for the next pause to be the first.
    """

    first: float = 0.1
    last: float = 5.0
    settled: float = 10.0

    def after(self, pause: float, lived: float) -> float:
        """Return the pause that follows *pause*, after a worker that *lived* for so long."""
        return self.first if lived > self.settled else min(max(self.first, 2 * pause), self.last)
