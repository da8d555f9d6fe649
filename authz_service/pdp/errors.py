"""Everything that can go wrong on purpose. A denial is not among it: a denial is an answer."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Violation(NamedTuple):
    """One field that is malformed.

    Attributes:
        field: The field's path, as in ``context.purpose_of_use``.
        description: What is wrong and what to do, without the value itself.
    """

    field: str
    description: str


class AuthzError(Exception):
    """The root of all deliberate errors."""


class InvalidRequestError(AuthzError):
    """A question or a fact is malformed."""

    def __init__(self, *violations: Violation) -> None:
        """Keep the fields that are malformed, at least one."""
        super().__init__("; ".join(f"{field}: {text}" for field, text in violations))
        self.violations = violations


class CallerRefusal(StrEnum):
    """What a caller is refused for: a closed list, by which refusals are counted.

    The first four say that it is not known who calls, the others what that caller may not.
    """

    CERTIFICATE = "certificate"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"
    UNKNOWN = "unknown"
    RPC = "rpc"
    TENANT = "tenant"
    ACTION = "action"
    PURPOSE = "purpose"
    KIND = "kind"
    SOURCE = "source"
    POWER = "power"


class CallerUnauthenticatedError(AuthzError):
    """It is not known which caller this is."""

    def __init__(self, why: str, refusal: CallerRefusal, caller: str = "") -> None:
        """Keep *why* in words that tell the caller what to do, and which *refusal* it is.

        Args:
            why: What is wrong with the identity.
            refusal: For what it is refused.
            caller: The SPIFFE ID where there is one; empty where there is none.
        """
        super().__init__(why)
        self.refusal = refusal
        self.caller = caller


class CallerNotAllowedError(AuthzError):
    """The caller may not ask this."""

    def __init__(self, what: str, refusal: CallerRefusal) -> None:
        """Keep *what* the caller may not, and which *refusal* it is."""
        super().__init__(f"this caller may not {what}; the callers file decides ({refusal.value})")
        self.refusal = refusal


class NotFoundError(AuthzError):
    """Something that was named does not exist."""

    def __init__(self, what: str, why: str = "does not exist") -> None:
        """Keep *what* there is none of, and how that is said."""
        super().__init__(f"{what} {why}")


class RevisionAheadError(AuthzError):
    """The question asks for a facts revision that the registry has not reached."""

    def __init__(self, wanted: int, reached: int) -> None:
        """Keep the two revisions."""
        super().__init__(f"facts revision {wanted} is ahead of the registry, which is at {reached}")
        self.wanted = wanted
        self.reached = reached


class HistoryGoneError(AuthzError):
    """What is asked for lies before the history that the registry keeps."""

    def __init__(self, why: str) -> None:
        """Keep *why*, in words that say from where on there is history."""
        super().__init__(f"the registry keeps no such history: {why}")


class StateError(AuthzError):
    """The state of the registry forbids the change."""

    def __init__(self, what: str, why: str) -> None:
        """Keep *what* is refused, and *why*."""
        super().__init__(f"{what}: {why}")


class CallLimit(StrEnum):
    """What a call came up against: a closed list, by which such calls are counted.

    Those of the first five are refused, the others cut short.
    """

    SERVICE = "service"
    CALLER = "caller"
    WAITING = "waiting"
    SLOW = "slow"
    STREAMS = "streams"
    ARRIVAL = "arrival"
    DURATION = "duration"


_LIMITS = {
    CallLimit.SERVICE: "the service has as many calls in hand as it takes; ask again later",
    CallLimit.CALLER: "this caller has as many calls in hand as one may have; ask fewer at once",
    CallLimit.WAITING: "too many large requests wait to be worked on; ask fewer at once",
    CallLimit.SLOW: "too many requests are still on their way; send each of them in one go",
    CallLimit.STREAMS: "there are as many watches and exports as may be at once; end some first",
}


class LimitExceededError(AuthzError):
    """Too many calls at once, or too much in them."""

    def __init__(self, limit: CallLimit) -> None:
        """Keep which *limit* it is."""
        super().__init__(_LIMITS[limit])
        self.limit = limit


class FactsUnavailableError(AuthzError):
    """The registry is silent, read-only or otherwise not to be relied on."""

    def __init__(self, why: str) -> None:
        """Keep *why*."""
        super().__init__(f"the registry is not usable: {why}")


class JournalUnavailableError(AuthzError):
    """The journal cannot write, so nothing may be answered."""

    def __init__(self, why: str) -> None:
        """Keep *why*."""
        super().__init__(f"the journal is not usable: {why}")


class JournalInUseError(JournalUnavailableError):
    """Somebody else writes the journal."""


class DecisionsUnavailableError(AuthzError):
    """The decision store is silent, gone or otherwise not to be relied on."""

    def __init__(self, why: str) -> None:
        """Keep *why*."""
        super().__init__(f"the decision store is not usable: {why}")


class DecisionsNotKeptError(AuthzError):
    """The service keeps no decision store, so nothing can be read from one."""

    def __init__(self) -> None:
        """Say so."""
        super().__init__("this service keeps no decision store: AUTHZ_DECISIONS_URL is none")


class PolicyNotReadyError(AuthzError):
    """There is no verified policy, or it cannot be evaluated."""

    def __init__(self, why: str) -> None:
        """Keep *why*."""
        super().__init__(f"the policy is not usable: {why}")


class PolicyProblem(NamedTuple):
    """One thing wrong with a bundle, or with the callers file beside it.

    Attributes:
        kind: ``invalid`` (a file), ``case_failed`` (a golden decision), or ``doubtful`` (what a
            file of callers is warned of, in force all the same).
        file: The file; of a bundle, relative to it.
        line: The line, from 1; 0 where the whole file is meant.
        column: The column, from 1; 0 where the whole line is meant.
        message: What is wrong.
        hint: What to do.
    """

    kind: str
    file: str
    line: int
    column: int
    message: str
    hint: str


class PolicyRefusedError(AuthzError):
    """A bundle was refused; the policy that was in force stays in force."""

    def __init__(self, *problems: PolicyProblem) -> None:
        """Keep what is wrong, at least one thing."""
        super().__init__("\n".join(_located(problem) for problem in problems))
        self.problems = problems

    def below(self, directory: str) -> PolicyRefusedError:
        """Return this error with files named from where *directory* is, not from inside of it."""
        return PolicyRefusedError(
            *(
                problem._replace(file=f"{directory}/{problem.file}".rstrip("/"))
                for problem in self.problems
            )
        )


class CallersRefusedError(AuthzError):
    """A callers file was refused; the one that was in force stays in force."""

    def __init__(self, *problems: PolicyProblem) -> None:
        """Keep what is wrong, at least one thing."""
        super().__init__("\n".join(_located(problem) for problem in problems))
        self.problems = problems


def _located(problem: PolicyProblem) -> str:
    """Return *problem* on one line, as compilers print it."""
    place = ":".join(str(part) for part in (problem.file, problem.line, problem.column) if part)
    return f"{place}: {problem.message} ({problem.hint})"
