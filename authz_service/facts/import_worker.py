"""A process that makes of chunks what COPY takes: read from its input, written to its output.

It ends when its input does, so with whoever started it, however that ends.
"""

from __future__ import annotations

import pickle
import sys

from authz_service.facts.import_encoding import grain_of


def main() -> None:
    """Answer each chunk until there are no more."""
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    while True:
        try:
            chunk = pickle.load(source)  # noqa: S301  # of the process that started this one
        except EOFError:
            return
        pickle.dump(grain_of(chunk), sink, pickle.HIGHEST_PROTOCOL)
        sink.flush()


if __name__ == "__main__":
    main()
