"""The plug between the runner and what is under test: the pdp alone, or a service over gRPC.

To plug something in, write a class that satisfies `Target` and an `OpenTarget` that makes one for
each case; `runner.play` does the rest. Questions come as they stand in the files:

* a mapping in snake_case with the fields of `CheckAccessRequest`, `BatchCheckAccessRequest`,
  `ListRecordingsRequest` or `OpenEmergencyAccessRequest`, for example ``{"subject": {"id":
  "pat-a"}, "recording_id": "ra1", "action": "VIEW", "context": {"purpose_of_use": "PATRQT",
  "assurance": "SINGLE_FACTOR"}}``. What is left out is to be left out on the wire as well, and an
  empty text is to be sent as one (in proto3 that is the same);
* enum values are names without their type's prefix, or numbers. A number is sent as it is, and a
  name that the enum lacks is sent as 99;
* instants are RFC 3339 texts;
* ``repeat: n`` has been expanded by the runner before a batch is handed over.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from authz_service.pdp.model import Instant
from tests.golden.scenarios import Case, Plain

UNKNOWN_VALUE = 99
"""The number that stands for an enum value that does not exist."""


@dataclass(frozen=True, slots=True)
class Setting:
    """How a target is to be set up for a case, on an empty registry.

    Attributes:
        clock: The instant at which the clock stands, RFC 3339.
        rules: Rows in place of the bundle's `rules.csv`, with the bundle's own cases left out;
            None for the shipped bundle as it is.
        plain: Whether the case's caller may not explain: on loopback a callers file whose
            `loopback` line lacks `explain`. Both kinds may ask everything, for every tenant, and
            assert assurance.
    """

    clock: str
    rules: tuple[str, ...] | None
    plain: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer to one question.

    Attributes:
        effect: ``ALLOW`` or ``DENY``.
        reason: The reason without its prefix.
        echo: The question as the answer repeats it: `subject_id`, `recording_id`, `action`, as
            far as there was something to repeat; of an opening `subject_id` and `patient_id`.
        rest: Everything else in the answer but ids and times, by field: it must be the same for
            all questions of one case of a plain caller.
    """

    effect: str
    reason: str
    echo: Mapping[str, str]
    rest: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a list."""

    recording_id: str
    patient_id: str
    created_at: Instant


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a list.

    Attributes:
        rows: Its rows, in their order.
        next_page_token: Where to go on; empty where nothing follows.
        echo: The question as the answer repeats it: `subject_id`, `action` and `patient_id`.
    """

    rows: tuple[Row, ...]
    next_page_token: str
    echo: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Failure:
    """A call that failed.

    Attributes:
        status: The gRPC status, as in ``INVALID_ARGUMENT``.
        fields: The fields of its violations.
    """

    status: str
    fields: tuple[str, ...] = ()


class Target(Protocol):
    """Something that can be asked, with one empty registry of its own and one policy."""

    async def write_facts(self, facts: Sequence[Plain]) -> None:
        """Write *facts* in one call, at most 1,000: all or nothing.

        Each is in the import format, ``{"recording": {...}, "source": ..., "observed_at": ...}``.
        Anything but success is to be raised: scenarios hold no facts that are refused.
        """
        ...

    async def contain(self, case: Case) -> None:
        """Set the containments of *case*. Anything but success is to be raised."""
        ...

    async def check(self, question: Plain) -> Answer | Failure:
        """Ask CheckAccess."""
        ...

    async def batch(self, question: Plain) -> Sequence[Answer | None] | Failure:
        """Ask BatchCheckAccess; None stands for a check that was not evaluated."""
        ...

    async def open(self, question: Plain) -> Answer | Failure:
        """Ask OpenEmergencyAccess; what it opens is there for the questions that follow."""
        ...

    async def page(self, question: Plain) -> Page | Failure:
        """Ask ListRecordings, for the one page that `page_token` stands for."""
        ...


OpenTarget = Callable[[Setting], AbstractAsyncContextManager[Target]]
"""Makes a target for one case, and clears it away afterwards."""
