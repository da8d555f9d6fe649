"""The registry's changes in their order: what is told of them, and the plug that they come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

from authz_service.pdp.entities import Entity
from authz_service.pdp.facts import Fact, FactReference
from authz_service.pdp.model import Instant


class RegistryState(NamedTuple):
    """A state that the registry was in: a revision, and the nonce drawn for it."""

    revision: int
    nonce: str


class ChangePosition(NamedTuple):
    """How far somebody has been told.

    Attributes:
        state: The last revision of which something has been told, in the state that it was then.
        kind: Of the last change told of it, as it is stored; empty where it was told whole.
        id: The same.
    """

    state: RegistryState
    kind: str = ""
    id: str = ""


class ChangedFact(NamedTuple):
    """One change of one fact; the fact is None where it was deleted."""

    reference: FactReference
    fact: Fact[Entity] | None


@dataclass(frozen=True, eq=False)
class RevisionPart:
    """What one revision changed, or a part of it. Told to many, and equal to itself alone.

    Attributes:
        state: The revision.
        recorded_at: When it was recorded; None where it changed nothing that is told.
        actor: Who is answerable for it.
        changes: The facts that it changed.
        attributions: The recordings that it left disputed, or of which it lifted the dispute.
        is_whole: Whether nothing of the revision follows.
        read_anew: Whether facts were written that are not told one by one.
    """

    state: RegistryState
    recorded_at: Instant | None = None
    actor: str = ""
    changes: tuple[ChangedFact, ...] = ()
    attributions: tuple[str, ...] = ()
    is_whole: bool = True
    read_anew: bool = False


class ChangePage(NamedTuple):
    """Some of the changes after a position.

    Attributes:
        parts: The changes in the order in which they were committed.
        end: The position after them.
        is_last: Whether nothing followed when it was read.
    """

    parts: tuple[RevisionPart, ...]
    end: ChangePosition
    is_last: bool


class ChangeFeed(Protocol):
    """Where changes come from: read in pages, nothing held open in between. Safe to cancel."""

    async def position_after(self, revision: int, nonce: str) -> ChangePosition:
        """Return the position after *revision*.

        Args:
            revision: The last revision that is known; 0 for none.
            nonce: The nonce with which it is known; empty where that is not known.

        Raises:
            RevisionAheadError: The registry has not reached it.
            HistoryGoneError: What follows is not kept any more, or the registry was never in that
                state.
            FactsUnavailableError: The registry is silent, locked, gone or of another schema.
        """
        ...

    async def page(self, after: ChangePosition) -> ChangePage:
        """Return the next changes after *after*, of bounded size.

        Raises:
            HistoryGoneError: They are not kept any more, or the registry is another than it was.
            FactsUnavailableError: The registry is silent, locked, gone or of another schema.
        """
        ...

    async def moved_on(self, known: RegistryState, seconds: float) -> bool:
        """Return whether the registry has left *known*, as soon as it has, or after *seconds*.

        One look at it serves all who wait.

        Raises:
            FactsUnavailableError: The registry is silent, locked, gone or of another schema.
        """
        ...
