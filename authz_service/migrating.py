"""The lock that whoever migrates a database holds: Alembic keeps its context in module globals.

Registry and decision store may share a process and be migrated by different threads.
"""

from __future__ import annotations

import threading

ONE_MIGRATION = threading.Lock()
"""Held around each call of Alembic's `command`, in this process; databases have locks of theirs."""
