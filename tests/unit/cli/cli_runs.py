"""Runs of the command line inside the test's own process, and what they are run on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from authz_service.cli.verbs import app

SHIPPED = Path(__file__).parents[3] / "policies"
NOBODY = "127.0.0.1:1"
"""An address at which nothing answers."""

_OBSERVED = "2020-06-01T00:00:00Z"
_SOURCES = {
    "tenant": "operations",
    "subject": "identity",
    "consultation": "booking",
    "recording": "recording-pipeline",
    "attendance": "media-server",
}


def run(
    *words: str, typed: str | bytes | None = None, env: Mapping[str, str] | None = None
) -> Result:
    """Run `authz` with *words*; a bug shows as what the user would see."""
    result = CliRunner().invoke(app, list(words), input=typed, env=env)
    assert "Traceback" not in result.output
    return result


def document(result: Result) -> Any:
    """Return the one JSON document on stdout."""
    return json.loads(result.stdout)


def line(kind: str, /, **entity: Any) -> str:
    """Return one fact in the import format."""
    return json.dumps({kind: entity, "source": _SOURCES[kind], "observed_at": _OBSERVED}) + "\n"


def recorded(recording_id: str, *, owner: str, attended: str) -> str:
    """Return a recording of *attended*, named as of *owner*, with its consultation."""
    booked = f"c-{recording_id}"
    return (
        line("consultation", id=booked, tenant_id="t", patient_id=attended,
             started_at="2020-06-01T10:00:00Z")
        + line("recording", id=recording_id, tenant_id="t", consultation_id=booked, owner_id=owner,
               state="ACTIVE", created_at="2020-06-01T10:10:00Z")
        + line("attendance", id=recording_id,
               participants=[{"subject_id": attended, "kind": "PATIENT"}])
    )  # fmt: skip


def small_bundle(directory: Path) -> Path:
    """Make a bundle of two rules and one case, which loads faster than the shipped one."""
    (directory / "cases").mkdir(parents=True)
    shutil.copy(SHIPPED / "model.conf", directory)
    for name, text in _SMALL.items():
        (directory / name).write_text(text, encoding="utf-8")
    return directory


_SMALL = {
    "roles.csv": "",
    "groups.csv": "",
    "rules.csv": """\
p, own, allow, patient, owner, VIEW, PATRQT, always
p, own-copy, allow, patient, owner, EXPORT, PATRQT, mfa and recent_authentication
""",
    "cases/own.yaml": """\
clock: "2021-03-10T09:00:00Z"
facts:
- tenant: {id: t, time_zone: UTC}
- subject: {id: pat, tenant_id: t, kind: PATIENT, status: ACTIVE}
- consultation: {id: con, tenant_id: t, patient_id: pat, started_at: "2021-03-01T10:00:00Z"}
- recording: {id: rec, tenant_id: t, state: ACTIVE, consultation_id: con, owner_id: pat,
              created_at: "2021-03-01T10:15:00Z"}
- attendance: {id: rec, participants: [{subject_id: pat, kind: PATIENT}]}
cases:
- id: own
  says: A patient watches their own.
  ask: {subject: pat, recording: rec, action: VIEW, purpose_of_use: PATRQT}
  expect: {effect: ALLOW, reason: RULE_ALLOWED, rule: own}
""",
    "callers.csv": """\
caller,rpcs,tenants,actions,purposes,writes,may
loopback,*,*,*,*,*,explain|assert_assurance|omit_token
""",
}

PEOPLE = (
    line("tenant", id="t", time_zone="UTC")
    + line("subject", id="ana", tenant_id="t", kind="PATIENT", status="ACTIVE")
    + line("subject", id="bob", tenant_id="t", kind="PATIENT", status="ACTIVE")
)
SOUND = PEOPLE + recorded("hers", owner="ana", attended="ana")
MIXED_UP = SOUND + recorded("mixed-up", owner="ana", attended="bob")
