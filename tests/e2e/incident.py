"""The incident of 9 June 2020 as its three source systems would have written it, fact by fact."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.golden.scenarios import SHARED, load

Plain = Mapping[str, Any]

RELEASE = "2020.06.09-audio-switch"
CORRECTED_AT = "2020-06-10T08:00:00Z"
DEMO = Path(__file__).resolve().parents[2] / "authz_service" / "demo" / "world.jsonl"
WITNESSES = ("consultation", "attendance", "recording")
"""What the booking system, the media server and the recording pipeline say."""


@dataclass(frozen=True, slots=True)
class Incident:
    """What was there, what was written on that day, and what is true.

    Attributes:
        before: The facts of the world that it happened in.
        streams: What each of `WITNESSES` wrote on that day, in its order.
        named: Whom the release named as the owner of what is others'.
        truth: Whose each recording is, as the booking system knows.
        own: The recordings that the one who was named may list before and after.
    """

    before: Sequence[Plain]
    streams: Mapping[str, Sequence[Plain]]
    named: str
    truth: Mapping[str, str]
    own: frozenset[str]

    @property
    def mixed_up(self) -> frozenset[str]:
        """The recordings that were written with the wrong owner."""
        return frozenset(
            fact["recording"]["id"]
            for fact in self.streams["recording"]
            if self.truth.get(fact["recording"]["id"], self.named)
            != fact["recording"].get("owner_id", self.named)
        )

    @property
    def true_patients(self) -> Sequence[str]:
        """Those whose recordings are concerned, each once."""
        return sorted({self.truth[one] for one in self.of_that_day})

    @property
    def of_that_day(self) -> Sequence[str]:
        """The recordings of somebody that were written on that day."""
        ids = [fact["recording"]["id"] for fact in self.streams["recording"]]
        return [one for one in ids if one in self.truth]

    def theirs(self, patient: str) -> frozenset[str]:
        """Return the recordings of *patient*, of all that there are."""
        return frozenset(one for one, whose in self.truth.items() if whose == patient)

    def corrected(self) -> Mapping[str, Sequence[Plain]]:
        """Return what pipeline and media server write once they know better."""
        recordings = [
            {**fact["recording"], "owner_id": self.truth[fact["recording"]["id"]]}
            for fact in self.streams["recording"]
            if fact["recording"]["id"] in self.mixed_up
        ]
        attendances = [
            {
                "id": one["id"],
                "participants": [{"subject_id": self.truth[one["id"]], "kind": "PATIENT"}],
            }
            for one in recordings
        ]
        return {
            "recording": [{"recording": one, "observed_at": CORRECTED_AT} for one in recordings],
            "attendance": [{"attendance": one, "observed_at": CORRECTED_AT} for one in attendances],
        }


def shared_incident() -> Incident:
    """Return the incident of the shared scenarios."""
    (case,) = [one for one in load(SHARED) if one.id == "incident-list-of-the-wrong-patient"]
    day = [*case.more_facts]
    subjects = [fact for fact in day if not set(fact) & set(WITNESSES)]
    return _incident([*case.world.facts, *subjects], day, "pat-a", case.expect["recordings"])


def demo_incident(most: int) -> Incident:
    """Return the demo's incident, with *most* of the recordings that were mixed up."""
    facts = [json.loads(line) for line in DEMO.read_text(encoding="utf-8").splitlines()]
    released = {
        one["id"]: one.get("consultation_id")
        for fact in facts
        if (one := fact.get("recording", {})).get("created_by_release") == RELEASE
    }
    ids = set(released) | set(released.values())
    for left_out in [one for one in released if one.startswith("rec-mix-")][most:]:
        ids -= {left_out, released[left_out]} if released[left_out] else set()
    of_day = [fact for fact in facts if set(fact) & set(WITNESSES)]
    concerned = set(released) | set(released.values())
    before = [fact for fact in facts if fact not in of_day or _id_of(fact) not in concerned]
    day = [fact for fact in of_day if _id_of(fact) in ids]
    own = {"rec-river-1", "rec-river-2", "rec-river-3"}
    return _incident(before, day, "pat-river", own)


def interleaved(incident: Incident, order: str) -> Sequence[tuple[str, Sequence[Plain]]]:
    """Return the writes of that day, each of one witness, in one of many possible orders.

    Args:
        incident: What was written.
        order: A witness whose whole stream comes first, or the seed of a random order.
    """
    chosen = random.Random(order)
    left = {witness: list(stream) for witness, stream in incident.streams.items()}
    writes: list[tuple[str, Sequence[Plain]]] = []
    while any(left.values()):
        waiting = [witness for witness in WITNESSES if left[witness]]
        witness = order if order in waiting else chosen.choice(waiting)
        many = chosen.randint(1, 24)
        writes.append((witness, left[witness][:many]))
        del left[witness][:many]
    return writes


def _incident(
    before: Sequence[Plain], day: Sequence[Plain], named: str, own: Sequence[str] | set[str]
) -> Incident:
    """Return the incident of *day*."""
    every = [*before, *day]
    booked = {
        fact["consultation"]["id"]: fact["consultation"].get("patient_id")
        for fact in every
        if "consultation" in fact
    }
    truth = {
        fact["recording"]["id"]: booked.get(fact["recording"].get("consultation_id"))
        for fact in every
        if "recording" in fact
    }
    streams = {witness: [fact for fact in day if witness in fact] for witness in WITNESSES}
    known = {one: whose for one, whose in truth.items() if whose}
    return Incident(before, streams, named, known, frozenset(own))


def _id_of(fact: Plain) -> str:
    """Return the id of the consultation, recording or attendance that *fact* is of."""
    (witness,) = set(fact) & set(WITNESSES)
    return str(fact[witness]["id"])
