"""The one place where an error becomes a message and an exit code; no stack trace passes it.

A message says what is wrong, where, and what to do.
"""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from authz_service.cli.codes import ExitCode
from authz_service.cli.failure_kinds import OUR_KINDS
from authz_service.cli.journal_hints import journal_hint
from authz_service.cli.wording import counted
from authz_service.pdp import errors


class CommandError(Exception):
    """A verb cannot do what it was asked."""

    def __init__(
        self,
        message: str,
        *,
        code: ExitCode = ExitCode.ERROR,
        reason: str = "ERROR",
        details: tuple[str, ...] = (),
        hint: str = "",
    ) -> None:
        """Keep what is wrong.

        Args:
            message: What is wrong and where, on one line.
            code: How the command ends.
            reason: The same for programs: one word of a closed list.
            details: More lines, one for each thing that is wrong.
            hint: What to do.
        """
        super().__init__(message)
        self.message = message
        self.code = code
        self.reason = reason
        self.details = details
        self.hint = hint


class Boundary(TyperGroup):
    """The outermost group of verbs: what any of them raises ends here."""

    def invoke(self, ctx: Any) -> Any:
        """Run the verb; report what it raises and end with the right code."""
        try:
            outcome = super().invoke(ctx)
            sys.stdout.flush()
        except (typer.Exit, typer.Abort, typer.TyperException):
            raise
        except BrokenPipeError:
            _discard_stdout()
            raise typer.Exit(ExitCode.ERROR) from None
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  # the edge to the user
            failure = failure_of(error)
            _report_if_possible(failure, as_json=ctx.obj == "json")
            raise typer.Exit(failure.code) from None
        return outcome


def failure_of(error: BaseException) -> CommandError:
    """Return *error* as a message for people, with an exit code."""
    if isinstance(error, CommandError):
        return error
    if isinstance(error, errors.AuthzError):
        return _of_ours(error)
    if isinstance(error, KeyboardInterrupt):
        return CommandError("interrupted", reason="INTERRUPTED")
    if isinstance(error, OSError):
        return _of_system(error)
    return _of_rooms(error) or _of_bug(error)


def report(failure: CommandError, *, as_json: bool) -> None:
    """Say on stderr what is wrong; for programs, as the one document on stdout as well."""
    _complain(f"authz: {failure.message}", "red")
    for line in (*failure.details, failure.hint):
        if line:
            _complain(f"  {line}", None)
    if as_json:
        from authz_service.cli.output import print_json  # noqa: PLC0415  # Rich, for JSON alone

        print_json(
            {
                "error": {
                    "reason": failure.reason,
                    "message": failure.message,
                    "details": list(failure.details),
                    "hint": failure.hint,
                    "exit_code": int(failure.code),
                }
            }
        )


def _complain(line: str, colour: str | None) -> None:
    """Print one line on stderr; without Rich, which would take longer than most failures."""
    typer.secho(line, fg=None if os.environ.get("NO_COLOR") else colour, err=True)


def _of_ours(error: errors.AuthzError) -> CommandError:
    """Return a deliberate error of this project as a message."""
    if isinstance(error, errors.InvalidRequestError):
        lines = tuple(f"{field}: {text}" for field, text in error.violations)
        if len(lines) == 1:
            return CommandError(lines[0], code=ExitCode.USAGE, reason="INVALID_REQUEST")
        return CommandError(
            "malformed", code=ExitCode.USAGE, reason="INVALID_REQUEST", details=lines
        )
    if isinstance(error, errors.PolicyRefusedError):
        return policy_refused(error.problems)
    if isinstance(error, errors.CallersRefusedError):
        return callers_refused(error.problems)
    for kind, code, reason, hint in OUR_KINDS:
        if isinstance(error, kind):
            what = str(error)
            return CommandError(what, code=code, reason=reason, hint=hint or _hint_of(error))
    return CommandError(str(error))


def _hint_of(error: errors.AuthzError) -> str:
    """Return what to do about an error whose kind alone does not tell."""
    return journal_hint(str(error)) if isinstance(error, errors.JournalUnavailableError) else ""


def policy_refused(problems: tuple[errors.PolicyProblem, ...]) -> CommandError:
    """Return the refusal of a bundle: each problem on a line as compilers print it."""
    invalid = any(problem.kind == "invalid" for problem in problems)
    return CommandError(
        f"the policy is refused: {counted(len(problems), 'problem')}",
        code=ExitCode.POLICY_INVALID if invalid else ExitCode.CASE_FAILED,
        reason="POLICY_INVALID" if invalid else "CASE_FAILED",
        details=tuple(located(problem) for problem in problems),
    )


def callers_refused(problems: tuple[errors.PolicyProblem, ...]) -> CommandError:
    """Return the refusal of a callers file: each problem on a line as compilers print it."""
    return CommandError(
        f"the callers file is refused: {counted(len(problems), 'problem')}",
        code=ExitCode.POLICY_INVALID,
        reason="CALLERS_INVALID",
        details=tuple(located(problem) for problem in problems),
    )


def located(problem: errors.PolicyProblem) -> str:
    """Return *problem* on one line, as compilers print it."""
    return str(errors.PolicyRefusedError(problem)).removeprefix(": ")


_ADDRESS_ERRORS = (
    ("authz_service.server.listen", "ListenError"),
    ("authz_service.console.listener", "ConsoleAddressError"),
    ("authz_service.console.guard", "GuardError"),
)


def _of_system(error: OSError) -> CommandError:
    """Return an error of the operating system as a message, with the file it is about."""
    words = (error.strerror or str(error) or type(error).__name__).lower()
    where = f"{os.fspath(error.filename)}: " if isinstance(error.filename, (str, Path)) else ""
    return CommandError(f"{where}{words}", reason="SYSTEM")


def _of_rooms(error: BaseException) -> CommandError | None:
    """Return an error that one room alone knows as a message; None for any other."""
    from authz_service.identity.tls_files import TlsFilesError  # noqa: PLC0415  # on failure only
    from authz_service.settings import SettingsError  # noqa: PLC0415  # on failure only

    if isinstance(error, SettingsError):
        first, *rest = str(error).split("\n")
        return CommandError(
            first, code=ExitCode.USAGE, reason="SETTINGS", details=tuple(rest),
            hint="authz serve --help names every setting",
        )  # fmt: skip
    if isinstance(error, TlsFilesError):
        return CommandError(str(error), reason="TLS_FILES")
    for module, name in _ADDRESS_ERRORS:
        loaded = sys.modules.get(module)
        if loaded is not None and isinstance(error, getattr(loaded, name)):
            return CommandError(str(error), reason="LISTEN")
    app = sys.modules.get("authz_service.app")
    if app is not None and isinstance(error, app.StartError):
        return _of_start(error)
    return None


def _of_start(error: BaseException) -> CommandError:
    """Return why the service does not start, with the code of what is in the way."""
    cause = failure_of(error.__cause__) if error.__cause__ else CommandError(str(error))
    return CommandError(
        f"the service does not start: {cause.message}",
        code=cause.code,
        reason=cause.reason,
        details=cause.details,
        hint=cause.hint or "authz doctor looks at everything that a start depends on",
    )


def _of_bug(error: BaseException) -> CommandError:
    """Return what nobody foresaw as a message: its kind and its place, never what it holds."""
    frames = traceback.extract_tb(error.__traceback__)
    last = frames[-1] if frames else None
    where = f" at {Path(last.filename).name}:{last.lineno}" if last else ""
    return CommandError(
        f"unexpected {type(error).__name__}{where}",
        reason="INTERNAL",
        hint="this is a defect of authz; please report it with the command and this line",
    )


def _report_if_possible(failure: CommandError, *, as_json: bool) -> None:
    """Report, unless it is the output itself that cannot be written."""
    try:
        report(failure, as_json=as_json)
        sys.stdout.flush()
    except OSError:
        _discard_stdout()


def _discard_stdout() -> None:
    """Let what is still buffered go nowhere: who was to read it has left."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, sys.stdout.fileno())
    except (OSError, ValueError):
        pass
    finally:
        os.close(nowhere)
