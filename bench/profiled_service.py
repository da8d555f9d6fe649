"""The service under cProfile: SIGUSR1 begins, SIGUSR2 ends and writes what was seen.

Its threads bear their names for the operating system too, so that their CPU time can be told apart.
"""

from __future__ import annotations

import cProfile
import signal
import sys
import threading
from pathlib import Path
from time import sleep

from authz_service.launch import run
from authz_service.settings import load_settings

_NAMING_SECONDS = 0.5
_NAME_LENGTH = 15


def main(output: str) -> int:
    """Serve until SIGTERM; write profiles to *output*."""
    seen = cProfile.Profile()

    def begin(*_signal: object) -> None:
        seen.enable()

    def end(*_signal: object) -> None:
        seen.disable()
        seen.dump_stats(output)

    signal.signal(signal.SIGUSR1, begin)
    signal.signal(signal.SIGUSR2, end)
    threading.Thread(target=_name_threads, daemon=True).start()
    return run(load_settings())


def _name_threads() -> None:
    """Give every thread of Python's its name, again and again: they come and go."""
    while True:
        for thread in threading.enumerate():
            comm = Path(f"/proc/self/task/{thread.native_id}/comm")
            if comm.exists():
                comm.write_text(thread.name[:_NAME_LENGTH])
        sleep(_NAMING_SECONDS)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
