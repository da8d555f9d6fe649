"""The operating system's files: a write is whole, or it fails and says so."""

from __future__ import annotations

import array
import fcntl
import os
import resource
import signal
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from authz_service.audit.files import LocalFiles
from authz_service.audit.opening import open_journal
from authz_service.audit.verify import verify_journal
from authz_service.pdp.errors import JournalUnavailableError
from tests.unit.audit.audit_faults import ORIGIN, QUICK, decision_record
from tests.unit.audit.journal_under_test import ids_in, until_usable


@contextmanager
def longest_file(size_bytes: int) -> Iterator[None]:
    """Let no file of this process grow beyond *size_bytes*: the kernel then cuts writes short."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_write_that_is_cut_short_goes_on(tmp_path: Path) -> None:
    """A signal ends a write in the middle; the rest is written after it."""
    content, received, interrupted = os.urandom(200_000), bytearray(), []
    reading, writing = os.pipe()
    writer = threading.get_ident()

    def read() -> None:
        waiting = array.array("i", [0])
        while waiting[0] < 65_536:  # until the pipe is full, and the writer waits
            fcntl.ioctl(reading, termios.FIONREAD, waiting)
            time.sleep(0.001)
        signal.pthread_kill(writer, signal.SIGUSR1)
        while len(received) < len(content):
            received.extend(os.read(reading, 65_536))

    before = signal.signal(signal.SIGUSR1, lambda *_: interrupted.append(len(received)))
    reader = threading.Thread(target=read)
    reader.start()
    try:
        LocalFiles().write(writing, content)
    finally:
        reader.join(10)
        signal.signal(signal.SIGUSR1, before)
        os.close(reading)
        os.close(writing)

    assert len(interrupted) == 1
    assert received == content


def test_a_write_that_cannot_be_finished_fails(tmp_path: Path) -> None:
    files = LocalFiles()
    descriptor = files.create(tmp_path / "f")
    with longest_file(70_000), pytest.raises(OSError, match="File too large"):
        files.write(descriptor, bytes(70_001))
    files.close(descriptor)

    assert (tmp_path / "f").stat().st_size == 70_000


async def test_a_journal_overcomes_a_write_that_the_kernel_cut_short(tmp_path: Path) -> None:
    journal = open_journal(tmp_path / "j", ORIGIN, options=QUICK)
    await journal.append([decision_record(0)])
    with longest_file(70_000), pytest.raises(JournalUnavailableError, match="file too large"):
        await journal.append([decision_record(number) for number in range(1, 100)])
    await until_usable(journal)
    await journal.append([decision_record(100)])
    await journal.close()

    assert ids_in(tmp_path / "j") == ["decision-0", "decision-100"]
    report = verify_journal(tmp_path / "j")
    assert (report.fault, report.abandoned) == (None, ())
