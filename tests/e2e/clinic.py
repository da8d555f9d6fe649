"""A small clinic for the end-to-end tests: two patients, a child with a parent, a clinician."""

from __future__ import annotations

from typing import Any

from tests.marked import BIRTH_DATE

Plain = dict[str, Any]

TENANT = "fjell"
NOW = "2023-09-20T09:00:00Z"
SEEN = "2019-01-01T00:00:00Z"
LATER = "2019-01-02T00:00:00Z"

_SOURCES = {
    "tenant": "operations",
    "subject": "directory",
    "consultation": "booking",
    "recording": "pipeline",
    "attendance": "media-server",
    "delegation": "proxies",
    "relationship": "rosters",
    "block": "safeguarding",
    "consent": "consents",
    "grant": "releases",
    "containment": "operations",
}


def fact(kind: str, /, *, observed_at: str = SEEN, **fields: Any) -> Plain:
    """Return one fact as the wire has it."""
    return {kind: fields, "source": _SOURCES[kind], "observed_at": observed_at}


def patient(name: str, birth_date: str | None = BIRTH_DATE) -> Plain:
    """Return a patient."""
    return fact(
        "subject",
        id=name,
        tenant_id=TENANT,
        kind="PATIENT",
        status="ACTIVE",
        birth_date=birth_date,
    )


def recorded(recording_id: str, patient_id: str, **fields: Any) -> list[Plain]:
    """Return the three facts of a recording whose patient is known."""
    consultation = f"con-{recording_id}"
    return [
        fact(
            "consultation",
            id=consultation,
            tenant_id=TENANT,
            patient_id=patient_id,
            modality="VIDEO",
            started_at="2023-06-01T08:00:00Z",
        ),
        fact(
            "recording",
            id=recording_id,
            tenant_id=TENANT,
            consultation_id=consultation,
            owner_id=patient_id,
            state="ACTIVE",
            created_at="2023-06-01T08:20:00Z",
            **fields,
        ),
        fact(
            "attendance",
            id=recording_id,
            participants=[
                {"subject_id": patient_id, "kind": "PATIENT"},
                {"subject_id": "dr-lund", "kind": "CLINICIAN"},
            ],
        ),
    ]


def delegation(name: str, *, observed_at: str = SEEN, **fields: Any) -> Plain:
    """Return Olga's parental delegation for Lio."""
    return fact(
        "delegation",
        observed_at=observed_at,
        **{
            "id": name,
            "patient_id": "lio",
            "delegate_id": "olga",
            "kind": "PARENTAL",
            "actions": ["LIST", "VIEW"],
            "valid_from": SEEN,
            **fields,
        },
    )


FACTS: list[Plain] = [
    fact("tenant", id=TENANT, time_zone="Europe/Oslo"),
    patient("mara"),
    patient("ines", "1990-01-17"),
    patient("olga", "1979-08-08"),
    patient("lio", "2016-03-03"),
    fact(
        "subject",
        id="dr-lund",
        tenant_id=TENANT,
        kind="STAFF",
        status="ACTIVE",
        roles=[{"role": "clinician", "valid_from": SEEN}],
    ),
    *recorded("rec-mara", "mara"),
    *recorded("rec-ines", "ines"),
    *recorded("rec-lio", "lio"),
]
"""Mara may watch rec-mara and nothing else; Olga may watch rec-lio once she has a delegation."""
