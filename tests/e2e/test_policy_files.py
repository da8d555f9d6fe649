"""A defective policy never serves: not at the start, and not later."""

from __future__ import annotations

import shutil
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from authz_service.api.v1 import policy_pb2
from authz_service.app import StartError
from authz_service.audit.verify import read_records
from tests.e2e.client import ALLOWED, Client, client_of, eventually, outcome_of
from tests.e2e.clinic import FACTS
from tests.service_process import refused_start, serving_process
from tests.service_thread import SHIPPED_POLICY, serving

NOT_ALLOWED = ("DENY", "NO_RULE_MATCHED")
OWN_RULE = "p, patient-own             , allow, patient            , owner    , watch|DOWNLOAD"


def bundle(folder: Path) -> Path:
    """Return a copy of the shipped bundle, without its cases, that a test may spoil."""
    copy = folder / "policies"
    shutil.copytree(SHIPPED_POLICY, copy)
    shutil.rmtree(copy / "cases")
    return copy


def changed(text: str, old: str, new: str) -> str:
    """Return *text* with the first *old* replaced."""
    assert old in text
    return text.replace(old, new, 1)


def spoil(policy: Path, old: str, new: str) -> int:
    """Put a defect into the rules; return its line."""
    rules = policy / "rules.csv"
    text = rules.read_text(encoding="utf-8")
    rules.write_text(changed(text, old, new), encoding="utf-8")
    return text[: text.index(old)].count("\n") + 1


def without_own_rule(policy: Path) -> str:
    """Return the rules as they are, but nobody watches their own."""
    text = (policy / "rules.csv").read_text(encoding="utf-8")
    return changed(text, OWN_RULE, OWN_RULE.replace("watch|DOWNLOAD", "DOWNLOAD"))


def put(policy: Path, rules: str) -> None:
    """Replace the rules in one step, as whoever deploys a bundle should."""
    draft = policy.parent / "rules.draft"
    draft.write_text(rules, encoding="utf-8")
    draft.replace(policy / "rules.csv")


DEFECTS = [
    pytest.param(", deny , *    ", ", Deny , *    ", id="Deny-in-capitals"),
    pytest.param(", HMARKT    , always", ", HMARKT    , always # never", id="trailing-comment"),
    pytest.param(", deny , *    ", ', "deny" , *    ', id="quotes"),
    pytest.param(", deny , *    ", ",\tdeny , *    ", id="tab"),
    pytest.param("p, never-for-marketing", "q, never-for-marketing", id="unknown-row-type"),
    pytest.param(", HMARKT    , always", ", HMARKT", id="short-row"),
    pytest.param(", HMARKT    , always", ", HMARKT    , always, more", id="long-row"),
    pytest.param("p, seal-asks-two-factors  ", "p, never-for-marketing", id="duplicate-rule"),
    pytest.param(", sealed and not mfa", ", sealed and not mfaa", id="unknown-condition"),
    pytest.param(
        ", allow, patient            , owner ",
        ", allow, patient            , * ",
        id="any-relation",
    ),
]


@pytest.mark.parametrize(("old", "new"), DEFECTS)
def test_a_defective_rule_is_no_start_and_its_line_is_named(
    tmp_path: Path, old: str, new: str
) -> None:
    policy = bundle(tmp_path)
    line = spoil(policy, old, new)

    with (
        pytest.raises(StartError, match=rf"rules\.csv:{line}:\d+: "),
        serving(tmp_path, policy_dir=policy),
    ):
        pass


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(b"\xef\xbb\xbfp, a, allow\n", "byte-order mark", id="byte-order-mark"),
        pytest.param(b"", "rules.csv", id="empty-file"),
        pytest.param(b"# nothing\n", "rules.csv", id="comments-only"),
        pytest.param(b"p, own, allow, patient, owner, VI", "rules.csv:1", id="half-written"),
        pytest.param(b"\xff\xfe\x00", "rules.csv", id="not-utf-8"),
    ],
)
def test_a_file_that_is_no_policy_is_no_start(tmp_path: Path, content: bytes, said: str) -> None:
    policy = bundle(tmp_path)
    (policy / "rules.csv").write_bytes(content)

    with pytest.raises(StartError, match=said), serving(tmp_path, policy_dir=policy):
        pass


@pytest.mark.parametrize("missing", ["rules.csv", "model.conf", "roles.csv", "groups.csv"])
def test_a_directory_from_which_a_file_is_missing_is_no_start(tmp_path: Path, missing: str) -> None:
    policy = bundle(tmp_path)
    (policy / missing).unlink()

    with pytest.raises(StartError, match=missing), serving(tmp_path, policy_dir=policy):
        pass


@pytest.mark.parametrize("made", [True, False], ids=["empty", "not-there"])
def test_an_empty_policy_directory_is_no_start(tmp_path: Path, made: bool) -> None:  # noqa: FBT001  # a parameter
    if made:
        (tmp_path / "nothing").mkdir()

    with pytest.raises(StartError), serving(tmp_path, policy_dir=tmp_path / "nothing"):
        pass


def test_a_directory_in_a_files_place_is_no_start(tmp_path: Path) -> None:
    policy = bundle(tmp_path)
    (policy / "rules.csv").unlink()
    (policy / "rules.csv").mkdir()

    with pytest.raises(StartError, match=r"rules\.csv"), serving(tmp_path, policy_dir=policy):
        pass


def test_a_model_of_other_words_is_no_start(tmp_path: Path) -> None:
    policy = bundle(tmp_path)
    model = policy / "model.conf"
    model.write_text(model.read_text().replace("!some(where (p.eft == deny))", "true"))

    with pytest.raises(StartError, match=r"model\.conf"), serving(tmp_path, policy_dir=policy):
        pass


def test_a_case_that_does_not_hold_is_no_start(tmp_path: Path) -> None:
    policy = tmp_path / "policies"
    shutil.copytree(SHIPPED_POLICY, policy)
    (policy / "rules.csv").write_text(without_own_rule(policy), encoding="utf-8")

    with (
        pytest.raises(StartError, match=r"cases/patients\.yaml:\d+"),
        serving(tmp_path, policy_dir=policy),
    ):
        pass


@pytest.mark.slow
def test_the_process_ends_with_a_message_and_an_exit_code(tmp_path: Path) -> None:
    policy = bundle(tmp_path)
    line = spoil(policy, ", deny , *    ", ", Deny , *    ")

    code, said = refused_start(tmp_path, AUTHZ_POLICY_DIR=str(policy))

    assert code == 3
    assert f"rules.csv:{line}:" in said
    assert "Traceback" not in said


def test_a_bundle_that_is_spoilt_later_leaves_the_last_good_one_in_force(tmp_path: Path) -> None:
    policy = bundle(tmp_path)
    with serving(tmp_path, policy_dir=policy) as service, client_of(service) as client:
        client.write(FACTS)
        good = client.active_policy()
        line = spoil(policy, ", deny , *    ", ", Deny , *    ")

        refused = client.reload()
        after = client.active_policy()

        assert refused.outcome == policy_pb2.LOAD_OUTCOME_REFUSED
        assert [(p.file, p.line) for p in refused.problems] == [("rules.csv", line)]
        assert after.policy_revision == good.policy_revision == refused.policy_revision
        assert after.activated_at == good.activated_at
        assert after.latest_attempt.outcome == policy_pb2.LOAD_OUTCOME_REFUSED
        assert after.latest_attempt.problems[0].line == line
        assert client.outcome() == ALLOWED
        assert client.serving()
        metrics = client.metrics()
        assert metrics['authz_policy_reloads_total{result="refused"}'] == 1
        assert metrics["authz_policy_last_load_successful"] == 0
        assert metrics[f'authz_policy_info{{revision="{good.policy_revision}"}}'] == 1

        spoil(policy, ", Deny , *    ", ", deny , *    ")
        assert client.reload().outcome == policy_pb2.LOAD_OUTCOME_UNCHANGED
        assert client.metrics()["authz_policy_last_load_successful"] == 1
    kinds = [record["kind"] for record in read_records(tmp_path / "journal")]
    assert kinds.count("POLICY_RELOADED") == 3


def test_a_dry_run_changes_nothing(tmp_path: Path) -> None:
    policy = bundle(tmp_path)
    with serving(tmp_path, policy_dir=policy) as service, client_of(service) as client:
        client.write(FACTS)
        put(policy, without_own_rule(policy))

        tried = client.reload(dry_run=True)

        assert tried.outcome == policy_pb2.LOAD_OUTCOME_VALID
        assert client.outcome() == ALLOWED
        assert client.active_policy().latest_attempt.outcome == policy_pb2.LOAD_OUTCOME_ACTIVATED


def test_under_load_every_answer_is_that_of_the_policy_it_names(tmp_path: Path) -> None:
    """The bundle is swapped twenty times while eight clients ask."""
    policy = bundle(tmp_path)
    rules = [(policy / "rules.csv").read_text(encoding="utf-8"), without_own_rule(policy)]
    stop = threading.Event()
    answers: list[tuple[str, tuple[str, str]]] = []

    def ask(client: Client) -> None:
        while not stop.is_set():
            answer: Any = client.check()
            answers.append((answer.policy_revision, outcome_of(answer)))

    with serving(tmp_path, policy_dir=policy) as service, client_of(service) as client:
        client.write(FACTS)
        revisions = {client.active_policy().policy_revision: ALLOWED}
        with ThreadPoolExecutor(8) as threads:
            asking = [threads.submit(ask, client) for _ in range(8)]
            for swap in range(1, 21):
                put(policy, rules[swap % 2])
                reloaded = client.reload()
                assert reloaded.outcome == policy_pb2.LOAD_OUTCOME_ACTIVATED
                revisions.setdefault(reloaded.policy_revision, NOT_ALLOWED)
            stop.set()
            for asked in asking:
                asked.result(timeout=20)

    assert len(revisions) == 2
    assert {revision for revision, _ in answers} == set(revisions)
    assert [outcome for revision, outcome in answers] == [revisions[r] for r, _ in answers]


@pytest.mark.slow
def test_sighup_reads_the_bundle_again(tmp_path: Path) -> None:
    policy = bundle(tmp_path)
    with (
        serving_process(tmp_path, AUTHZ_POLICY_DIR=str(policy)) as service,
        client_of(service) as client,
    ):
        client.write(FACTS)
        good = client.active_policy().policy_revision
        line = spoil(policy, ", deny , *    ", ", Deny , *    ")

        service.signal(signal.SIGHUP)
        refused = service.await_event("policy_refused")
        assert refused["level"] == "error"
        assert refused["policy_revision"] == good
        assert refused["places"] == [f"rules.csv:{line}"]
        assert client.outcome() == ALLOWED

        spoil(policy, ", Deny , *    ", ", deny , *    ")
        put(policy, without_own_rule(policy))
        service.signal(signal.SIGHUP)
        eventually(lambda: len(service.events("policy_activated")) == 2)
        assert client.outcome() == NOT_ALLOWED
        assert client.active_policy().policy_revision != good
