"""A later program, with migrations that this one does not have: it serves, or migrates and ends."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from authz_service.facts import schema

LATER = Path(__file__).parent / "later_migrations" / "versions"


def later_command(folder: Path, version: str, *words: str) -> list[str]:
    """Return the command of the program of *version*, whose migrations are put into *folder*.

    Args:
        folder: A folder of the test's.
        version: The schema that it works on.
        words: `serve`, or `migrate` and a URL.
    """
    migrations = folder / f"migrations-{version}"
    if not migrations.exists():
        ours = Path(schema.__file__).parent / "migrations"
        shutil.copytree(ours, migrations, ignore=shutil.ignore_patterns("__pycache__"))
        for path in LATER.glob("0*.py"):
            if path.stem.partition("_")[0] <= version:
                shutil.copy(path, migrations / "versions")
    return [sys.executable, __file__, version, str(migrations), *words]


def main() -> None:
    """Be the program that the arguments name."""
    version, migrations = sys.argv[1:3]
    schema.SCHEMA_VERSION = version  # type: ignore[misc]  # before anybody else has read it
    from authz_service.facts import schema_version  # noqa: PLC0415  # after that

    schema_version.MIGRATIONS = Path(migrations)  # type: ignore[misc]  # as installed with it
    del sys.argv[1:3]
    if sys.argv[1] == "migrate":
        schema_version.migrate(sys.argv[2])
        return
    from authz_service.cli.main import main as authz  # noqa: PLC0415  # after that

    authz()


if __name__ == "__main__":
    main()
