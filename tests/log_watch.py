"""Fails a test during which a secret came out: in a log, a record, or what a command printed.

A plugin of pytest, on in every run. It hears what the test's own process logs and prints, what
processes say that the test waits for, and the logs and journals that lie in folders of the test;
a module's shared folder is read after each test of the module. What it looks for are the values of
`marked.py`, and what secrets look like whoever made them.
"""

from __future__ import annotations

import functools
import logging
import re
import subprocess
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from structlog.testing import LogCapture
from typer.testing import CliRunner

from authz_service.telemetry.logs import without_context
from authz_service.telemetry.tracebacks import error_of, told
from tests.marked import BIRTH_DATE, PERSONAL_MARK, SECRET_MARK

_ANYWHERE: Final = {
    "a secret of a test": rb"%s" % SECRET_MARK.encode(),
    "a private key": rb"BEGIN [A-Z ]*PRIVATE KEY-----(?:\s|\\n)+[A-Za-z0-9+/]{16}",
    "a bearer token": rb"(?i:bearer)\s+[A-Za-z0-9._~+/-]{16}",
    "a signed token": rb"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}",
    "a password in a URL": rb"://[^\s:/@\"'\\]*:(?!\*\*\*@)[^\s@/\"'\\]+@",
}
_IN_LOGS: Final = {
    "free text about a person": rb"%s" % PERSONAL_MARK.encode(),
    "a birth date": rb"birth_date|%s" % BIRTH_DATE.encode(),
    "a page token": rb"(?<![\w.-])A[Q-Za-f][A-Za-z0-9_-]{88,}(?![\w.-])",
}
_KINDS: Final = {f"k{at}": kind for at, kind in enumerate([*_ANYWHERE, *_IN_LOGS])}
LOG_FILES: Final = ("*.log", "segment-*.jsonl*", "log.jsonl")
"""Names of files that a service writes: its log, and its journal."""
_MASK: Final = b"[...]"
_SHOWN: Final = 200
_MOST: Final = 5
_NAMED_BY: Final = 30
"""How many characters of a test's name are in that of its own folder."""


def _any_of(patterns: Mapping[str, bytes]) -> re.Pattern[bytes]:
    """Return what finds any of *patterns*, and says which by the name of a group."""
    groups = zip(_KINDS, patterns.values(), strict=False)
    return re.compile(b"|".join(b"(?P<%s>%s)" % (name.encode(), each) for name, each in groups))


_PRINTED: Final = _any_of(_ANYWHERE)
_LOGGED: Final = _any_of(_ANYWHERE | _IN_LOGS)


class Leak(NamedTuple):
    """Something that came out.

    Attributes:
        kind: What it is.
        place: Where it came out.
        line: The line, with dots in its place.
    """

    kind: str
    place: str
    line: str


class LogWatch:
    """Hears a session, and judges it test by test."""

    def __init__(self) -> None:
        self._heard: list[tuple[str, bytes, bool]] = []
        self._folders: dict[Path, dict[Path, int]] = {}
        self._module = ""
        self._libraries = _Libraries(self)
        self._undo: list[Callable[[], None]] = []

    def hear(self, place: str, text: str | bytes | None, *, is_log: bool) -> None:
        """Take note of what was said at *place*, by any thread."""
        if text:
            content = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
            self._heard.append((place, content, is_log))

    def hear_event(self, event: Mapping[str, Any]) -> None:
        """Take note of an event that code under test logged in this process."""
        error = error_of(event.get("exc_info"))
        plain = {name: word for name, word in event.items() if name != "exc_info"}
        said = f"{plain!r}\n{told(error) if error else ''}"
        self.hear(f"event {event.get('event')}", said, is_log=True)

    def pytest_configure(self) -> None:
        """Begin to listen."""
        self._wrap(subprocess.Popen, "communicate", after=self._communicated)
        self._wrap(CliRunner, "invoke", after=self._invoked)
        self._wrap(LogCapture, "__call__", before=lambda args: self.hear_event(args[-1]))
        self._wrap(pytest.TempPathFactory, "mktemp", after=self._made)

    def pytest_unconfigure(self) -> None:
        """Listen no more."""
        logging.root.removeHandler(self._libraries)
        while self._undo:
            self._undo.pop()()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Forget the folders of other modules, and hear libraries as the service does."""
        if self._libraries not in logging.root.handlers:
            logging.root.addHandler(self._libraries)
        module = item.nodeid.partition("::")[0]
        if module != self._module:
            self._module = module
            self._folders.clear()
        return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Fail a test, when all of it is over, for what came out during it."""
        report = yield
        if call.when == "teardown":
            found = list(self._leaks(report.sections))
            self._heard.clear()
            own = re.sub(r"\W", "_", item.name)[:_NAMED_BY]
            self._folders = {
                folder: read
                for folder, read in self._folders.items()
                if not folder.name.startswith(own)
            }
            if found:
                before = f"{report.longreprtext}\n\n" if report.failed else ""
                report.outcome = "failed"
                report.longrepr = f"{before}{complaint(item.nodeid, found)}"
        return report

    def _leaks(self, sections: Iterable[tuple[str, str]]) -> Iterator[Leak]:
        """Yield what came out since the last test."""
        for title, said in sections:
            if "Captured log" in title:  # as libraries wrote it, and not as a service logs it
                continue
            yield from leaks_in(said.encode("utf-8", "replace"), title, is_log=True)
        for place, content, is_log in list(self._heard):
            yield from leaks_in(content, place, is_log=is_log)
        for folder, read in self._folders.items():
            for path in (each for pattern in LOG_FILES for each in folder.rglob(pattern)):
                yield from leaks_in(_news(path, read), str(path), is_log=True)

    def _wrap(
        self,
        owner: Any,
        name: str,
        *,
        before: Callable[[Any], None] = lambda _args: None,
        after: Callable[[Any, Any], None] = lambda _args, _returned: None,
    ) -> None:
        """Have a method tell of what it is given, and of what it returns."""
        method = getattr(owner, name)

        @functools.wraps(method)
        def call(*args: Any, **kwargs: Any) -> Any:
            before(args)
            returned = method(*args, **kwargs)
            after(args, returned)
            return returned

        setattr(owner, name, call)
        self._undo.append(lambda: setattr(owner, name, method))

    def _communicated(self, args: Any, outputs: Any) -> None:
        """Hear what a process said that was waited for."""
        process = args[0]
        for stream, text in zip(("stdout", "stderr"), outputs, strict=True):
            self.hear(f"{stream} of {process.args}"[:_SHOWN], text, is_log=stream == "stderr")

    def _invoked(self, args: Any, result: Any) -> None:
        """Hear what a command printed that ran in this process."""
        words = str(args[2:])[:_SHOWN]
        self.hear(f"stdout of authz {words}", result.stdout_bytes, is_log=False)
        self.hear(f"stderr of authz {words}", result.stderr_bytes, is_log=True)

    def _made(self, _args: Any, folder: Path) -> None:
        """Remember a folder of a test."""
        self._folders[folder] = {}


class _Libraries(logging.Handler):
    """Hears what libraries log, in the form in which the service logs it."""

    def __init__(self, watch: LogWatch) -> None:
        super().__init__(logging.WARNING)
        self._watch = watch

    def emit(self, record: logging.LogRecord) -> None:
        event = {"event": record.getMessage(), "exc_info": record.exc_info}
        self._watch.hear_event(without_context(None, record.levelname, event))


def leaks_in(text: bytes, place: str, *, is_log: bool) -> Iterator[Leak]:
    """Yield what *text* gives away; a log may say less than a command that is asked."""
    for found in (_LOGGED if is_log else _PRINTED).finditer(text):
        begin = max(text.rfind(b"\n", 0, found.start()) + 1, found.start() - _SHOWN)
        end = text.find(b"\n", found.end())
        after = text[found.end() : len(text) if end < 0 else end][:_SHOWN]
        line = text[begin : found.start()] + _MASK + after
        yield Leak(_KINDS[found.lastgroup or ""], place, line.decode("utf-8", "replace"))


def complaint(test: str, found: Sequence[Leak]) -> str:
    """Return what is said of a test during which something came out."""
    lines = [f"{leak.kind} came out in {leak.place}:\n    {leak.line}" for leak in found[:_MOST]]
    more = [f"and {len(found) - _MOST} more"] if len(found) > _MOST else []
    said = "\n".join([f"{test} let out what no log may hold", *lines, *more])
    return _LOGGED.sub(_MASK, said.encode("utf-8", "replace")).decode()


def _news(path: Path, read: dict[Path, int]) -> bytes:
    """Return the whole lines of a log that were not read yet, or what can be had of them."""
    try:
        with path.open("rb") as file:
            if path.stat().st_size < read.get(path, 0):
                read[path] = 0
            file.seek(read.get(path, 0))
            content = file.read()
    except OSError:
        return b""
    read[path] = read.get(path, 0) + content.rfind(b"\n") + 1
    return content


WATCH: Final = LogWatch()
"""The one of this process."""
