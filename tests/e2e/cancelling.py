"""Many who share channels and cancel calls at all moments: in tasks and in threads."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

from authz_service.api.v1 import facts_pb2_grpc
from authz_service.api.v1 import recording_access_pb2_grpc as grpc_api
from tests.e2e.trials import BY_THE_CLIENT, Moment, Tally, Trial, drawn

CHANNELS = 4
"""Shared by the tasks of one event loop; one more is shared by threads."""
TASKS = 24
"""How many share one channel."""
THREADS = 6
_OF_THREADS = 5
"""One in so many trials is a thread's."""
_OWN_CONNECTION = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]


def storm(address: str, trials: int, name: str) -> Tally:
    """Make so many calls, each to be known by an id that begins with *name*; return what came."""
    in_threads = trials // _OF_THREADS
    with ThreadPoolExecutor(THREADS) as pool, _channel(grpc, address) as channel:
        share = -(-in_threads // THREADS)
        working = [
            pool.submit(_in_thread, _methods(channel), drawn(f"{name}-t{number}", share))
            for number in range(THREADS)
        ]
        tally = asyncio.run(_in_tasks(address, trials - in_threads, name))
        for each in working:
            tally.add(each.result())
    return tally


async def _in_tasks(address: str, trials: int, name: str) -> Tally:
    """Make calls on all channels at once, many on each."""
    tally = Tally()
    share = -(-trials // (CHANNELS * TASKS))

    async def ask(methods: dict[str, Any], client: str) -> None:
        for trial in drawn(client, share):
            try:
                tally.note(trial, await _answer_of(trial, trial.begun(methods[trial.asked.rpc])))
            except grpc.aio.AioRpcError as error:
                tally.note_failure(trial, error.code(), error.details() or "")

    async def ask_on(number: int) -> None:
        async with _channel(grpc.aio, address) as channel:
            methods = _methods(channel)
            asking = (ask(methods, f"{name}-c{number}-{task}") for task in range(TASKS))
            await asyncio.gather(*asking)

    await asyncio.gather(*(ask_on(number) for number in range(CHANNELS)))
    return tally


async def _answer_of(trial: Trial, call: Any) -> Any:
    """Cancel *call* at its moment; return its answer, or None where that was first."""
    try:
        if trial.moment is Moment.GIVEN_UP:
            return await asyncio.wait_for(call, trial.seconds)
        await _cancelled_in_time(trial, call)
        answer = await call
    except (asyncio.CancelledError, TimeoutError):
        return None
    except grpc.aio.AioRpcError as error:
        if trial.may_end_with(error.code()):
            return None
        raise
    if trial.moment is Moment.ANSWERED:
        call.cancel()
    return answer


async def _cancelled_in_time(trial: Trial, call: Any) -> None:
    """Cancel *call* if it is to be before its answer, and not by who waits or by the deadline."""
    if trial.moment is Moment.AT_ONCE:
        await asyncio.sleep(0)
    elif trial.moment is Moment.SOON:
        await asyncio.sleep(trial.seconds)
    if trial.moment in BY_THE_CLIENT:
        call.cancel()


def _in_thread(methods: dict[str, Any], trials: Sequence[Trial]) -> Tally:
    """Make calls one after the other, on a channel that other threads use, too."""
    tally = Tally()
    for trial in trials:
        call = trial.begun(methods[trial.asked.rpc].future)
        try:
            tally.note(trial, _waited_for(trial, call))
        except grpc.RpcError:
            tally.note_failure(trial, call.code(), call.details())
    return tally


def _waited_for(trial: Trial, call: Any) -> Any:
    """Do what `_answer_of` does, on a thread."""
    try:
        if trial.moment is Moment.GIVEN_UP:
            return call.result(timeout=trial.seconds)
        if trial.moment is Moment.SOON:
            time.sleep(trial.seconds)
        if trial.moment in BY_THE_CLIENT:
            call.cancel()
        answer = call.result()
    except (grpc.FutureCancelledError, grpc.FutureTimeoutError):
        return None
    except grpc.RpcError:
        if trial.may_end_with(call.code()):
            return None
        raise
    finally:
        if trial.moment is not Moment.NEVER:
            call.cancel()
    return answer


def _channel(kind: Any, address: str) -> Any:
    """Return a channel with a connection of its own."""
    return kind.insecure_channel(address, options=_OWN_CONNECTION)


def _methods(channel: Any) -> dict[str, Any]:
    """Return the methods that are called, by name."""
    access: Any = grpc_api.RecordingAccessServiceStub(channel)
    facts: Any = facts_pb2_grpc.FactsServiceStub(channel)
    return {
        "CheckAccess": access.CheckAccess,
        "BatchCheckAccess": access.BatchCheckAccess,
        "ListRecordings": access.ListRecordings,
        "WriteFacts": facts.WriteFacts,
    }
