"""One file is read once, up to a bound; what is no file is refused at once and costs nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from authz_service.tables.reading import MAX_FILE_BYTES, read_regular_file, read_with_mode


def test_a_file_is_read_with_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"1")
    path.chmod(0o640)

    content, mode = read_with_mode(path)

    assert (content, mode & 0o777) == (b"1", 0o640)


def test_no_more_is_read_than_shows_that_a_file_is_too_large(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"1" * (MAX_FILE_BYTES + 2))

    assert len(read_regular_file(path)) == MAX_FILE_BYTES + 1


@pytest.mark.parametrize("kind", ["pipe", "directory", "device"])
def test_what_is_no_file_costs_no_descriptor(tmp_path: Path, kind: str) -> None:
    """It may stand there for days, and is looked at every second."""
    path = tmp_path / kind
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero")
    before = len(list(Path("/proc/self/fd").iterdir()))

    for _ in range(10):
        with pytest.raises(OSError, match=r"not a regular file|Is a directory"):
            read_regular_file(path)

    assert len(list(Path("/proc/self/fd").iterdir())) == before
