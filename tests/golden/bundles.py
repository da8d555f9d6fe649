"""Policy bundles for cases: the shipped one, or the shipped one with other rules."""

from __future__ import annotations

import shutil
import tempfile
from functools import cache
from pathlib import Path

from authz_service.pdp.ruleset import Ruleset
from authz_service.policy.source import BundleSource

SHIPPED = Path(__file__).resolve().parents[2] / "policies"


def write_bundle(rules: tuple[str, ...] | None, into: Path) -> Path:
    """Copy the shipped bundle to *into*, with *rules* in place of its own and its cases left out.

    With no *rules* the copy is the shipped bundle as it is.
    """
    shutil.copytree(SHIPPED, into)
    if rules is not None:
        (into / "rules.csv").write_text("\n".join(rules) + "\n", encoding="utf-8")
        shutil.rmtree(into / "cases")
    return into


@cache
def ruleset_of(rules: tuple[str, ...] | None) -> Ruleset:
    """Return the compiled policy, made once for each set of rules."""
    if rules is None:
        return BundleSource(SHIPPED).load().ruleset
    with tempfile.TemporaryDirectory() as folder:
        return BundleSource(write_bundle(rules, Path(folder) / "policies")).load().ruleset
