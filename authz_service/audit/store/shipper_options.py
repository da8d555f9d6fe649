"""How often a shipper does what, and how long it waits."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ShipperOptions:
    """When a shipper does what.

    Attributes:
        retention_hours: How long a closed segment is kept once all of it is in the store.
        round_seconds: How long it rests when no whole piece is left to ship; also how often
            retention has its turn where there always is one.
        look_seconds: How often it asks the store where it stands though there is nothing to ship.
        retire_seconds: How long it rests when there is nothing to retire.
        slice_seconds: How long it rests between two slices of retiring.
        first_retry_seconds: How long after a failure the first new attempt comes.
        last_retry_seconds: How long the pauses between attempts become; each doubles.
        alarm_retry_seconds: How long after an alarm it looks again.
        silence_seconds: How long the store may take before it counts as silent.
    """

    retention_hours: float = 168.0
    round_seconds: float = 0.3
    look_seconds: float = 2.0
    retire_seconds: float = 5.0
    slice_seconds: float = 0.005
    first_retry_seconds: float = 0.25
    last_retry_seconds: float = 5.0
    alarm_retry_seconds: float = 60.0
    silence_seconds: float = 3.0
