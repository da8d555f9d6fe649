"""A registry that fails is named by its URL, so that a wrong one is seen at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from authz_service.cli.failures import failure_of
from authz_service.facts.database import parsed
from authz_service.pdp.errors import FactsUnavailableError


@contextmanager
def named_registry(url: str) -> Iterator[str]:
    """Lend *url*; what fails behind it is said with it, without a password.

    Raises:
        FactsUnavailableError: The URL names no database that this program can use.
        CommandError: The registry is silent, locked or gone, or of another schema.
    """
    shown = parsed(url).set(query={}).render_as_string(hide_password=True)
    try:
        yield url
    except FactsUnavailableError as silent:
        failure = failure_of(silent)
        failure.message += f" ({shown})"
        raise failure from silent
