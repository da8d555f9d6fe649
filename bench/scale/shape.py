"""How unevenly life spreads recordings over people, as tables that repeat.

Every 10,000 recordings of a tenant belong to the same number of patients with the same counts;
every 100,000 are held by the same number of clinicians with the same shares. So whose a recording
is, and which recordings somebody has, is computed and never remembered.
"""

from __future__ import annotations

from itertools import accumulate

BLOCK = 10_000
"""So many recordings of a tenant are spread over `BLOCK_PATIENTS` patients."""
GROUP = 100_000
"""So many recordings of a tenant are held by `GROUP_CLINICIANS` clinicians."""
PERIOD = 1_000
"""After so many recordings of a group the clinicians come in the same order again."""

_PATIENTS_WITH = {
    1: 1366, 2: 852, 3: 580, 4: 375, 5: 238, 10: 100, 30: 20, 100: 4, 500: 1,
}  # fmt: skip
_CLINICIANS_WITH = {200: 1, 110: 1, 60: 3, 25: 10, 10: 26}
_PATIENT_STRIDE = 1231
_CLINICIAN_STRIDE = 387
_TENANT_STRIDE = 7
_SHARES = {"north": 12, "south": 4, "island": 2, "harbour": 1, "hill": 1}


def _spread(values: list[int], stride: int) -> list[int]:
    """Return *values* in another order; *stride* has no divisor in common with their number."""
    return [values[place * stride % len(values)] for place in range(len(values))]


def _repeated(counts: dict[int, int]) -> list[int]:
    """Return each key of *counts* as often as it says, the rarest last."""
    return [key for key, times in counts.items() for _ in range(times)]


COUNTS = _spread(_repeated(_PATIENTS_WITH), _PATIENT_STRIDE)
"""How many recordings the patients of a block have, in their order."""
BLOCK_PATIENTS = len(COUNTS)
STARTS = [0, *accumulate(COUNTS)]
"""The first slot of each patient of a block."""
PATIENT_AT = [patient for patient, count in enumerate(COUNTS) for _ in range(count)]
"""The patient of a block, by slot."""

_CLINICIAN_COUNTS = _repeated(_CLINICIANS_WITH)
GROUP_CLINICIANS = len(_CLINICIAN_COUNTS)
CLINICIAN_AT = _spread(
    [who for who, count in enumerate(_CLINICIAN_COUNTS) for _ in range(count)], _CLINICIAN_STRIDE
)
"""The clinician of a group, by place in the period; the first have most."""
PLACES_OF = [
    [place for place, who in enumerate(CLINICIAN_AT) if who == clinician]
    for clinician in range(GROUP_CLINICIANS)
]
"""The places in the period that a clinician of a group has, in order."""

TENANTS = tuple(_SHARES)
"""The tenants, the largest first."""
TENANT_PERIOD = sum(_SHARES.values())
"""After so many recordings the tenants come in the same order again."""
TENANT_AT = _spread(
    [tenant for tenant, share in enumerate(_SHARES.values()) for _ in range(share)], _TENANT_STRIDE
)
"""The tenant, by place in that period."""
RANK_AT = [TENANT_AT[:place].count(tenant) for place, tenant in enumerate(TENANT_AT)]
"""The how manieth of its tenant in that period each place is, from 0."""
PLACES_OF_TENANT = [
    [place for place, who in enumerate(TENANT_AT) if who == tenant]
    for tenant in range(len(TENANTS))
]
"""The places in that period that a tenant has, in order."""
