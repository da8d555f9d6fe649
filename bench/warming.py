"""Facts brought into a server's memory before it is measured."""

from __future__ import annotations

from bench.load import run_load
from bench.measure import Series
from bench.processes import Server
from bench.progress import say
from bench.questions import BATCH_PATH, Questions, batch_check_of
from bench.results import SHARE_IN_MEMORY
from bench.world import World

_WARMING_BATCH = 500
_WARMING_SECONDS = 3600.0


def warm_up(server: Server, world: World, series: Series, share: float = SHARE_IN_MEMORY) -> None:
    """Have *server* load the facts of the working set, which is *share* of *world*."""
    questions = Questions(world, share)
    say(f"warming {questions.warm_recordings:,} of {world.recordings:,} recordings")
    load = run_load(
        server.peer,
        BATCH_PATH,
        iter(questions.warming(_WARMING_BATCH)),
        in_flight=4,
        seconds=_WARMING_SECONDS,
    )
    revision = int(server.metric("authz_facts_revision").get("", 0))
    series.ledger.take_calls(load.calls, batch_check_of(revision))
