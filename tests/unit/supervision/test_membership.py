"""A worker's side: it obeys in order, holds calls, and never judges by what is about to go."""

from __future__ import annotations

import asyncio
import json
import socket
from itertools import count
from typing import Any

import pytest
from structlog.testing import capture_logs

from authz_service.operations.active_policy import ActivePolicy
from authz_service.operations.check_access import CheckAccess
from authz_service.operations.records import DecisionRecord
from authz_service.operations.reload_policy import ReloadOrder, ReloadPolicy
from authz_service.pdp.errors import JournalUnavailableError, PolicyNotReadyError, PolicyProblem
from authz_service.policy.bundle import BundleFiles, read_files
from authz_service.policy.directory import BundleFile
from authz_service.supervision.membership import Membership, ParentLostError
from authz_service.supervision.pipe import (
    Pipe,
    files_of,
    order_of,
    plain_files,
    plain_order,
)
from tests.service_thread import untried_policy
from tests.unit.operations.fakes import (
    CONTEXT,
    QUESTION,
    FakeJournal,
    FakeSource,
    Heard,
    StoppedClock,
    quick_journal,
)

PROBLEM = PolicyProblem("invalid", "rules.csv", 1, 1, "is wrong", "mend it")


def shipped(note: bytes = b"") -> BundleFiles:
    """Return the shipped policy; *note* changes its revision alone."""
    read = read_files(untried_policy())
    files = [
        BundleFile(name, content + note if name == "rules.csv" else content)
        for name, content in read.files
    ]
    return BundleFiles(tuple(files))


class Member:
    """A worker without a server: its membership, its policy, and the parent's end of its pipe."""

    def __init__(self, parent: Pipe, membership: Membership) -> None:
        self.parent, self.membership = parent, membership
        self.journal, clock = quick_journal(), StoppedClock()
        self.active = ActivePolicy(clock)
        self.reload = ReloadPolicy(
            self.active, membership.source, journal=self.journal, clock=clock, observer=Heard()
        )
        self.check = CheckAccess(
            self.active,
            FakeSource(),
            FakeJournal(synced=self.journal.synced),
            clock=clock,
            observer=Heard(),
            new_id=lambda: "d",
        )
        self.attending = asyncio.create_task(membership.attend(lambda: {"journal": "full"}))
        self._numbers = count(1)

    @classmethod
    async def joined(cls) -> Member:
        """Return a member that serves under the shipped policy."""
        ours, theirs = socket.socketpair()
        membership = Membership(await Pipe.over(theirs), shipped(), StoppedClock())
        member = cls(await Pipe.over(ours), membership)
        await member.reload(ReloadOrder("start"))
        admitted = asyncio.create_task(membership.admitted(member.reload, member.active))
        opened = await member.heard()
        assert opened == {"kind": "opened", "revision": member.active.revision}
        assert not admitted.done()
        member.parent.send("serve")
        await admitted
        return member

    async def heard(self) -> Any:
        """Return what it says next."""
        return await asyncio.wait_for(self.parent.receive(), timeout=10)

    async def ordered(self, kind: str, **fields: Any) -> Any:
        """Give an order; return the answer."""
        number = next(self._numbers)
        self.parent.send(kind, number=number, **fields)
        answer = await self.heard()
        assert answer["number"] == number
        return answer

    async def prepared(self, files: BundleFiles) -> Any:
        """Have a bundle prepared."""
        order = plain_order(ReloadOrder("call", "op", CONTEXT))
        return await self.ordered("prepare", order=order, files=plain_files(files))

    def ask(self) -> asyncio.Task[DecisionRecord]:
        """Ask."""
        return asyncio.create_task(self.check(QUESTION, CONTEXT, at_least=0, started_ns=0))

    async def leave(self) -> None:
        """Take the parent away."""
        await self.parent.close()
        await asyncio.wait_for(self.attending, timeout=10)


async def test_a_held_call_waits_and_is_judged_by_what_was_concluded() -> None:
    member = await Member.joined()
    old = member.active.revision

    prepared = await member.prepared(shipped(b"# new\n"))
    during = await member.ask()
    await member.ordered("hold")
    waiting = member.ask()
    await asyncio.sleep(0.05)
    assert not waiting.done()
    await member.ordered("conclude")
    after = await waiting

    assert prepared["outcome"] == "activated"
    assert during.policy_revision == old
    assert after.policy_revision == prepared["revision"] == member.active.revision != old
    await member.leave()


async def test_a_held_call_is_judged_by_the_old_policy_where_all_is_abandoned() -> None:
    member = await Member.joined()
    old = member.active.revision
    await member.prepared(shipped(b"# new\n"))
    await member.ordered("hold")
    waiting = member.ask()

    await member.ordered("abandon", why="worker 2 was late")

    assert (await waiting).policy_revision == old == member.active.revision
    assert member.active.held is None
    assert await member.ordered("conclude") == {"kind": "answer", "number": 4}
    assert member.active.revision == old
    await member.leave()


async def test_a_refused_bundle_is_told_with_its_problems() -> None:
    member = await Member.joined()

    told = await member.prepared(BundleFiles(shipped().files, (PROBLEM,)))

    assert (told["outcome"], told["revision"]) == ("refused", "")
    assert PolicyProblem(*told["problems"][0]) == PROBLEM
    await member.leave()


async def test_a_bundle_that_cannot_be_recorded_is_told_as_that() -> None:
    member = await Member.joined()
    member.journal.refusal = "no space left"

    told = await member.prepared(shipped(b"# new\n"))

    assert told["outcome"] == "unrecorded"
    assert "no space left" in told["why"]
    await member.leave()


async def test_it_says_how_it_is_while_it_prepares() -> None:
    member = await Member.joined()

    member.parent.send("ping")

    assert await member.heard() == {
        "kind": "pong",
        "reasons": {"journal": "full"},
        "revision": member.active.revision,
    }
    await member.leave()


@pytest.mark.parametrize(
    ("answer", "raised"),
    [
        (
            {"error": "unrecorded", "why": "the journal is not usable: full"},
            JournalUnavailableError,
        ),
        ({"error": "unready", "why": "the policy is not usable: late"}, PolicyNotReadyError),
        ({"error": "", "outcome": "refused", "problems": [PROBLEM]}, None),
    ],
)
async def test_a_reload_is_the_parents(answer: Any, raised: type[Exception] | None) -> None:
    member = await Member.joined()
    order = ReloadOrder("call", "op", CONTEXT, dry_run=True)

    asked = asyncio.create_task(member.membership.reload(order))
    message = await member.heard()
    member.parent.send("reloaded", number=message["number"], **answer)

    assert order_of(message) == order
    if raised:
        with pytest.raises(raised) as told:
            await asked
        assert str(told.value) == answer["why"]
    else:
        attempt = await asked
        assert (attempt.outcome, attempt.problems) == ("refused", (PROBLEM,))
    await member.leave()


async def test_without_a_parent_it_has_to_end() -> None:
    member = await Member.joined()
    asked = asyncio.create_task(member.membership.reload(ReloadOrder("call", "op", CONTEXT)))
    await member.heard()

    await member.leave()

    assert member.membership.stopping.is_set()
    assert member.membership.lost.is_set()
    with pytest.raises(PolicyNotReadyError):
        await asked


async def test_a_bug_in_what_is_ordered_is_logged_and_ends_it() -> None:
    member = await Member.joined()

    with capture_logs() as logs:
        member.parent.send("prepare", number=1)
        await asyncio.wait_for(member.membership.stopping.wait(), timeout=10)

    assert [line["event"] for line in logs] == ["order_failed"]
    await member.leave()


async def test_who_is_told_to_end_before_it_may_serve_does_not_begin() -> None:
    ours, theirs = socket.socketpair()
    membership = Membership(await Pipe.over(theirs), shipped(), StoppedClock())
    member = Member(await Pipe.over(ours), membership)

    member.parent.send("drain")

    with pytest.raises(ParentLostError):
        await membership.admitted(member.reload, member.active)
    await member.leave()


def test_a_bundle_goes_over_the_pipe_byte_for_byte() -> None:
    read = BundleFiles((BundleFile("cases/\udcff.yaml", bytes(range(256))),), (PROBLEM,))

    sent = json.loads(json.dumps(plain_files(read)))

    assert files_of(sent) == read
