"""Scenario files as values: the world, the cases, and the facts that each case starts from.

A scenario folder holds `world.yaml`, files of cases beside it or under `cases/`, and perhaps files
that bring facts of their own for the cases in them. A sub-folder with its own `world.yaml` is a
scenario folder of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

Plain = Mapping[str, Any]
"""A mapping as YAML gives it, in snake_case, enum values without their type's prefix."""

SHARED = Path(__file__).resolve().parents[3] / "shared" / "scenarios"
OWN = Path(__file__).resolve().parent / "own"

_CASE_KEYS = frozenset(
    {
        "id",
        "says",
        "given",
        "rules",
        "contain",
        "emergency",
        "at",
        "caller",
        "absent",
        "ask",
        "same_as",
        "expect",
    }
)


@dataclass(frozen=True, slots=True)
class World:
    """What every case of a folder starts from.

    Attributes:
        clock: Where the clock stands unless a case says otherwise.
        observed_at: When the world's facts were observed unless they say so themselves.
        sources: The system that a fact comes from, by kind, unless it says so itself.
        facts: The facts, each complete with `source` and `observed_at`.
    """

    clock: str
    observed_at: str
    sources: Mapping[str, str]
    facts: tuple[Plain, ...]


@dataclass(frozen=True, slots=True)
class Case:
    """One question with a known answer.

    Attributes:
        id: Unique over all files.
        says: What the case shows.
        world: The world that it starts from.
        more_facts: The facts that its file brings, written after the world's.
        given: Facts written after those, in a call of their own.
        rules: Rows in place of the bundle's `rules.csv`; None for the default policy.
        contain: Scopes of containments in force.
        emergency: Openings of emergency access made before the question.
        at: Where the clock stands.
        plain: Whether the caller may not explain.
        absent: Ids that no fact explains, on purpose.
        ask: The question.
        same_as: More questions for the same answer, as keys that replace those of `ask`.
        expect: The answer.
    """

    id: str
    says: str
    world: World
    more_facts: tuple[Plain, ...]
    given: tuple[Plain, ...]
    rules: tuple[str, ...] | None
    contain: tuple[Plain, ...]
    emergency: tuple[Plain, ...]
    at: str
    plain: bool
    absent: tuple[str, ...]
    ask: Plain
    same_as: tuple[Plain, ...]
    expect: Plain

    @property
    def rpc(self) -> str:
        """The RPC that is asked."""
        return str(self.ask["rpc"])

    @property
    def expects_status(self) -> bool:
        """Whether the call as such is to fail."""
        return "status" in self.expect

    @property
    def questions(self) -> tuple[Plain, ...]:
        """Every question that the answer is expected for, `rpc` left out."""
        asked = (self.ask, *({**self.ask, **other} for other in self.same_as))
        return tuple({k: v for k, v in one.items() if k != "rpc"} for one in asked)

    @property
    def containments(self) -> tuple[Plain, ...]:
        """The containments in force, as facts."""
        return tuple(
            self._fact(
                {
                    "containment": {
                        "id": f"containment-{number}",
                        "scope": scope,
                        "reason": "as the case says",
                        "set_by": "case-runner",
                        "set_at": self._later(self.world.observed_at, days=1),
                    }
                }
            )
            for number, scope in enumerate(self.contain, 1)
        )

    def _fact(self, entity: Plain) -> Plain:
        return complete(entity, self.world.sources, self._later(self.world.observed_at, days=1))

    @staticmethod
    def _later(text: str, *, days: int) -> str:
        return _format(_parse(text) + timedelta(days=days))


def complete(fact: Plain, sources: Mapping[str, str], observed_at: str) -> Plain:
    """Return *fact* with the source and the instant that it does not state itself."""
    kind = kind_of(fact)
    return {"source": sources.get(kind, "operations"), "observed_at": observed_at, **fact}


def kind_of(fact: Plain) -> str:
    """Return the kind of the one entity that *fact* holds."""
    (kind,) = fact.keys() - {"source", "observed_at"}
    return str(kind)


def load(root: Path) -> list[Case]:
    """Return every case under *root*, in the order of the files.

    Raises:
        ValueError: Two cases have one id, or a case has a key that nobody knows.
    """
    folders = [root, *sorted(path.parent for path in root.glob("*/**/world.yaml"))]
    cases = [case for folder in folders for case in _load_folder(folder)]
    ids = [case.id for case in cases]
    twice = sorted({one for one in ids if ids.count(one) > 1})
    if twice:
        raise ValueError(f"case ids are not unique: {twice}")
    return cases


def _load_folder(folder: Path) -> Iterable[Case]:
    world = _load_world(folder / "world.yaml")
    files = [path for path in sorted(folder.glob("*.yaml")) if path.name != "world.yaml"]
    for path in [*sorted(folder.glob("cases/*.yaml")), *files]:
        read = _read(path)
        more = read.get("facts", []) if isinstance(read, dict) else []
        facts = tuple(complete(one, world.sources, world.observed_at) for one in more)
        for plain in read["cases"] if isinstance(read, dict) else read:
            yield _case(plain, world, facts)


def _read(path: Path) -> Any:
    """Read YAML with libyaml where PyYAML has it: the files are large."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load(path.read_text(encoding="utf-8"), Loader=loader)  # noqa: S506  # both are safe


def _load_world(path: Path) -> World:
    read = _read(path)
    facts = tuple(complete(one, read["sources"], read["observed_at"]) for one in read["facts"])
    return World(read["clock"], read["observed_at"], read["sources"], facts)


def _case(plain: Plain, world: World, more_facts: tuple[Plain, ...]) -> Case:
    unknown = plain.keys() - _CASE_KEYS
    if unknown:
        raise ValueError(f"{plain['id']} has keys that nobody knows: {sorted(unknown)}")
    given_at = _format(_parse(world.observed_at) + timedelta(days=1))
    rules = plain.get("rules")
    return Case(
        id=plain["id"],
        says=plain["says"],
        world=world,
        more_facts=more_facts,
        given=tuple(complete(one, world.sources, given_at) for one in plain.get("given", [])),
        rules=None if rules is None else tuple(rules),
        contain=tuple(plain.get("contain", [])),
        emergency=tuple(plain.get("emergency", [])),
        at=plain.get("at", world.clock),
        plain=plain.get("caller") == "plain",
        absent=tuple(plain.get("absent", [])),
        ask=plain["ask"],
        same_as=tuple(plain.get("same_as", [])),
        expect=plain["expect"],
    )


def _parse(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _format(instant: datetime) -> str:
    return instant.isoformat().removesuffix("+00:00") + "Z"
