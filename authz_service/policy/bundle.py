"""A bundle is the files of one policy, parsed whole or refused whole."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from authz_service.pdp.errors import PolicyProblem, PolicyRefusedError
from authz_service.policy.case_files import Case, parse_cases
from authz_service.policy.directory import (
    CASES,
    REQUIRED,
    BundleFile,
    read_directory,
)
from authz_service.policy.hierarchy import Groups, parse_groups, parse_roles
from authz_service.policy.model_conf import check_model
from authz_service.policy.rules import Rule, parse_rules
from authz_service.policy.vocabulary import PRODUCT_ROLES, Vocabulary
from authz_service.tables.findings import Findings, Place
from authz_service.tables.reading import Reader, read_regular_file
from authz_service.tables.rows import Text, text_of

_REVISION_FORMAT = b"policy-bundle/1\n"


@dataclass(frozen=True, slots=True)
class Bundle:
    """A policy that was parsed without a defect; its cases have not been tried yet.

    Attributes:
        revision: SHA-256 over every file that takes part, in lower-case hex.
        rules: The rules, in the order of rules.csv.
        roles: Every known role with all that it inherits, itself included.
        cases: The golden decisions.
    """

    revision: str
    rules: tuple[Rule, ...]
    roles: Mapping[str, frozenset[str]]
    cases: tuple[Case, ...]


class BundleFiles(NamedTuple):
    """What a directory held when it was read, for whoever parses it, here or elsewhere.

    Attributes:
        files: The files that take part, sorted by name.
        problems: What could not be read, or is none of a bundle's files.
    """

    files: tuple[BundleFile, ...]
    problems: tuple[PolicyProblem, ...] = ()


def read_files(directory: Path, *, read: Reader = read_regular_file) -> BundleFiles:
    """Return the files of the bundle in *directory*, every one read once, none parsed."""
    findings = Findings()
    return BundleFiles(read_directory(directory, findings, read), findings.problems())


def read_bundle(directory: Path, *, read: Reader = read_regular_file) -> Bundle:
    """Return the bundle in *directory*, every file read once.

    Raises:
        PolicyRefusedError: The directory or a file has defects; it holds all of them.
    """
    return parse_files(read_files(directory, read=read))


def parse_files(read: BundleFiles) -> Bundle:
    """Return the bundle that was *read*.

    Raises:
        PolicyRefusedError: The directory or a file has defects; it holds all of them.
    """
    findings = Findings()
    for problem in read.problems:
        findings.add(problem)
    return _parse(read.files, findings)


def parse_bundle(files: Iterable[BundleFile]) -> Bundle:
    """Return the bundle that *files* make.

    Raises:
        PolicyRefusedError: A file is missing or has defects; it holds all of them.
    """
    findings, given = Findings(), tuple(files)
    for name in sorted(set(REQUIRED) - {file.name for file in given}):
        findings.invalid(Place(name), "the file is missing", "a bundle has it, if only empty")
    return _parse(given, findings)


def revision_of(files: Iterable[BundleFile]) -> str:
    """Return the SHA-256, in hex, over name, length and bytes of each file, sorted by name."""
    digest = hashlib.sha256(_REVISION_FORMAT)
    for name, content in sorted(files):
        encoded = name.encode("utf-8", "surrogateescape")
        digest.update(f"{len(encoded)} {len(content)}\n".encode("ascii"))
        digest.update(encoded)
        digest.update(content)
    return digest.hexdigest()


def _parse(files: tuple[BundleFile, ...], findings: Findings) -> Bundle:
    """Parse every file that could be read, then refuse the bundle if anything was found."""
    read = ((file.name, text_of(*file, findings)) for file in files)
    texts = {name: text for name, text in read if text is not None}
    model, roles, groups = (texts.get(name) for name in ("model.conf", "roles.csv", "groups.csv"))
    if model is not None:
        check_model(model, findings)
    inherited = parse_roles(roles, findings) if roles is not None else _roles_alone()
    named = parse_groups(groups, findings) if groups is not None else Groups({}, {})
    vocabulary = Vocabulary(frozenset(inherited), named.actions, named.purposes)
    rules = _rules(texts.get("rules.csv"), vocabulary, findings)
    cases = parse_cases(
        [text for name, text in texts.items() if name.startswith(f"{CASES}/")], findings
    )
    if problems := findings.problems():
        raise PolicyRefusedError(*problems)
    return Bundle(revision_of(files), rules, inherited, cases)


def _rules(text: Text | None, vocabulary: Vocabulary, findings: Findings) -> tuple[Rule, ...]:
    """Return the rules, or none where their file was refused already."""
    return parse_rules(text, vocabulary, findings) if text is not None else ()


def _roles_alone() -> dict[str, frozenset[str]]:
    """Return the product's roles, none inheriting another."""
    return {role: frozenset({role}) for role in PRODUCT_ROLES}
