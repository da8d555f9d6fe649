"""The plug between the cache of facts and a database: what is asked, and what comes back."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from authz_service.operations.lists import CandidateQuestion, ListKey
from authz_service.pdp.entities import Containment
from authz_service.pdp.facts import PatientFacts, RecordingFacts, SubjectFacts

KeySpace = Literal["subject", "recording", "patient", "containments"]
"""The kinds of values that a check rests on."""


class Key(NamedTuple):
    """Names one value that a check rests on.

    Attributes:
        space: Which kind of value.
        id: Of whom or what; empty for the containments, which are one value.
    """

    space: KeySpace
    id: str


CONTAINMENTS_KEY = Key("containments", "")
"""The key of the containments in force."""

Value = SubjectFacts | RecordingFacts | PatientFacts | tuple[Containment, ...] | None
"""What a key stands for; None where no fact knows its id."""


@dataclass(frozen=True, slots=True)
class Look:
    """The state that the registry was in when it was looked at.

    Attributes:
        revision: The registry's revision.
        nonce: Drawn anew with each revision: the two together name a state, also after a restore.
        sent_at: ``time.monotonic()``, in seconds, just before the query was sent.
    """

    revision: int
    nonce: str
    sent_at: float


@dataclass(frozen=True, slots=True)
class Load:
    """Values that are all true at one revision.

    Attributes:
        revision: The registry's revision.
        nonce: The revision's nonce.
        values: Every key asked for, and the patient that each recording names.
        sent_at: ``time.monotonic()``, in seconds, just before the first query was sent.
    """

    revision: int
    nonce: str
    values: Mapping[Key, Value]
    sent_at: float


@dataclass(frozen=True, slots=True)
class Changes:
    """What changed between a known state and the present one.

    Attributes:
        revision: The registry's revision at the upper end.
        nonce: That revision's nonce.
        touched: Each revision after the known one that touched a key, ascending, with its keys.
        complete: False where it cannot be told what changed: too much did, or the present state
            does not follow from the known one. Everything has to be dropped then.
        sent_at: ``time.monotonic()``, in seconds, just before the first query was sent.
    """

    revision: int
    nonce: str
    touched: tuple[tuple[int, frozenset[Key]], ...]
    complete: bool
    sent_at: float


@dataclass(frozen=True, slots=True)
class Candidates:
    """The recordings that come next in a list, as they are at one revision.

    Attributes:
        revision: The registry's revision.
        nonce: The revision's nonce.
        keys: The recordings, newest first.
        is_last: Whether there are none after these.
        sent_at: ``time.monotonic()``, in seconds, just before the first query was sent.
    """

    revision: int
    nonce: str
    keys: tuple[ListKey, ...]
    is_last: bool
    sent_at: float


class PageQuestion(NamedTuple):
    """Which part of a list is asked for.

    Attributes:
        of: Which list.
        after: Where it goes on; None for its beginning.
        limit: How many recordings at most.
    """

    of: CandidateQuestion
    after: ListKey | None
    limit: int


class RegistryReader(Protocol):
    """A registry as the cache reads it.

    Every method blocks, is called from a worker thread, and may be called from several at once.
    """

    def look(self) -> Look:
        """Return the state that the registry is in.

        Raises:
            FactsUnavailableError: The registry is silent, locked, gone, read-only, of another
                schema, or its clock is more than a second off.
        """
        ...

    def changes(self, after: int, after_nonce: str) -> Changes:
        """Return what changed since the state that revision *after* and *after_nonce* name.

        The revision and the changes are read in one snapshot.

        Raises:
            FactsUnavailableError: As for `look`.
        """
        ...

    def load(self, keys: Collection[Key]) -> Load:
        """Return the values of *keys*, read in one read-only snapshot.

        For each recording key the patient whom the recording names is loaded as well, under a
        key of its own.

        Raises:
            FactsUnavailableError: As for `look`.
        """
        ...


class CandidateReader(Protocol):
    """A registry as lists read it; called as a `RegistryReader` is."""

    def candidates(self, question: PageQuestion) -> Candidates:
        """Return the next candidates of a list; the revision is read with them.

        Raises:
            FactsUnavailableError: The registry is silent, locked, gone or of another schema.
        """
        ...

    def candidates_with_facts(self, question: PageQuestion) -> tuple[Candidates, Load]:
        """Return the next candidates with all facts about them, read in one snapshot.

        Raises:
            FactsUnavailableError: As for `candidates`.
        """
        ...
