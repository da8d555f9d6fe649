"""The one Casbin model that is supported: deny overrides, default deny, no code in a rule.

model.conf is part of the bundle so that a reader sees what Casbin is told. Any other model would
change what every rule means, so any other model is refused.
"""

from __future__ import annotations

import re

from authz_service.tables.findings import Findings, Place
from authz_service.tables.rows import Text, is_comment, refuse_cut_file

_MATCHER = (
    "has_role(r.situation, p.role) && has_relation(r.situation, p.relation)"
    " && wants_action(r.situation, p.action) && has_purpose(r.situation, p.purpose)"
    " && meets(r.situation, p.when)"
)

SECTIONS: dict[str, tuple[str, str]] = {
    "request_definition": ("r", "situation"),
    "policy_definition": ("p", "rule, eft, role, relation, action, purpose, when"),
    "policy_effect": ("e", "some(where (p.eft == allow)) && !some(where (p.eft == deny))"),
    "matchers": ("m", _MATCHER),
}
"""The sections of model.conf, each with its one key and value."""

_HEADING = re.compile(r"\[(?P<name>[a-z_]+)\]")


def casbin_model() -> str:
    """Return the supported model as Casbin reads it."""
    return "\n".join(f"[{name}]\n{key} = {value}" for name, (key, value) in SECTIONS.items())


def check_model(text: Text, findings: Findings) -> None:
    """Refuse every line of model.conf that differs from the supported model, and what is missing.

    Runs of spaces count as one; comments have lines of their own.
    """
    refuse_cut_file(text, findings)
    filled: dict[str, bool] = {}
    section: str | None = None
    for number, line in enumerate(text.lines, start=1):
        if number in text.defective or is_comment(line):
            continue
        place = Place(text.name, number, len(line) - len(line.lstrip(" ")) + 1)
        content = " ".join(part for part in line.split(" ") if part)
        if content.startswith("["):
            section = _section(place, content, filled, findings)
        elif section is None:
            findings.invalid(place, "a definition outside of its section", _expected_sections())
        else:
            _check_definition(place, content, section, filled, findings)
    for name in SECTIONS:
        if not filled.get(name):
            hint = f"write [{name}] and under it {_definition(name)}"
            findings.invalid(Place(text.name), f"the section {name} is missing or empty", hint)


def _section(place: Place, content: str, filled: dict[str, bool], findings: Findings) -> str | None:
    """Return the section that a heading begins, or None where it is none of the model's."""
    match = _HEADING.fullmatch(content)
    name = match["name"] if match else ""
    if name not in SECTIONS:
        findings.invalid(place, "the model has no such section", _expected_sections())
        return None
    if name in filled:
        findings.invalid(place, f"the section {name} stands twice", "keep one")
    filled.setdefault(name, False)
    return name


def _check_definition(
    place: Place, content: str, section: str, filled: dict[str, bool], findings: Findings
) -> None:
    """Refuse a definition that is not the supported one, or stands twice."""
    if filled[section]:
        findings.invalid(place, f"the section {section} has a second definition", "keep one")
    filled[section] = True
    if content != _definition(section):
        hint = f"the supported one is {_definition(section)}"
        findings.invalid(place, "the definition is not the supported one", hint)


def _definition(section: str) -> str:
    """Return the one line that *section* holds."""
    key, value = SECTIONS[section]
    return f"{key} = {value}"


def _expected_sections() -> str:
    """Return a hint that names all sections."""
    return "the sections are " + ", ".join(SECTIONS)
