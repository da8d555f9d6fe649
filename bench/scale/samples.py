"""Which questions are asked of each world: the same number of each kind at every size.

Two working sets, of the same absolute size whatever the world's: one is held by the cache, and one
is walked through in a circle that is longer than the cache, so that nothing in it is found there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle, islice
from typing import TypeVar

from bench.scale.answers import Asked, Page, attended, guardian, newest, other, own
from bench.scale.practice import scattered
from bench.scale.shape import GROUP_CLINICIANS
from bench.scale.traits import are_close, neighbour
from bench.scale.world import Person, Place, World

T = TypeVar("T")
CACHED_OF_FIVE = 4
"""So many of five questions are about the cached set where shares are equal."""
_ATTENDING = 8
_TURN = ("own", "other", "attended", "own", "other", "own", "attended", "own", "other", "own")


@dataclass(frozen=True, slots=True)
class Size:
    """How much is asked about, at every size of the world.

    Attributes:
        cached: How many patients' questions the cached set has.
        walked: How many patients come up in the circle that is never cached.
        cached_lists: How many clinicians' lists the cached set has.
        cache_entries: How much the service holds.
    """

    cached: int
    walked: int
    cached_lists: int
    cache_entries: int


@dataclass(frozen=True, slots=True)
class Sample:
    """What is asked about one world.

    Attributes:
        cached: Questions about the set that is held.
        walked: Questions of which no patient and no recording comes twice.
        cached_lists: Lists of clinicians whose facts are held.
        walked_lists: Lists of the others in turn.
    """

    cached: list[Asked]
    walked: list[Asked]
    cached_lists: list[Page]
    walked_lists: list[Page]


def size_for(world: World) -> Size:
    """Return how much may be asked of *world*, the smallest that is measured, and so of each.

    The circle has seven of ten patients and a cache holds less than half as many.
    """
    walked = min(6_000, world.patients * 7 // 10)
    entries = max(100, min(2_000, walked * 4 // 10))
    return Size(entries // 5, walked, max(1, entries // 150), entries)


def sample_of(world: World, size: Size, page: int) -> Sample:
    """Return what is asked about *world*, lists by pages of *page*."""
    seen: set[Person] = set()
    kinds = _Kinds(world, seen)
    cached = kinds.questions(size.cached)
    walked = kinds.questions(size.walked)
    lists = [newest(world, 0, clinician, page) for clinician in range(GROUP_CLINICIANS)]
    return Sample(cached, walked, lists[: size.cached_lists], lists[size.cached_lists :])


def mixed(cached: list[T], walked: list[T]) -> Iterator[T]:
    """Yield questions without end, `CACHED_OF_FIVE` of five about the cached set."""
    held, others = cycle(cached), cycle(walked)
    while True:
        yield from islice(held, CACHED_OF_FIVE)
        yield next(others)


class _Kinds:
    """Makes questions of each kind in turn; nobody comes up in two of them."""

    def __init__(self, world: World, seen: set[Person]) -> None:
        """Ask about *world*, of nobody in *seen*, to which it adds."""
        self._world = world
        self._seen = seen
        self._anything = scattered(world.recordings)
        self._attended = _held_by_few(world)
        self._waiting: dict[int, Person] = {}

    def questions(self, patients: int) -> list[Asked]:
        """Return questions that are about *patients* patients; fewer where there are no more."""
        enough = len(self._seen) + patients
        found: list[Asked] = []
        for kind in cycle(_TURN):
            if len(self._seen) >= enough:
                break
            numbers = self._attended if kind == "attended" else self._anything
            number = next((each for each in numbers if self._is_new(each)), None)
            if number is None:
                break
            self._seen.add(self._world.patient_of(number))
            asked = self._asked(kind, number)
            if asked is not None:
                found.append(asked)
        return found

    def _asked(self, kind: str, number: int) -> Asked | None:
        """Return the question of *kind* about a recording; None where its patient waits for one."""
        world, person = self._world, self._world.patient_of(number)
        if kind == "attended":
            return attended(world, number)
        by_parent = guardian(world, number)
        if by_parent is not None:
            parent = Person(person.tenant, neighbour(person.patient))
            if parent not in self._seen:
                self._seen.add(parent)
                return by_parent
        if kind == "own":
            return own(world, number)
        stranger = self._waiting.pop(person.tenant, None)
        if stranger is None:
            self._waiting[person.tenant] = person
            return None
        if are_close(stranger.patient, person.patient):
            return own(world, number)
        return other(stranger, number)

    def _is_new(self, number: int) -> bool:
        """Whether the patient of a recording has not come up."""
        return self._world.patient_of(number) not in self._seen


def _held_by_few(world: World) -> Iterator[int]:
    """Yield the recordings of a few clinicians of the first tenant, scattered over time.

    Of as few in every world, so that the clinicians themselves are always held.
    """
    practice = world.practices[0]
    held = range(0, practice.recordings, practice.groups)
    for turn in scattered(len(held)):
        if practice.clinician_of(held[turn]) < _ATTENDING:
            yield world.number_of(Place(0, held[turn]))
