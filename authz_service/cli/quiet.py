"""Rooms log events; a verb says what its user needs itself, so their log is kept off its output."""

from __future__ import annotations

import logging

import structlog


def keep_logs_off() -> None:
    """Drop what is logged from here on, but what is critical."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
