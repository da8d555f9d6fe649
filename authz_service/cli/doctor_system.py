"""The doctor's looks at the machine."""

from __future__ import annotations

import platform
import resource
import sys

from authz_service.cli.doctor_finding import Finding, fine, odd

_PLATFORMS = ("linux", "darwin")
_FEW_OPEN_FILES = 4096
"""A service with a thousand connections, its database and its journal stays below it."""


def platform_found() -> Finding:
    """Look at the interpreter and the operating system."""
    what = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    if sys.platform in _PLATFORMS:
        return fine("platform", what)
    return odd("platform", what, "this service is tried out on Linux; use Linux in production")


def open_files() -> Finding:
    """Look at how many files and connections a process may have open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    what = f"up to {_count(soft)} (hard limit {_count(hard)})"
    if soft == resource.RLIM_INFINITY or soft >= _FEW_OPEN_FILES:
        return fine("open files", what)
    return odd("open files", what, f"raise the limit: ulimit -n {_FEW_OPEN_FILES}, or LimitNOFILE=")


def _count(limit: int) -> str:
    """Return a limit in words."""
    return "unlimited" if limit == resource.RLIM_INFINITY else str(limit)
