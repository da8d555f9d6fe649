"""How each error of ours ends a command: exit code, reason, and what to do about it."""

from __future__ import annotations

from typing import Final

from authz_service.cli.codes import ExitCode
from authz_service.pdp import errors

OUR_KINDS: Final[tuple[tuple[type[errors.AuthzError], ExitCode, str, str], ...]] = (
    (errors.NotFoundError, ExitCode.ERROR, "NOT_FOUND", ""),
    (errors.StateError, ExitCode.ERROR, "STATE", ""),
    (errors.HistoryGoneError, ExitCode.ERROR, "HISTORY_GONE", "ask for a later instant"),
    (errors.RevisionAheadError, ExitCode.ERROR, "REVISION_AHEAD", "wait for it, or ask for less"),
    (
        errors.FactsUnavailableError,
        ExitCode.UNAVAILABLE,
        "FACTS_UNAVAILABLE",
        "check AUTHZ_REGISTRY_URL, or name the registry with --registry-url; see: authz doctor",
    ),
    (errors.JournalUnavailableError, ExitCode.UNAVAILABLE, "JOURNAL_UNAVAILABLE", ""),
    (
        errors.DecisionsUnavailableError,
        ExitCode.UNAVAILABLE,
        "DECISIONS_UNAVAILABLE",
        "check AUTHZ_DECISIONS_URL, or name the store with --decisions-url",
    ),
    (
        errors.PolicyNotReadyError,
        ExitCode.UNAVAILABLE,
        "POLICY_NOT_READY",
        "see: authz policy validate",
    ),
)
"""The hint is empty where the kind alone does not tell."""
