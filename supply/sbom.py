"""`python -m supply.sbom`: a bill of materials of the service, CycloneDX 1.6 in JSON.

What is locked is what is listed: each package with its version, the hashes of the files that may be
installed, its licence, and who needs it. The same lock gives the same bytes.
"""

from __future__ import annotations

import argparse
import json
import sys
import tomllib
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_OID, uuid5

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import License
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from supply.locked import OURSELVES, ROOT, RUNTIME, Locked, LockError, read_lock

OUTPUT = ROOT / "var" / "sbom.cdx.json"


class LicenceError(Exception):
    """A licence cannot be told; the message says why and what to do."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the bill; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m supply.sbom", description=__doc__)
    parser.add_argument("output", nargs="?", type=Path, default=OUTPUT, help="%(default)s")
    output: Path = parser.parse_args(arguments).output
    try:
        locked = read_lock(RUNTIME)
        text = bill_of(locked)
    except (LockError, LicenceError) as error:
        print(f"sbom: {error}", file=sys.stderr)
        return 1
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(text, encoding="utf-8")
    print(f"{output}: {len(locked)} packages and the service itself")
    return 0


def bill_of(locked: Sequence[Locked]) -> str:
    """Return the bill of the service with *locked*, as JSON.

    Raises:
        LicenceError: A package is installed in another version than the locked one.
    """
    service = _service()
    parts = {one.name: _component(one) for one in locked}
    bom = Bom(components=parts.values())
    bom.metadata.component = service
    for needing in (OURSELVES, *parts):
        needed = [parts[one.name] for one in locked if needing in one.asked_by]
        bom.register_dependency(parts.get(needing, service), needed)
    return _reproducible(json.loads(JsonV1Dot6(bom).output_as_string()))


def _service() -> Component:
    """Return ourselves."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return Component(
        name=project["name"],
        version=project["version"],
        description=project["description"],
        type=ComponentType.APPLICATION,
        bom_ref=OURSELVES,
    )


def _component(one: Locked) -> Component:
    """Return a package."""
    purl = PackageURL("pypi", name=one.name, version=one.version)
    return Component(
        name=one.name,
        version=one.version,
        type=ComponentType.LIBRARY,
        bom_ref=str(purl),
        purl=purl,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=text) for text in one.hashes],
        licenses=_licences(one),
        properties=[Property(name="authz:marker", value=one.marker)] if one.marker else [],
    )


def _licences(one: Locked) -> list[License]:
    """Return the licence that the installed package states; none where it is for other systems.

    Raises:
        LicenceError: Another version is installed, or none that has to be.
    """
    try:
        stated = metadata(one.name)
    except PackageNotFoundError:
        if one.marker:
            return []
        raise LicenceError(f"{one.name} is not installed; run make setup") from None
    if stated["Version"] != one.version:
        raise LicenceError(
            f"{one.name} {stated['Version']} is installed and {one.version} locked; run make setup"
        )
    classified = (
        each.rpartition(" :: ")[2]
        for each in stated.get_all("Classifier", [])
        if each.startswith("License ::")
    )
    text = stated["License-Expression"] or stated["License"] or " AND ".join(sorted(classified))
    return [LicenseFactory().make_from_string(text.splitlines()[0])] if text else []


def _reproducible(bill: dict[str, Any]) -> str:
    """Return *bill* without the time of day, and with a serial number that is its contents'."""
    del bill["metadata"]["timestamp"], bill["serialNumber"]
    plain = json.dumps(bill, sort_keys=True)
    bill["serialNumber"] = f"urn:uuid:{uuid5(NAMESPACE_OID, plain)}"
    return json.dumps(bill, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.exit(main())
