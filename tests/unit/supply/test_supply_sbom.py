"""The bill of materials: everything that is locked, valid, and the same bytes every time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from supply import sbom
from supply.locked import OURSELVES, RUNTIME, Locked, read_lock
from supply.sbom import LicenceError, bill_of, main

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def text() -> str:
    """The bill of the service."""
    return bill_of(read_lock(RUNTIME))


@pytest.fixture(scope="module")
def bill(text: str) -> Any:
    """The same, read."""
    return json.loads(text)


def test_the_bill_lists_every_locked_package_with_version_and_hashes(bill: Any) -> None:
    listed = {
        (part["name"], part["version"], tuple(sorted(one["content"] for one in part["hashes"])))
        for part in bill["components"]
    }

    assert listed == {(one.name, one.version, one.hashes) for one in read_lock(RUNTIME)}
    assert bill["metadata"]["component"]["name"] == OURSELVES


def test_the_bill_is_valid_by_its_own_schema(text: str) -> None:
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None


def test_the_bill_is_the_same_bytes_every_time(tmp_path: Path) -> None:
    """Two bills differ only where what they list does."""
    one, other = tmp_path / "one.json", tmp_path / "new" / "other.json"

    assert (main([str(one)]), main([str(other)])) == (0, 0)
    assert one.read_bytes() == other.read_bytes()


def test_the_serial_number_is_another_where_anything_is(text: str) -> None:
    fewer = json.loads(bill_of(read_lock(RUNTIME)[1:]))

    assert fewer["serialNumber"] != json.loads(text)["serialNumber"]


def test_every_package_that_is_installed_here_has_a_licence(bill: Any) -> None:
    without = [part["name"] for part in bill["components"] if not part.get("licenses")]

    assert without == ["colorama"]  # for another system


def test_who_needs_what_is_told_for_every_package(bill: Any) -> None:
    needed = {name for each in bill["dependencies"] for name in each.get("dependsOn", [])}

    assert needed == {part["bom-ref"] for part in bill["components"]}


def test_the_bill_says_nothing_of_where_packages_come_from(text: str) -> None:
    """Where they are got is a matter of whoever installs."""
    assert "http" not in text.replace('"$schema": "http://cyclonedx.org', "")


@pytest.mark.parametrize(
    ("one", "said"),
    [
        pytest.param(Locked("grpcio", "0.1", ("1" * 64,), (), ""), "0.1 locked", id="another"),
        pytest.param(Locked("no-such", "1", ("1" * 64,), (), ""), "not installed", id="none"),
    ],
)
def test_a_licence_is_not_guessed_from_another_version(one: Locked, said: str) -> None:
    with pytest.raises(LicenceError, match=said):
        bill_of([one])


def test_the_bill_is_not_kept_with_the_source() -> None:
    assert sbom.OUTPUT.relative_to(ROOT).parts[0] == "var"
