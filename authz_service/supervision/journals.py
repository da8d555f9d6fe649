"""Where each worker's journal lies, and which journals in the directory are nobody's.

Every arrangement keeps its journals below one directory and locks that: one process writes into it,
worker n into ``worker-n`` in it. So a change of AUTHZ_WORKERS leaves a journal behind at most, and
never two writers beside each other.
"""

from __future__ import annotations

import re
from pathlib import Path

import structlog

from authz_service.audit.directory import segment_numbers
from authz_service.audit.shipped import is_shipped

log = structlog.get_logger(__name__)

_NAME = re.compile(r"worker-([1-9][0-9]*)")


def worker_journal(directory: Path, number: int) -> Path:
    """Return where worker *number* keeps its journal."""
    return directory / f"worker-{number}"


def worker_journals(directory: Path) -> dict[int, Path]:
    """Return the journals of workers, present or past, in *directory*, by number.

    Raises:
        OSError: The directory cannot be read.
    """
    found = [(_NAME.fullmatch(path.name), path) for path in directory.iterdir() if path.is_dir()]
    return dict(sorted((int(match[1]), path) for match, path in found if match))


def left_behind(directory: Path, workers: int) -> list[Path]:
    """Return the journals that *workers* do not write; 0 stands for one process without any.

    Those that were shipped to their end are left out.

    Raises:
        OSError: The directory cannot be read.
    """
    others = [path for number, path in worker_journals(directory).items() if number > workers]
    found = ([directory] if workers else []) + others
    return [path for path in found if segment_numbers(path) and not is_shipped(path)]


def warn_of_others(directory: Path, *, workers: int) -> None:
    """Say which journals in *directory* nobody writes or has shipped, and what to do."""
    for path in left_behind(directory, workers):
        log.warning("journal_left_behind", journal=str(path), todo=f"authz decisions ship {path}")
