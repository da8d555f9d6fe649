"""Which schemas this program works on: its own, and later ones that say that they bear it."""

from __future__ import annotations

from typing import Final

from authz_service.facts.schema import SCHEMA_VERSION, VERSION_TABLE
from authz_service.pdp.errors import FactsUnavailableError

VERSIONS: Final = f"(SELECT version_num FROM {VERSION_TABLE}) || ' ' || works_from"  # noqa: S608  # a name of ours
"""What a statement about ``facts_revision`` reads, for `check_version`: the schema version, and
the version of the oldest program that may still read and write."""

_PRESENT: Final = f"{SCHEMA_VERSION} {SCHEMA_VERSION}"


def check_version(versions: str | None) -> None:
    """Refuse to work on a schema that is older, or that no longer bears this program.

    Args:
        versions: What `VERSIONS` read.

    Raises:
        FactsUnavailableError: The schema is such a one; the message says which, and what to do.
    """
    if versions == _PRESENT:
        return
    version, _, works_from = (versions or "").partition(" ")
    why = why_not(version, works_from)
    if why:
        raise FactsUnavailableError(why)


def why_not(version: str, works_from: str) -> str:
    """Return why this program does not work on a schema; an empty text where it does.

    Versions are four digits, and follow each other as their texts do. A schema that does not say
    from which program on it works is worked on by its own program alone.

    Args:
        version: The schema's version.
        works_from: The version of the oldest program that may still read and write.
    """
    if not version:
        return "it does not say which schema it has"
    if version < SCHEMA_VERSION:
        return (
            f"its schema is of version {version}, older than {SCHEMA_VERSION} of this program;"
            " the next start of authz serve upgrades it"
        )
    oldest = works_from or version
    if oldest > SCHEMA_VERSION:
        return (
            f"its schema of version {version} needs a program of version {oldest} or later, and"
            f" this one is older ({SCHEMA_VERSION}); use the program's newer version"
        )
    return ""
