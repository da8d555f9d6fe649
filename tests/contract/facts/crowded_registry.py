"""A registry with tens of thousands of rows in every table that grows, made by SQL in a second."""

from __future__ import annotations

from typing import Final

from tests.contract.facts.registry_cases import run

ROWS: Final = 20_000
BUSY, LONG, SERVICE = "busy", "long", "svc"
LONG_ROWS: Final = 500
"""A clinician of all recordings, a patient of 500, and a service of their tenant."""

_OTHER_ROWS: Final = 5_000
"""How many there are of what a list does not rest on."""
_OF_LISTS: Final = {"recordings", "recording_reach", "attendance_participants", "relationships"}

REVISION: Final = _OTHER_ROWS
"""The registry's revision, as many as there are writes."""

_PEOPLE: Final = 2_000
_HOUR: Final = 3_600_000_000
_STARTED: Final = 1_500_000_000_000_000
_EVERY: Final = ROWS // LONG_ROWS
_ANYBODY: Final = f"'p' || (i / {ROWS // _PEOPLE})"
_OWNER: Final = f"CASE WHEN i / {_EVERY} * {_EVERY} = i THEN '{LONG}' ELSE {_ANYBODY} END"
_SAID: Final = "'test', 0, 1"
_MADE: Final = f"{_STARTED} + i * CAST({_HOUR} AS bigint)"


def crowd(url: str) -> None:
    """Fill the registry of *url*, in which nothing is yet, and have statistics taken."""
    service = f"'{SERVICE}', 'uk', '{{\"kind\":\"SERVICE\"}}', {_SAID}"
    run(url, f"INSERT INTO subjects VALUES ({service})")  # noqa: S608  # words of ours
    numbers = "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {last})"
    for table, columns in _CROWDS.items():
        rows = ROWS if table in _OF_LISTS else _OTHER_ROWS
        run(url, f"INSERT INTO {table} {numbers.format(last=rows - 1)} SELECT {columns} FROM n")  # noqa: S608  # words of ours
    run(url, f"UPDATE facts_revision SET revision = {REVISION}", "ANALYZE")  # noqa: S608  # a number of ours


def recording_id(number: int) -> str:
    """Return the id of the recording of a number; the greatest is the newest."""
    return f"x{number}"


def made_at(number: int) -> int:
    """Return when the recording of a number was made, in microseconds since 1970."""
    return _STARTED + number * _HOUR


_CROWDS: Final = {
    "subjects": f"'p' || i, 'uk', '{{\"kind\":\"PATIENT\"}}', {_SAID}",
    "consultations": f"'v' || i, 'uk', {_OWNER}, '{{}}', {_SAID}",
    "recordings": f"'x' || i, 'uk', 'v' || i, {_OWNER}, {_MADE}, '{{}}', {_SAID}",
    "attendances": f"'x' || i, '{{}}', {_SAID}",
    "attendance_participants": f"'x' || i, '{BUSY}', 'CLINICIAN'",
    "delegations": f"'d' || i, {_ANYBODY}, 'p' || i, '{{}}', {_SAID}",
    "blocks": f"'b' || i, {_ANYBODY}, 'p' || i, '{{}}', {_SAID}",
    "relationships": f"'t' || i, {_ANYBODY}, 's' || (i / 200), '{{}}', {_SAID}",
    "grants": f"'g' || i, 'p' || i, 'x' || i, NULL, '{{\"kind\":\"SHARE\"}}', {_SAID}",
    "consents": f"'n' || i, {_ANYBODY}, '{{}}', {_SAID}",
    "subject_links": "'p' || i, 'family', 'p' || (i + 1)",
    "attributions": "'x' || i, 'p', FALSE, NULL, NULL, NULL, NULL, NULL",
    "facts_writes": "i + 1, 'nonce' || (i + 1), 'test', 0, 1, 0",
    "fact_changes": "i + 1, 'subject', 'p' || i, '[]', NULL, 'test', 0, 0, TRUE",
    "recording_reach": f"'{BUSY}', 'attending', {_MADE}, 'x' || i",
}
