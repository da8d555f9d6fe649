"""Where a service is looked for, and for how long, unless somebody says otherwise."""

from __future__ import annotations

DEFAULT_ADDRESS = "127.0.0.1:50051"
DEFAULT_HTTP_ADDRESS = "127.0.0.1:9464"
DEFAULT_TIMEOUT = 5.0
"""In seconds."""
PROBE_TIMEOUT = 2.0
"""In seconds; a probe is asked again soon."""

_HERE = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104  # what listens everywhere listens here


def reachable(address: str) -> str:
    """Return where a service that listens at *address* can be asked, on this machine."""
    host, _, port = address.rpartition(":")
    return f"{_HERE.get(host.strip('[]'), host)}:{port}"
