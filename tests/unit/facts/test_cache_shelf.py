"""A shelf keeps to its bound, and keeps what is used."""

from __future__ import annotations

from weakref import ref

from authz_service.facts.shelf import Shelf


def full(many: int) -> Shelf[int, str]:
    """Return a shelf full of *many* values that nobody used."""
    shelf: Shelf[int, str] = Shelf(many)
    for key in range(many):
        shelf.put(key, f"v{key}")
    return shelf


def test_the_oldest_unused_makes_room() -> None:
    shelf = full(4)
    shelf.use(0)

    shelf.put(9, "v9")

    assert list(shelf.cells) == [2, 3, 0, 9]
    assert shelf.evicted == 1


def test_where_everything_was_used_the_oldest_makes_room() -> None:
    shelf = full(4)
    for key in range(4):
        shelf.use(key)

    shelf.put(9, "v9")

    assert list(shelf.cells) == [1, 2, 3, 9]


def test_an_eviction_never_walks_through_the_whole_shelf() -> None:
    shelf = full(1000)
    for key in range(1000):
        shelf.use(key)

    shelf.put(1000, "v1000")

    assert sum(cell.used for cell in shelf.cells.values()) == 1000 - 33
    assert len(shelf.cells) == 1000


def test_a_value_put_again_is_replaced_in_its_place() -> None:
    shelf = full(2)

    shelf.put(0, "later")

    assert (shelf.use(0), shelf.use(1), shelf.use(2)) == ("later", "v1", None)
    assert shelf.evicted == 0


def test_what_is_dropped_is_gone() -> None:
    shelf = full(3)

    assert shelf.drop(1)
    assert not shelf.drop(1)
    assert shelf.clear() == 2
    assert list(shelf.cells) == []


def test_what_is_cleared_is_freed_little_by_little() -> None:
    """All at once would stop every answer for as long as it takes."""
    shelf: Shelf[int, Thing] = Shelf(1000)
    things = [Thing() for _ in range(100)]
    alive = [ref(thing) for thing in things]
    for key, thing in enumerate(things):
        shelf.put(key, thing)
    things.clear()
    del thing

    shelf.clear()
    assert sum(one() is not None for one in alive) == 100
    shelf.put(1000, Thing())
    assert sum(one() is not None for one in alive) == 96
    for key in range(24):
        shelf.put(key, Thing())

    assert sum(one() is not None for one in alive) == 0


class Thing:
    """Something of which one can tell whether it is still in memory."""
