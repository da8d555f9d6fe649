"""Where the policy comes from: a directory, read, checked, compiled and tried out as one."""

from __future__ import annotations

from pathlib import Path

from authz_service.operations.ports import LoadedPolicy
from authz_service.pdp.errors import PolicyNotReadyError, PolicyProblem, PolicyRefusedError
from authz_service.pdp.model import Action, PurposeOfUse, Situation
from authz_service.policy.bundle import (
    Bundle,
    BundleFiles,
    parse_files,
    read_bundle,
    read_files,
)
from authz_service.policy.casbin_ruleset import CasbinRuleset
from authz_service.policy.cases import Trial, try_cases

_NOBODY = Situation(frozenset(), frozenset(), Action.VIEW, PurposeOfUse.PATRQT, frozenset())


class BundleSource:
    """The bundle in one directory; every load reads it anew. Implements `PolicySource`.

    Stateless, so it may be used from any thread.
    """

    def __init__(self, directory: Path) -> None:
        """Take bundles from *directory*, which need not exist yet."""
        self._directory = directory

    def load(self) -> LoadedPolicy:
        return FilesSource(read_files(self._directory)).load()


class FilesSource:
    """A bundle that was read before, by this process or another. Implements `PolicySource`.

    Stateless, so it may be used from any thread.
    """

    def __init__(self, read: BundleFiles) -> None:
        """Take what was *read*."""
        self._read = read

    def load(self) -> LoadedPolicy:
        bundle = parse_files(self._read)
        ruleset = compiled(bundle)
        trial = try_cases(bundle, ruleset)
        if trial.failures:
            raise PolicyRefusedError(*(outcome.problem() for outcome in trial.failures))
        return LoadedPolicy(ruleset, len(bundle.rules), len(bundle.cases))


def validate_bundle(directory: Path) -> Bundle:
    """Return the bundle in *directory*, read, checked and compiled; its cases are not tried.

    Raises:
        PolicyRefusedError: It has defects; the error holds all of them.
    """
    bundle = read_bundle(directory)
    compiled(bundle)
    return bundle


def try_bundle(directory: Path) -> Trial:
    """Return what came of each case of the bundle in *directory*, failures included.

    Raises:
        PolicyRefusedError: Its files have defects, so that no case could be tried.
    """
    bundle = read_bundle(directory)
    return try_cases(bundle, compiled(bundle))


def compiled(bundle: Bundle) -> CasbinRuleset:
    """Return the ruleset of *bundle*, evaluated once to see that it can be.

    Raises:
        PolicyRefusedError: The policy engine does not take it.
    """
    try:
        ruleset = CasbinRuleset(bundle)
        ruleset.match(_NOBODY)
    except PolicyNotReadyError as wrong:
        hint = "the files are sound, so this is a fault of the software: report it"
        problem = PolicyProblem("invalid", "rules.csv", 0, 0, str(wrong), hint)
        raise PolicyRefusedError(problem) from wrong
    return ruleset
