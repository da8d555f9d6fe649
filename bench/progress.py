"""How far a run is."""

from __future__ import annotations

import sys


def say(text: str) -> None:
    """Say how far the run is."""
    print(f"bench: {text}", file=sys.stderr, flush=True)
