"""What certificates and caller rules cost: the same questions with them and without, in turn."""

from __future__ import annotations

from contextlib import ExitStack
from itertools import cycle
from pathlib import Path

from authz_service.api.v1 import recording_access_pb2 as pb
from bench.estate import estate_in
from bench.http2 import Question
from bench.load import run_load
from bench.measure import Ledger, Series, alternate
from bench.processes import service
from bench.progress import say
from bench.questions import BATCH_PATH, CHECK_PATH, Questions, batch_check_of, check_of, single
from bench.results import Results
from bench.world import TENANT

_WARMING_BATCH = 250
_WARMING_SECONDS = 600.0


def callers(results: Results, registry: Path, facts_revision: int, latest: Path) -> None:
    """Load a service in plaintext and one with certificates in turn, over kept connections.

    Raises:
        ServerError: A server does not start, serve or end.
        LoadError: A server does not answer at all.
    """
    plan = results.plan
    about = Questions(plan.large, plan.share_beside)
    asked = [in_tenant(single(one)) for one in about.asked()]
    estate = estate_in(latest / "estate")
    with ExitStack() as stack:
        servers = {
            "plain": stack.enter_context(service(registry, latest / "plain")),
            "mtls": stack.enter_context(service(registry, latest / "mtls", estate=estate)),
        }
        for name, how in (("plain", "in plaintext"), ("mtls", "by mTLS from 20 callers")):
            ledger = results.ledgers[name] = Ledger()
            one = results.series[name] = Series(
                f"CheckAccess {how}, facts in memory",
                servers[name], CHECK_PATH, cycle(asked), check_of(facts_revision), ledger,
            )  # fmt: skip
            _warm(one, about, facts_revision)
            one.run(plan.seconds / 2)
        pair = [results.series["plain"], results.series["mtls"]]
        for done in alternate(pair, rounds=plan.rounds, seconds=plan.seconds):
            say(f"callers: round {done} of {plan.rounds}")


def in_tenant(question: Question) -> Question:
    """Return a question that names its tenant, as callers have to that are bound to one."""
    message = pb.CheckAccessRequest.FromString(question.message)
    message.tenant_id = TENANT
    return Question(message.SerializeToString(), question.known)


def _warm(series: Series, about: Questions, facts_revision: int) -> None:
    """Have the service of *series* load the facts of the working set."""
    say(f"warming {about.warm_recordings:,} recordings")
    batches = [_batch_in_tenant(question) for question in about.warming(_WARMING_BATCH)]
    load = run_load(
        series.server.peer, BATCH_PATH, iter(batches), in_flight=4, seconds=_WARMING_SECONDS
    )
    series.ledger.take_calls(load.calls, batch_check_of(facts_revision))


def _batch_in_tenant(question: Question) -> Question:
    """Return a batch each of whose questions names its tenant."""
    message = pb.BatchCheckAccessRequest.FromString(question.message)
    for one in message.checks:
        one.tenant_id = TENANT
    return Question(message.SerializeToString(), question.known)
