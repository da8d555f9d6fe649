"""The exit codes of every verb: a closed list that scripts rely on."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What became of a command."""

    OK = 0
    """Fine, or ALLOW."""
    ERROR = 1
    """Something is wrong that no other code names."""
    USAGE = 2
    """The command line, a setting or an id is malformed."""
    POLICY_INVALID = 3
    """A file of the policy, or the callers file, is defective."""
    CASE_FAILED = 4
    """A golden decision of the policy does not hold."""
    COVERAGE_LOW = 6
    """The cases touch fewer rules than asked for."""
    DENIED = 10
    """DENY."""
    UNAVAILABLE = 11
    """Nothing answers, or what answers cannot decide."""
