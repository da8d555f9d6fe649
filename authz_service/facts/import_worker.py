"""A process that makes of chunks what COPY takes: read from its input, written to its output.

It ends when its input does, so with whoever started it, however that ends.
"""

from __future__ import annotations

import os
import pickle
import sys

from authz_service.facts.import_encoding import grain_of


def main() -> None:
    """Answer each chunk until there are no more, or nobody is left who asks."""
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    try:
        while True:
            chunk = pickle.load(source)  # noqa: S301  # of the process that started this one
            pickle.dump(grain_of(chunk), sink, pickle.HIGHEST_PROTOCOL)
            sink.flush()
    except EOFError:
        return
    except (BrokenPipeError, pickle.UnpicklingError):  # whoever asked was killed meanwhile
        os._exit(1)  # without writing what is left


if __name__ == "__main__":
    main()
