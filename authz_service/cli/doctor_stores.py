"""The doctor's looks at the disk and the policy."""

from __future__ import annotations

import shutil

from authz_service.cli.doctor_finding import Finding, bad, fine, odd
from authz_service.cli.doctor_journal import existing
from authz_service.cli.failures import located
from authz_service.cli.wording import counted
from authz_service.pdp.errors import PolicyRefusedError
from authz_service.policy.source import BundleSource
from authz_service.settings import Settings

_MEBIBYTE = 1 << 20
_LITTLE_BYTES, _TOO_LITTLE_BYTES = 1024 * _MEBIBYTE, 64 * _MEBIBYTE


def disk(settings: Settings) -> Finding:
    """Look how much room the journal has."""
    place = existing(settings.journal_dir)
    free = shutil.disk_usage(place).free
    what = f"{free // _MEBIBYTE} MiB free for the journal"
    todo = "make room, or move the journal: AUTHZ_JOURNAL_DIR; without room nothing is answered"
    if free < _TOO_LITTLE_BYTES:
        return bad("disk", what, todo)
    return odd("disk", what, todo) if free < _LITTLE_BYTES else fine("disk", what)


def policy(settings: Settings) -> Finding:
    """Look whether the bundle could be put in force."""
    directory = settings.policy_dir
    try:
        loaded = BundleSource(directory).load()
    except PolicyRefusedError as refused:
        first = located(refused.problems[0])
        more = f", and {len(refused.problems) - 1} more" if len(refused.problems) > 1 else ""
        return bad("policy", f"{first}{more}", f"see: authz policy test {directory}")
    what = f"{directory}: {counted(loaded.rules, 'rule')}, {_held(loaded.cases)}"
    if not loaded.cases:
        return odd("policy", what, "write golden decisions: cases/*.yaml")
    return fine("policy", what)


def _held(cases: int) -> str:
    """Return that all *cases* hold, in words."""
    return f"{counted(cases, 'case')} {'holds' if cases == 1 else 'hold'}"
