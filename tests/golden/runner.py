"""Plays a case against a target, by the rules that the scenarios' own README lays down."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from tests.golden.list_runner import compare_failure, play_list
from tests.golden.scenarios import Case, Plain, kind_of
from tests.golden.target import Answer, Failure, OpenTarget, Setting, Target

_FACTS_A_CALL = 1000
_PLAYED = frozenset({"CheckAccess", "BatchCheckAccess", "ListRecordings", "OpenEmergencyAccess"})


def is_played(case: Case) -> bool:
    """Whether *case* asks an RPC that this runner knows."""
    return case.rpc in _PLAYED


async def play(case: Case, open_target: OpenTarget) -> None:
    """Write the facts of *case*, open its emergency accesses, ask its questions, and compare.

    Raises:
        AssertionError: An answer is not the expected one, does not echo its question, or tells a
            plain caller two recordings apart.
    """
    _assert_absent(case)
    async with open_target(Setting(case.at, case.rules, case.plain)) as target:
        await _write(case, target)
        for opening in case.emergency:
            await _open_before(case, opening, target)
        ask = {
            "CheckAccess": _check,
            "BatchCheckAccess": _batch,
            "OpenEmergencyAccess": _open,
        }.get(case.rpc, play_list)
        told = [await ask(case, question, target) for question in case.questions]
    if case.plain:
        assert all(one == told[0] for one in told), f"{case.id}: answers can be told apart"


async def _write(case: Case, target: Target) -> None:
    for facts in (case.world.facts, case.more_facts):
        for some in _chunks(facts):
            await target.write_facts(some)
    if case.given:
        await target.write_facts(case.given)
    await target.contain(case)


def _chunks(facts: Sequence[Plain]) -> Iterator[tuple[Plain, ...]]:
    rest = iter(facts)
    while some := tuple(islice(rest, _FACTS_A_CALL)):
        yield some


async def _open_before(case: Case, opening: Plain, target: Target) -> None:
    """Open an access that the question rests on, and compare what became of it."""
    question = {name: value for name, value in opening.items() if name != "expect"}
    answer = await target.open(question)
    assert isinstance(answer, Answer), f"{case.id}: {question} failed with {answer}"
    _compare_opening(case, question, answer, opening["expect"])


async def _open(case: Case, question: Plain, target: Target) -> object:
    answer = await target.open(question)
    if case.expects_status:
        compare_failure(case, answer)
        return answer
    assert isinstance(answer, Answer), f"{case.id}: {question} failed with {answer}"
    _compare_opening(case, question, answer, case.expect)
    return (answer.effect, answer.reason, answer.rest)


def _compare_opening(case: Case, question: Plain, answer: Answer, expected: Plain) -> None:
    got = {"effect": answer.effect, "reason": answer.reason}
    assert got == {"reason": answer.reason, **expected}, f"{case.id}: {question}"
    asked = {"subject_id": question["subject"]["id"], "patient_id": question["patient_id"]}
    assert answer.echo == asked, f"{case.id}: the answer does not echo its question"


async def _check(case: Case, question: Plain, target: Target) -> object:
    answer = await target.check(question)
    if case.expects_status:
        compare_failure(case, answer)
        return answer
    assert isinstance(answer, Answer), f"{case.id}: {question} failed with {answer}"
    _compare(case, question, answer, case.expect)
    return (answer.effect, answer.reason, answer.rest)


async def _batch(case: Case, question: Plain, target: Target) -> object:
    checks = list(question.get("checks", [])) * question.get("repeat", 1)
    sent = {**{k: v for k, v in question.items() if k != "repeat"}, "checks": checks}
    results = await target.batch(sent)
    if case.expects_status:
        compare_failure(case, results)
        return results
    assert not isinstance(results, Failure), f"{case.id}: failed with {results}"
    expected = case.expect["results"] * case.expect.get("repeat", 1)
    assert len(results) == len(checks) == len(expected), f"{case.id}: wrong number of results"
    defaults = question.get("defaults", {})
    for check, result, wanted in zip(checks, results, expected, strict=True):
        if wanted.get("evaluated") is False:
            assert result is None, f"{case.id}: {check} was evaluated past the stop"
            continue
        assert result is not None, f"{case.id}: {check} was not evaluated"
        _compare(case, {**defaults, **check}, result, wanted)
    return [result and (result.effect, result.reason, result.rest) for result in results]


def _compare(case: Case, question: Plain, answer: Answer, expected: Plain) -> None:
    got = {"effect": answer.effect, "reason": answer.reason}
    wanted = {"reason": answer.reason, **expected}
    assert got == wanted, f"{case.id}: {question}"
    if answer.reason == "INVALID_REQUEST":
        return
    asked = {
        "subject_id": question["subject"]["id"],
        "recording_id": question["recording_id"],
        "action": question["action"],
    }
    assert answer.echo == asked, f"{case.id}: the answer does not echo its question"


def _assert_absent(case: Case) -> None:
    facts = (*case.world.facts, *case.more_facts, *case.given)
    known = {fact[kind_of(fact)]["id"] for fact in facts}
    assert not known & set(case.absent), f"{case.id}: an id that should be absent is not"
