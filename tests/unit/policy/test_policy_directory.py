"""A bundle's directory is read once, whole, or refused; its revision is that of its bytes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from authz_service.pdp.errors import PolicyRefusedError
from authz_service.policy.bundle import parse_bundle, read_bundle, revision_of
from authz_service.policy.directory import (
    MAX_CASE_FILES,
    BundleFile,
)
from authz_service.tables.reading import MAX_FILE_BYTES, Reader, read_regular_file
from tests.unit.policy.policy_files import (
    CASE_FACTS,
    OWN_CASE,
    OWN_RULE,
    bundle_of,
    files_of,
    write_bundle,
)


def refusals(directory: Path, read: Reader = read_regular_file) -> list[tuple[str, str]]:
    with pytest.raises(PolicyRefusedError) as refused:
        read_bundle(directory, read=read)
    assert all(problem.hint for problem in refused.value.problems)
    return [(problem.file, problem.message) for problem in refused.value.problems]


def test_the_bundle_on_disk_is_the_bundle_in_memory(tmp_path: Path) -> None:
    write_bundle(tmp_path, day=CASE_FACTS + OWN_CASE)

    assert read_bundle(tmp_path) == bundle_of(day=CASE_FACTS + OWN_CASE)


def test_an_empty_directory_is_refused(tmp_path: Path) -> None:
    assert refusals(tmp_path) == [
        (name, "the file is missing")
        for name in ("model.conf", "rules.csv", "roles.csv", "groups.csv")
    ]


def test_a_directory_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert refusals(tmp_path / "gone") == [("", "cannot be read: no such file or directory")]


def test_a_file_in_place_of_the_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "policies").write_text(OWN_RULE)

    assert refusals(tmp_path / "policies") == [("", "cannot be read: not a directory")]


@pytest.mark.parametrize("name", ["model.conf", "rules.csv", "roles.csv", "groups.csv"])
def test_a_missing_file_is_refused(tmp_path: Path, name: str) -> None:
    (write_bundle(tmp_path) / name).unlink()

    assert refusals(tmp_path) == [(name, "the file is missing")]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
@pytest.mark.parametrize("name", ["rules.csv", "cases/day.yaml"])
def test_an_unreadable_file_is_refused(tmp_path: Path, name: str) -> None:
    (write_bundle(tmp_path, day=CASE_FACTS + OWN_CASE) / name).chmod(0)

    assert refusals(tmp_path) == [(name, "cannot be read: permission denied")]


def test_a_file_that_the_system_does_not_give_out_is_refused(tmp_path: Path) -> None:
    def failing(path: Path) -> bytes:
        if path.name == "roles.csv":
            raise OSError(5, "Input/output error")
        return read_regular_file(path)

    assert refusals(write_bundle(tmp_path), failing) == [
        ("roles.csv", "cannot be read: input/output error")
    ]


def test_a_directory_in_place_of_a_file_is_refused(tmp_path: Path) -> None:
    path = write_bundle(tmp_path) / "rules.csv"
    path.unlink()
    path.mkdir()

    assert [file for file, _ in refusals(tmp_path)] == ["rules.csv"]


def test_a_pipe_in_place_of_a_file_is_refused_without_waiting(tmp_path: Path) -> None:
    path = write_bundle(tmp_path) / "rules.csv"
    path.unlink()
    os.mkfifo(path)

    assert refusals(tmp_path) == [("rules.csv", "cannot be read: not a regular file")]


def test_a_link_to_nowhere_is_refused(tmp_path: Path) -> None:
    path = write_bundle(tmp_path) / "groups.csv"
    path.unlink()
    path.symlink_to(tmp_path / "gone")

    assert refusals(tmp_path) == [("groups.csv", "cannot be read: no such file or directory")]


def test_links_into_a_directory_of_versions_are_followed(tmp_path: Path) -> None:
    """A mounted config map is links through ``..data``, and hidden names are no files of it."""
    write_bundle(tmp_path / "..2021")
    (tmp_path / "..data").symlink_to("..2021")
    for name in ("model.conf", "rules.csv", "roles.csv", "groups.csv"):
        (tmp_path / name).symlink_to(Path("..data") / name)

    assert read_bundle(tmp_path) == bundle_of()


def test_a_file_that_is_too_large_is_refused(tmp_path: Path) -> None:
    (write_bundle(tmp_path) / "rules.csv").write_text(OWN_RULE + "#" * MAX_FILE_BYTES)

    assert refusals(tmp_path) == [("rules.csv", "the file has more than 1048576 bytes")]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        pytest.param("rule.csv", "a bundle has no such file", id="misspelt"),
        pytest.param("Rules.csv", "a bundle has no such file", id="capital"),
        pytest.param("more.conf", "a bundle has no such file", id="second-model"),
        pytest.param("cases.yaml", "a bundle has no such file", id="cases-at-the-top"),
        pytest.param("old.CSV", "a bundle has no such file", id="ending-in-capitals"),
        pytest.param("cases/night.yml", "the file would not be run", id="another-ending"),
        pytest.param("cases/rules.csv", "the file would not be run", id="rules-among-cases"),
        pytest.param("cases/old/day.yaml", "cases have no directories", id="nested-cases"),
    ],
)
def test_a_file_that_looks_like_policy_and_is_none_is_refused(
    tmp_path: Path, name: str, message: str
) -> None:
    """A misspelt name would leave out what its author wrote, without a word."""
    path = write_bundle(tmp_path) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")

    place = "cases/old" if name.startswith("cases/old") else name
    assert refusals(tmp_path) == [(place, message)]


@pytest.mark.parametrize(
    "name", ["callers.csv", "README.md", ".rules.csv.swp", "rules.csv~", "cases/README.md"]
)
def test_what_is_no_policy_does_not_take_part(tmp_path: Path, name: str) -> None:
    before = read_bundle(write_bundle(tmp_path, day=CASE_FACTS + OWN_CASE)).revision

    (tmp_path / name).write_text("anything")

    assert read_bundle(tmp_path).revision == before


def test_too_many_files_of_cases_are_refused(tmp_path: Path) -> None:
    write_bundle(tmp_path)
    (tmp_path / "cases").mkdir()
    for number in range(MAX_CASE_FILES + 1):
        text = CASE_FACTS + OWN_CASE.replace("id: own", f"id: own-{number}")
        (tmp_path / "cases" / f"{number:03}.yaml").write_text(text)

    assert refusals(tmp_path) == [("cases", "there are more than 200 files of cases")]


@pytest.mark.parametrize(
    "happens",
    [
        pytest.param(lambda d: (d / "rules.csv").write_text("# new\n" + OWN_RULE), id="rewritten"),
        pytest.param(lambda d: (d / "new").rename(d / "rules.csv"), id="replaced"),
        pytest.param(lambda d: (d / "roles.csv").unlink(), id="removed"),
        pytest.param(lambda d: (d / "cases" / "new.yaml").write_text(""), id="added"),
    ],
)
@pytest.mark.parametrize("when", ["model.conf", "rules.csv"])
def test_a_bundle_that_changes_while_it_is_read_is_refused(
    tmp_path: Path, happens: object, when: str
) -> None:
    """Half of an old and half of a new policy is a policy that nobody wrote."""
    write_bundle(tmp_path, day=CASE_FACTS + OWN_CASE)
    (tmp_path / "new").write_text(OWN_RULE)
    assert callable(happens)

    def interrupted(path: Path) -> bytes:
        content = read_regular_file(path)
        if path.name == when:
            happens(tmp_path)
        return content

    assert ("", "the bundle changed while it was read") in refusals(tmp_path, interrupted)


def test_the_same_bytes_have_the_same_revision_wherever_they_lie(tmp_path: Path) -> None:
    one = read_bundle(write_bundle(tmp_path / "one"))
    other = read_bundle(write_bundle(tmp_path / "other"))

    assert one.revision == other.revision
    assert len(one.revision) == 64
    assert int(one.revision, 16) >= 0


def test_the_revision_does_not_depend_on_the_order_of_files() -> None:
    files = files_of(day=CASE_FACTS + OWN_CASE)

    assert revision_of(files) == revision_of(reversed(files))
    assert parse_bundle(reversed(files)).revision == parse_bundle(files).revision


def test_any_byte_changes_the_revision() -> None:
    """A comment, a space, a case: whatever was reviewed is what is named."""
    files = files_of(day=CASE_FACTS + OWN_CASE)
    seen = {revision_of(files)}
    changes = 0
    for index, (name, content) in enumerate(files):
        for position in {0, len(content) // 2, len(content)}:
            changed = content[:position] + b" " + content[position:]
            changes += 1
            seen.add(revision_of([*files[:index], BundleFile(name, changed), *files[index + 1 :]]))

    assert changes > 2 * len(files) - 2
    assert len(seen) == changes + 1


def test_names_and_contents_cannot_be_shifted_against_each_other() -> None:
    one = [BundleFile("cases/a.yaml", b"bc"), BundleFile("cases/b.yaml", b"")]
    other = [BundleFile("cases/a.yaml", b"b"), BundleFile("cases/b.yaml", b"c")]
    third = [BundleFile("cases/a.yamlb", b"c"), BundleFile("cases/b.yaml", b"")]
    renamed = [BundleFile("cases/c.yaml", b"bc"), BundleFile("cases/d.yaml", b"")]

    assert len({revision_of(files) for files in (one, other, third, renamed)}) == 4
