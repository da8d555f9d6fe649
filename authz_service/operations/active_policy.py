"""The policy in force: one reference, swapped in one step."""

from __future__ import annotations

import asyncio

from authz_service.operations.ports import Clock, LoadedPolicy, PolicyAttempt
from authz_service.pdp.errors import PolicyNotReadyError
from authz_service.pdp.model import Instant
from authz_service.pdp.ruleset import Ruleset

_HOLD_SECONDS = 3.0


class ActivePolicy:
    """Holds the policy in force, and what became of the latest bundle. For one event loop.

    Who judges takes ruleset and time in one step, without a wait between the two, and not while
    `held` is set. So decisions in the order of their times change from one revision to the next
    once, in one process and across workers that change under a hold together.

    Attributes:
        held: Set while nobody may judge, because a policy is about to be put in force.
        latest_attempt: What became of the bundle read last.
    """

    def __init__(self, clock: Clock) -> None:
        """Hold no policy yet."""
        self._clock = clock
        self._loaded: LoadedPolicy | None = None
        self._activated_at: Instant | None = None
        self.held: asyncio.Event | None = None
        self.latest_attempt: PolicyAttempt | None = None

    @property
    def ruleset(self) -> Ruleset:
        """The ruleset in force.

        Raises:
            PolicyNotReadyError: None has been activated.
        """
        return self.loaded.ruleset

    @property
    def loaded(self) -> LoadedPolicy:
        """The policy in force, with its counts.

        Raises:
            PolicyNotReadyError: None has been activated.
        """
        if self._loaded is None:
            raise PolicyNotReadyError("no bundle has been activated")
        return self._loaded

    @property
    def activated_at(self) -> Instant | None:
        """Since when it has been in force in this process."""
        return self._activated_at

    @property
    def revision(self) -> str:
        """The revision in force, or an empty text."""
        return self._loaded.ruleset.revision if self._loaded else ""

    def activate(self, loaded: LoadedPolicy) -> None:
        """Put *loaded* in force; what is judged from now on is judged by it."""
        self._loaded = loaded
        self._activated_at = self._clock.now()

    def hold(self) -> None:
        """Have nobody judge until `release`."""
        if self.held is None:
            self.held = asyncio.Event()

    def release(self) -> None:
        """Let those go on who wait."""
        held, self.held = self.held, None
        if held is not None:
            held.set()

    async def let_go(self) -> None:
        """Return once nothing is held; at once where nothing is.

        Raises:
            PolicyNotReadyError: It took longer than any hold should.
        """
        if self.held is None:
            return
        try:
            async with asyncio.timeout(_HOLD_SECONDS):
                while self.held is not None:
                    await self.held.wait()
        except TimeoutError:
            raise PolicyNotReadyError("another policy was about to be put in force") from None
