"""What those who write to the registry are bound to, and what they are answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from authz_service.pdp.entities import Entity
from authz_service.pdp.facts import Fact, FactReference

Tenants = frozenset[str] | None
"""The tenants to which a caller is bound; None where it is bound to none."""
ToWrite = Sequence[Fact[Entity]]
ToDelete = Sequence[FactReference]
Details = tuple[tuple[str, str | int | tuple[str, ...]], ...]
"""What an event says besides, by name."""


@dataclass(frozen=True, slots=True)
class WriteOutcome:
    """What became of a write.

    Attributes:
        revision: The registry's revision afterwards.
        written: How many facts were written or deleted.
        skipped: How many were left out because a later observation is stored.
        unchanged: How many were stored already, word for word.
        conflicting: Recordings among those touched whose facts disagree afterwards.
        conflicting_elsewhere: The same, where it takes facts of tenants to which whoever writes is
            not bound: for the record, and not for the answer.
        contained: The containments that it set, as ``containment/k1``.
        lifted: Those that it lifted.
        reviewed: The grants and delegations whose review it wrote.
    """

    revision: int
    written: int = 0
    skipped: int = 0
    unchanged: int = 0
    conflicting: tuple[str, ...] = ()
    conflicting_elsewhere: tuple[str, ...] = ()
    contained: tuple[str, ...] = ()
    lifted: tuple[str, ...] = ()
    reviewed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Resolution:
    """What became of a resolved conflict: the revision, and whose recording it is now."""

    revision: int
    patient_id: str


@dataclass(frozen=True, slots=True)
class Erasure:
    """What became of an erasure.

    Attributes:
        revision: The registry's revision afterwards.
        erased: How many facts became tombstones.
        naming: How many facts of others name the patient still.
    """

    revision: int
    erased: int
    naming: int


def counts_of(outcome: WriteOutcome) -> Details:
    """Return what a write did, as a record names it."""
    return (
        ("facts_revision", outcome.revision),
        ("written", outcome.written),
        ("skipped", outcome.skipped),
        ("unchanged", outcome.unchanged),
    )


def deeds_of(outcome: WriteOutcome) -> Details:
    """Return what a write stopped, lifted and reviewed; what it did not is left out."""
    deeds = (
        ("contained", outcome.contained),
        ("lifted", outcome.lifted),
        ("reviewed", outcome.reviewed),
    )
    return tuple((name, named) for name, named in deeds if named)
