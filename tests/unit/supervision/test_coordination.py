"""All workers change their policy together, or none does: the parent's side, over fakes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from authz_service.operations.reload_policy import ReloadOrder
from authz_service.pdp.errors import (
    AuthzError,
    JournalUnavailableError,
    PolicyNotReadyError,
    PolicyProblem,
)
from authz_service.policy.bundle import BundleFiles, revision_of
from authz_service.policy.directory import BundleFile
from authz_service.supervision.coordination import Coordination, Patience
from authz_service.supervision.member import Prepared, WorkerLostError

OLD = BundleFiles((BundleFile("rules.csv", b"old"),))
NEW = BundleFiles((BundleFile("rules.csv", b"new"),))
PROBLEM = PolicyProblem("invalid", "rules.csv", 1, 1, "is wrong", "mend it")
ORDER = ReloadOrder("signal")
READY = Prepared("activated", revision_of(NEW.files))


@dataclass(eq=False)
class FakeMember:
    """Says what a test wants, once a test wants it; and notes what it was asked."""

    number: int
    steps: list[str]
    says: Prepared = READY
    lost_at: str = ""
    late_at: str = ""
    is_fit: bool = True
    given: list[BundleFiles] = field(default_factory=list)

    async def prepare(self, order: ReloadOrder, files: BundleFiles) -> Prepared:
        self.given.append(files)
        await self._step("prepare")
        return self.says

    async def hold(self) -> None:
        await self._step("hold")

    async def conclude(self) -> None:
        await self._step("conclude")

    async def abandon(self, why: str) -> None:
        await self._step("abandon")

    async def give_up(self, hold_seconds: float) -> None:
        await self._step("give_up")

    async def _step(self, name: str) -> None:
        self.steps.append(f"{name} {self.number}")
        for _ in range(self.number):
            await asyncio.sleep(0)
        if self.lost_at == name:
            raise WorkerLostError
        if self.late_at == name:
            await asyncio.Event().wait()
        self.steps.append(f"{name} {self.number} done")


class Crew:
    """Two members and their coordination, at the old policy; the new one lies on the disk."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.one, self.two = FakeMember(1, self.steps), FakeMember(2, self.steps)
        self.members = [self.one, self.two]
        self.reads = 0
        self.all = Coordination(
            OLD, self._read, lambda: self.members, Patience(prepare=0.05, hold=0.05, conclude=0.05)
        )

    def _read(self) -> BundleFiles:
        self.reads += 1
        return NEW

    async def refusal(self) -> AuthzError:
        """Reload; return why nothing was put in force."""
        with pytest.raises(AuthzError) as raised:
            await self.all.reload(ORDER)
        assert self.all.revision == revision_of(OLD.files)
        assert self.all.files == OLD
        assert not any(step.startswith("conclude") for step in self.steps)
        return raised.value


async def test_nobody_goes_on_before_all_hold_and_all_were_given_the_same_bytes() -> None:
    crew = Crew()

    agreed = await crew.all.reload(ORDER)

    assert agreed == READY
    assert crew.reads == 1
    assert crew.one.given == crew.two.given == [NEW]
    order = [crew.steps.index(step) for step in ("hold 1", "hold 2 done", "conclude 1")]
    assert crew.steps.index("prepare 2 done") < min(order)
    assert order == sorted(order)
    assert crew.all.revision == revision_of(NEW.files)
    assert crew.all.files == NEW


@pytest.mark.parametrize("at", ["prepare", "hold"])
async def test_where_one_is_late_nobody_changes(at: str) -> None:
    crew = Crew()
    crew.two.late_at = at

    error = await crew.refusal()

    assert isinstance(error, PolicyNotReadyError)
    assert "worker 2" in str(error)
    assert {"abandon 1 done", "abandon 2 done"} <= set(crew.steps)


async def test_where_one_cannot_record_it_nobody_changes() -> None:
    crew = Crew()
    why = str(JournalUnavailableError("no space left"))
    crew.one.says = crew.two.says = Prepared("unrecorded", why=why)

    error = await crew.refusal()

    assert isinstance(error, JournalUnavailableError)
    assert str(error) == "the journal is not usable: no space left"
    assert "abandon 1 done" in crew.steps


@pytest.mark.parametrize("fault", ["unfit", "unrecorded"])
async def test_who_cannot_take_part_is_given_up_before_the_others_change(fault: str) -> None:
    """It judges no more by then: never two revisions at once."""
    crew = Crew()
    crew.two.is_fit = fault != "unfit"
    crew.two.late_at = "prepare" if fault == "unfit" else ""
    if fault == "unrecorded":
        crew.two.says = Prepared("unrecorded", why="full")

    assert await crew.all.reload(ORDER) == READY

    order = [crew.steps.index(step) for step in ("give_up 2 done", "hold 1", "conclude 1")]
    assert order == sorted(order)
    assert not {"hold 2", "conclude 2"} & set(crew.steps)
    assert crew.all.revision == revision_of(NEW.files)


async def test_where_who_cannot_take_part_may_still_judge_nobody_changes() -> None:
    crew = Crew()
    crew.two.is_fit, crew.two.late_at = False, "give_up"

    assert isinstance(await crew.refusal(), PolicyNotReadyError)
    assert "abandon 1 done" in crew.steps


async def test_nobody_is_given_up_for_what_changes_nothing() -> None:
    crew = Crew()
    crew.two.is_fit = False
    crew.one.says = Prepared("refused", problems=(PROBLEM,))

    await crew.all.reload(ORDER)

    assert not any(step.startswith("give_up") for step in crew.steps)


async def test_where_they_do_not_agree_nobody_changes() -> None:
    crew = Crew()
    crew.two.says = Prepared("refused", problems=(PROBLEM,))

    assert isinstance(await crew.refusal(), PolicyNotReadyError)
    assert not any(step.startswith("hold") for step in crew.steps)


@pytest.mark.parametrize("at", ["prepare", "hold", "conclude"])
async def test_who_is_gone_has_no_say(at: str) -> None:
    crew = Crew()
    crew.one.lost_at = at

    await crew.all.reload(ORDER)

    assert "conclude 2 done" in crew.steps
    assert crew.all.revision == revision_of(NEW.files)


async def test_without_any_worker_nothing_is_put_in_force() -> None:
    crew = Crew()
    crew.members = []

    assert isinstance(await crew.refusal(), PolicyNotReadyError)


@pytest.mark.parametrize(
    "says",
    [
        pytest.param(Prepared("refused", problems=(PROBLEM,)), id="refused"),
        pytest.param(Prepared("unchanged", revision_of(OLD.files)), id="unchanged"),
        pytest.param(Prepared("valid", revision_of(NEW.files)), id="dry-run"),
    ],
)
async def test_what_changes_nothing_holds_nobody(says: Prepared) -> None:
    crew = Crew()
    crew.one.says = crew.two.says = says

    assert await crew.all.reload(ORDER) == says

    assert not any(step.startswith("hold") for step in crew.steps)
    assert {"conclude 1 done", "conclude 2 done"} <= set(crew.steps)
    assert crew.all.files == OLD


async def test_a_newcomer_joins_at_the_revision_in_force_while_no_reload_is_under_way() -> None:
    crew = Crew()
    joined: list[str] = []
    newcomer = FakeMember(3, crew.steps)
    reloading = asyncio.create_task(crew.all.reload(ORDER))
    await asyncio.sleep(0)

    await crew.all.admit(newcomer, revision_of(OLD.files), lambda: joined.append("joined"))
    await reloading

    assert joined == ["joined"]
    assert newcomer.given == [NEW]
    assert crew.steps.index("conclude 2 done") < crew.steps.index("prepare 3")
    assert crew.steps[-1] == "conclude 3 done"


async def test_a_newcomer_at_the_revision_in_force_is_asked_nothing() -> None:
    crew = Crew()
    joined: list[str] = []

    await crew.all.admit(crew.one, revision_of(OLD.files), lambda: joined.append("joined"))

    assert (joined, crew.steps) == (["joined"], [])


@pytest.mark.parametrize("fault", ["late", "other-revision"])
async def test_a_newcomer_that_cannot_be_brought_there_does_not_join(fault: str) -> None:
    crew = Crew()
    joined: list[str] = []
    if fault == "late":
        crew.one.late_at = "prepare"
    else:
        crew.one.says = Prepared("refused", problems=(PROBLEM,))

    with pytest.raises(WorkerLostError):
        await crew.all.admit(crew.one, "other", lambda: joined.append("joined"))

    assert joined == []
