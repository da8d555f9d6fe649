"""`python -m bench.scale.generate`: the lines of a world, or of a part of it, on stdout.

For a pipe (`… | authz facts import - --actor bench`) or, by parts, for files. The same numbers
always make the same bytes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from bench.scale.lines import lines_of
from bench.scale.world import World

_AT_ONCE = 4_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the lines; return 0."""
    parser = argparse.ArgumentParser(prog="python -m bench.scale.generate", description=__doc__)
    parser.add_argument("--recordings", type=int, required=True, help="how many recordings")
    parser.add_argument("--first", type=int, default=0, help="the first one (%(default)s)")
    parser.add_argument("--last", type=int, help="the one after the last")
    parser.add_argument("--output", type=Path, help="a file instead of stdout")
    options = parser.parse_args(arguments)
    numbers = range(options.recordings)[options.first : options.last]
    if options.output is None:
        write_lines(World(options.recordings), numbers, sys.stdout.buffer)
    else:
        write_part(World(options.recordings), numbers, options.output)
    return 0


def write_lines(world: World, numbers: range, file: BinaryIO) -> None:
    """Write the lines of the recordings *numbers* to *file*."""
    file.writelines(_chunks(lines_of(world, numbers)))
    file.flush()


def write_part(world: World, numbers: range, path: Path) -> None:
    """Write the lines of the recordings *numbers* to *path*, which is whole once it is there."""
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        write_lines(world, numbers, file)
    partial.rename(path)


def _chunks(texts: Iterator[str]) -> Iterator[bytes]:
    """Yield *texts* joined into pieces that are worth a system call."""
    while chunk := "".join(islice(texts, _AT_ONCE)):
        yield chunk.encode()


if __name__ == "__main__":
    sys.exit(main())
