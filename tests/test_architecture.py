"""The rules of the house, held by a test: rooms, sizes, docstrings, names."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "authz_service"
MAX_LINES = 250
MAX_FUNCTION_LINES = 60
MOST_LINES = {
    "pdp/entities.py": 270,  # every entity on one page
    "pdp/entity_plain.py": 310,  # every field of every entity, and how it is read
    "cli/serve.py": 310,  # a flag for every setting
    "app.py": 300,  # the composition root: everything that is put together
    "operations/ports.py": 420,  # every plug on one page
    "facts/schema.py": 290,  # every table on one page
    "facts/decoding.py": 260,  # the rows of every entity
}
"""The modules that may be longer than others, and why."""
BANNED_WORDS = {
    "util", "utils", "helper", "helpers", "common", "misc", "manager", "handler", "data", "info",
    "process",
}  # fmt: skip
ALLOWED_NAMES = {
    "add_generic_rpc_handlers",  # grpc's own
    "add_registered_method_handlers",  # grpc's own
    "info",  # a logger's own
}


def modules() -> list[Path]:
    """Return every module that a person wrote."""
    return [path for path in sorted(PACKAGE.rglob("*.py")) if "api" not in path.parts[-3:]]


def name_of(path: Path) -> str:
    """Return a module's path in the package."""
    return str(path.relative_to(PACKAGE))


MODULES = [pytest.param(path, id=name_of(path)) for path in modules()]
SOURCES = [p for p in MODULES if not str(p.id).endswith("__init__.py")]


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield every function of a module."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_rooms_import_only_rooms_to_their_right() -> None:
    ended = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.parametrize("path", SOURCES)
def test_a_module_begins_by_saying_its_duty(path: Path) -> None:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))

    assert docstring
    assert docstring.splitlines()[0].endswith((".", ":"))
    assert path.read_text(encoding="utf-8").startswith(('"""', 'r"""'))


@pytest.mark.parametrize("path", SOURCES)
def test_a_module_is_short(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").count("\n")

    assert lines <= MOST_LINES.get(name_of(path), MAX_LINES)


@pytest.mark.parametrize("path", SOURCES)
def test_a_function_is_short(path: Path) -> None:
    flags = name_of(path).startswith("cli/")  # a verb's flags are its signature
    long = [
        (each.name, length)
        for each in functions(path)
        if (length := (each.end_lineno or 0) - (each.body[0] if flags else each).lineno + 1)
        > MAX_FUNCTION_LINES
    ]

    assert long == []


def test_every_init_is_empty() -> None:
    filled = [name_of(path) for path in PACKAGE.rglob("__init__.py") if path.stat().st_size]

    assert filled == []


def test_nobody_names_a_thing_by_a_word_that_says_nothing() -> None:
    found = []
    for path in modules():
        names = [path.stem, *(each.name for each in functions(path))]
        names += path.relative_to(PACKAGE).parts[:-1]
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names += [node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
        for name in set(names) - ALLOWED_NAMES:
            words = re.findall(r"[A-Z]?[a-z]+", name)
            banned = {word.lower() for word in words} & BANNED_WORDS
            if banned or name.startswith(("do_", "get_")):
                found.append((name_of(path), name))

    assert found == []


def imports(path: Path) -> set[str]:
    """Return the top-level packages that a module imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found


@pytest.mark.parametrize(
    ("library", "rooms"),
    [
        pytest.param("casbin", {"policy/casbin_ruleset.py"}, id="casbin"),
        pytest.param("prometheus_client", {"telemetry/"}, id="prometheus"),
        pytest.param("h11", {"console/exchange.py"}, id="h11"),
        pytest.param("starlette", {"console/"}, id="starlette"),
        pytest.param("pydantic", {"settings.py"}, id="pydantic"),
        pytest.param("typer", {"cli/"}, id="typer"),
        pytest.param(
            "cryptography",
            {"identity/", "server/certificate_admission.py", "cli/tls_failures.py"},
            id="cryptography",
        ),
        pytest.param("sqlite3", {"facts/", "audit/"}, id="sqlite3"),
        pytest.param("psycopg", {"facts/", "audit/"}, id="psycopg"),
        pytest.param("sqlalchemy", {"facts/", "audit/"}, id="sqlalchemy"),
    ],
)
def test_a_library_is_known_in_its_own_room_only(library: str, rooms: set[str]) -> None:
    users = {name_of(path) for path in modules() if library in imports(path)}

    assert users
    assert not {user for user in users if not user.startswith(tuple(rooms))}


def test_the_decision_knows_the_standard_library_only() -> None:
    allowed = sys.stdlib_module_names | {"authz_service"}
    impure = {"os", "io", "socket", "subprocess", "threading", "time", "random", "secrets", "uuid"}

    for path in (PACKAGE / "pdp").glob("*.py"):
        assert imports(path) <= allowed - impure, path.name


def test_everything_is_caught_in_few_places_only() -> None:
    """`except Exception` stands at the edge, around Casbin, and at the tops of threads."""
    found = set()
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ExceptHandler):
                text = ast.unparse(node.type) if node.type else ""
                if text in {"", "Exception", "BaseException"}:
                    found.add(name_of(path))

    assert found <= {
        "file_watch.py",  # what depends on one file must not end the watch
        "server/statuses.py",
        "policy/casbin_ruleset.py",
        "audit/journal.py",
        "audit/store/shipper.py",
        "audit/store/sqlite.py",  # rolls back, and raises again
        "audit/store/retention.py",  # forgets what it was at, and raises again
        "facts/workers.py",  # an executor hands on whatever was raised
        "facts/database.py",  # rolls back, and raises again
        "cli/failures.py",  # the edge of the command line
        "cli/doctor_report.py",  # one broken look must not hide the others
    }
