"""What is brought to the store in one transaction, and how far a journal has been brought there."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from authz_service.audit.chain import GENESIS


class Progress(NamedTuple):
    """How far a journal is in the store: all that shipping it further depends on.

    Attributes:
        sequence: The number of the last line there; 0 where there is none.
        hash: Its hash, in hex.
        segment: The file in which it stands; 0 where there is none.
        offset_bytes: Where it ends in that file.
        at: Its time, in microseconds since 1970.
    """

    sequence: int = 0
    hash: str = GENESIS.decode()
    segment: int = 0
    offset_bytes: int = 0
    at: int = 0


class Line(NamedTuple):
    """One line of a journal, verified, as `schema.journal_lines` holds it.

    Attributes:
        sequence: Its number.
        at: Its time, in microseconds since 1970.
        hash: Its hash, in hex.
        content: Its bytes, with the newline.
    """

    sequence: int
    at: int
    hash: bytes
    content: bytes


DECISION_COLUMNS: Final[tuple[tuple[str, type], ...]] = (
    ("decision_id", str),
    ("evaluated_at", int),
    ("sequence", int),
    ("line_at", int),
    ("offset_bytes", int),
    ("size_bytes", int),
    ("kind", str),
    ("subject_id", str),
    ("tenant_id", str),
    ("recording_id", str),
    ("patient_id", str),
    ("caller", str),
    ("action", str),
    ("effect", str),
    ("reason", str),
    ("rule", str),
    ("policy_revision", str),
    ("facts_revision", int),
    ("request_id", str),
)
"""The columns of `schema.decisions` that a line says, in the order of a `DecisionRow`."""

DecisionRow = tuple[str | int | None, ...]
"""What a record is found by: a value for each of `DECISION_COLUMNS`."""

EVALUATED_AT, SEQUENCE = 1, 2
"""Where these stand in a `DecisionRow`."""


@dataclass(frozen=True, slots=True)
class Shipment:
    """Lines that follow each other, and the decisions in them.

    Attributes:
        lines: The lines.
        decisions: What they are found by.
        records: How many records the lines hold.
        first_at: The time of the first record in them; None where they hold none.
        end: How far the journal is in the store with them.
    """

    lines: Sequence[Line]
    decisions: Sequence[DecisionRow]
    records: int
    first_at: int | None
    end: Progress

    @property
    def first(self) -> int:
        """The number of the first line."""
        return self.lines[0].sequence

    @property
    def evaluated(self) -> set[int]:
        """The instants at which its decisions were judged, in microseconds."""
        return {int(row[EVALUATED_AT] or 0) for row in self.decisions}

    def without(self, lines: Collection[int], with_decisions: Collection[int]) -> Shipment:
        """Return what is left without *lines*, and without the decisions of *with_decisions*."""
        return replace(
            self,
            lines=[line for line in self.lines if line.sequence not in lines],
            decisions=[row for row in self.decisions if row[SEQUENCE] not in with_decisions],
        )
