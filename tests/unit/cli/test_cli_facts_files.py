"""Files of facts that were imported before, in part or whole, and files that are there already."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from authz_service.clocks import SystemClock
from authz_service.facts.import_progress import ImportSummary
from authz_service.facts.importer import FactsImporter
from authz_service.facts.schema_version import migrate
from tests.marked import PASSWORD
from tests.unit.cli.cli_runs import PEOPLE, document, line, run

BLOCK = 1000
"""How many lines are imported in one transaction."""


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of an empty registry, which is not there yet, as the setting names it."""
    url = f"sqlite:///{tmp_path / 'registry.db'}"
    monkeypatch.setenv("AUTHZ_REGISTRY_URL", url)
    return url


@pytest.fixture
def facts(tmp_path: Path) -> Path:
    """A file of facts."""
    path = tmp_path / "facts.jsonl"
    path.write_text(PEOPLE, encoding="utf-8")
    return path


def load(path: Path, *words: str) -> list[str]:
    """Import the file at *path*; return the lines on stdout."""
    result = run("facts", "import", str(path), "--actor", "jo", *words)
    assert result.exit_code == 0
    return result.stdout.splitlines()


@pytest.mark.usefixtures("registry")
def test_finished_file_is_not_imported_again(facts: Path) -> None:
    """Nobody takes the sums of the first import for those of the second."""
    load(facts)

    assert load(facts) == [f"{facts}: already imported, nothing to do"]


@pytest.mark.usefixtures("registry")
def test_an_import_tells_programs_how_fast_it_was(facts: Path) -> None:
    result = run("facts", "import", str(facts), "--actor", "jo", "--format", "json")

    (file,) = json.loads(result.stdout)["files"]
    assert file["lines"] > 0
    assert file["lines_per_second"] > 0


def test_resumed_import_tells_what_it_wrote_itself(registry: str, facts: Path) -> None:
    """What earlier runs wrote is counted, and told apart."""
    tenants = "".join(line("tenant", id=f"t{n}", time_zone="UTC") for n in range(BLOCK + 1))
    facts.write_text(tenants, encoding="utf-8")
    _import_one_block(registry, facts)

    done, _ = load(facts)

    assert done == (
        f"{facts}: 1001 lines done, going on after line 1000: 1 written now; "
        "1001 written, 0 skipped, 0 unchanged in all"
    )


def _import_one_block(registry: str, facts: Path) -> None:
    """Import until the first transaction is committed."""

    def interrupt(_summary: ImportSummary) -> None:
        raise KeyboardInterrupt

    migrate(registry)
    importer = FactsImporter(registry, SystemClock())
    with pytest.raises(KeyboardInterrupt):
        importer.import_file(facts, actor="jo", progress=interrupt)
    importer.close()


@pytest.mark.usefixtures("registry")
def test_one_line_is_one_line(facts: Path) -> None:
    """A count of one has no plural."""
    facts.write_text(line("tenant", id="t", time_zone="UTC"), encoding="utf-8")

    assert load(facts)[0] == f"{facts}: 1 line done: 1 written, 0 skipped, 0 unchanged"


@pytest.mark.usefixtures("registry")
def test_export_writes_over_a_file_only_if_told_to(facts: Path, tmp_path: Path) -> None:
    """A slip of the finger costs no file."""
    load(facts)
    kept = tmp_path / "kept.jsonl"
    kept.write_text("yesterday's\n", encoding="utf-8")

    refused = run("facts", "export", str(kept), "--format", "json")
    after = kept.read_text(encoding="utf-8")
    forced = run("facts", "export", str(kept), "--force")

    assert (refused.exit_code, document(refused)["error"]["reason"]) == (1, "FILE_EXISTS")
    assert (after, forced.exit_code) == ("yesterday's\n", 0)
    assert len(kept.read_text(encoding="utf-8").splitlines()) == 3


@pytest.mark.usefixtures("registry")
def test_failed_export_names_the_file_as_it_was_typed(facts: Path, tmp_path: Path) -> None:
    """The name of the draft beside it would tell its user nothing."""
    load(facts)

    result = run("facts", "export", str(tmp_path / "nowhere" / "out.jsonl"))

    assert result.stderr == f"authz: {tmp_path}/nowhere/out.jsonl: no such file or directory\n"


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(("verify",), id="verify"),
        pytest.param(("conflicts",), id="conflicts"),
        pytest.param(("export",), id="export"),
        pytest.param(("import", "-", "--actor", "jo"), id="import"),
    ],
)
def test_silent_registry_is_named_without_its_password(words: tuple[str, ...]) -> None:
    """A wrong URL is seen at once, by whoever looks over the shoulder too."""
    url = f"postgresql://jo:{PASSWORD}@127.0.0.1:1/facts"

    result = run("facts", *words, "--registry-url", f"{url}?password={PASSWORD}", typed="")

    assert result.exit_code == 11
    assert "jo:***@127.0.0.1:1/facts)" in result.stderr
    assert PASSWORD not in result.output
