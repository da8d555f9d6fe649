"""The policy in force: one reference, swapped in one step."""

from __future__ import annotations

from authz_service.operations.ports import Clock, LoadedPolicy, PolicyAttempt
from authz_service.pdp.errors import PolicyNotReadyError
from authz_service.pdp.model import Instant
from authz_service.pdp.ruleset import Ruleset


class ActivePolicy:
    """Holds the policy in force, and what became of the latest bundle. For one event loop."""

    def __init__(self, clock: Clock) -> None:
        """Hold no policy yet."""
        self._clock = clock
        self._loaded: LoadedPolicy | None = None
        self._activated_at: Instant | None = None
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
        """Put *loaded* in force; questions that have begun end under the previous one."""
        self._loaded = loaded
        self._activated_at = self._clock.now()
