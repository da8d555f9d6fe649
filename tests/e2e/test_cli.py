"""The command `authz` as it is installed: a service in its own process, and verbs beside it."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from authz_service.audit.verify import read_records
from tests.e2e.cli_place import (
    AUTHZ,
    Served,
    made_place,
    recording,
    serving,
)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A service that all tests share which leave it as it was."""
    with serving(made_place(tmp_path_factory.mktemp("shared"))) as service:
        yield service


@pytest.mark.parametrize(
    ("words", "code"),
    [
        pytest.param(("check", "ana", "hers"), 0, id="own"),
        pytest.param(("check", "bob", "hers"), 10, id="a-strangers"),
        pytest.param(("check", "ana", "none"), 10, id="unknown"),
        pytest.param(("check", "ana", "hers", "--action", "SHARE"), 10, id="step-up"),
        pytest.param(("check", "ana", "hers", "--at-least-revision", "999"), 1, id="ahead"),
        pytest.param(("check", "ana", "her s"), 2, id="malformed"),
        pytest.param(("check", "ana", "hers", "--timeout", "600"), 0, id="long-deadline"),
        pytest.param(("healthcheck",), 0, id="healthcheck"),
        pytest.param(("status",), 0, id="status"),
        pytest.param(("policy", "status"), 0, id="policy-status"),
        pytest.param(("policy", "reload", "--actor", "jo"), 0, id="reload-unchanged"),
        pytest.param(("policy", "reload", "--actor", "jo", "--dry-run"), 0, id="reload-dry"),
        pytest.param(
            ("facts", "resolve", "none", "--actor", "jo", "--reason", "x"), 1, id="resolve-unknown"
        ),
        pytest.param(
            ("facts", "resolve", "hers", "--actor", "jo", "--reason", "x"), 1, id="resolve-nothing"
        ),
        pytest.param(("doctor",), 0, id="doctor-beside-the-service"),
    ],
)
def test_exit_codes_beside_a_service(words: tuple[str, ...], code: int, served: Served) -> None:
    """The table of the contract, against a service in a process of its own."""
    result = served.ask(*words)

    assert result.exit_code == code, result.output


def test_answer_is_in_the_journal_when_it_is_shown(served: Served) -> None:
    """The decision id on the screen leads to the record."""
    shown = json.loads(served.ask("check", "ana", "hers", "--format", "json").stdout)

    records = read_records(served.place.folder / "journal")
    (recorded,) = [each for each in records if each.get("decision_id") == shown["decision_id"]]
    assert (recorded["effect"], recorded["request_id"]) == ("ALLOW", shown["request_id"])


def test_status_tells_all_on_one_screen(served: Served) -> None:
    """Health, policy, facts and journal, each from where it is known."""
    found = json.loads(served.ask("status", "--format", "json").stdout)

    assert (found["serving"], found["reasons"], found["silent"]) == (True, {}, [])
    assert found["policy"]["latest_attempt"]["problems"] == []
    assert found["facts_revision"] >= 1
    assert all(isinstance(count, int) for count in found["journal"].values())
    assert found["journal"]["records"] >= 1


def test_installed_command_ends_with_the_contracts_codes(served: Served) -> None:
    """What a shell sees, of the command as it is installed."""
    place, found = served.place, served.addresses

    allowed = place.run("check", "ana", "hers", **found)
    denied = place.run("check", "bob", "hers", **found)
    probed = place.run("healthcheck", **found)

    assert (allowed.returncode, denied.returncode, probed.returncode) == (0, 10, 0)
    assert probed.stdout == "SERVING\n"
    assert "\x1b" not in allowed.stdout + denied.stdout


@pytest.mark.slow
def test_refused_bundle_leaves_the_policy_in_force(tmp_path: Path) -> None:
    """A defect is 3, a case that fails 4; the service answers as before and says what was wrong."""
    with serving(made_place(tmp_path)) as own:
        rules = tmp_path / "policies" / "rules.csv"
        sound = rules.read_text(encoding="utf-8")
        before = json.loads(own.ask("policy", "status", "--format", "json").stdout)

        rules.write_text(sound + "p, typo, alow\n", encoding="utf-8")
        dry = own.ask("policy", "reload", "--actor", "jo", "--dry-run")
        invalid = own.ask("policy", "reload", "--actor", "jo")
        rules.write_text(
            "".join(
                each for each in sound.splitlines(keepends=True) if "p, patient-own " not in each
            ),
            encoding="utf-8",
        )
        failed = own.ask("policy", "reload", "--actor", "jo", "--format", "json")
        after = json.loads(own.ask("policy", "status", "--format", "json").stdout)

        assert (dry.exit_code, invalid.exit_code, failed.exit_code) == (3, 3, 4)
        number = sound.count("\n") + 1
        assert f"rules.csv:{number}:" in invalid.stdout
        assert json.loads(failed.stdout)["outcome"] == "REFUSED"
        assert after["policy_revision"] == before["policy_revision"]
        assert after["latest_attempt"]["problems"][0]["kind"] == "case_failed"
        assert own.ask("check", "ana", "hers").exit_code == 0


@pytest.mark.slow
def test_conflict_is_resolved_by_a_person(tmp_path: Path) -> None:
    """A change of owner leaves the recording in conflict, even if changed back, until resolved."""
    with serving(made_place(tmp_path)) as own:
        own.load(recording("disputed", "bob", "2020-06-02T00:00:00Z"))
        own.load(recording("disputed", "ana", "2020-06-03T00:00:00Z"))
        before = own.ask("check", "ana", "disputed", "--format", "json")

        resolved = own.ask("facts", "resolve", "disputed", "--actor", "jo", "--reason", "checked")
        time.sleep(0.1)  # twice the staleness bound
        after = own.ask("check", "ana", "disputed")

        assert (before.exit_code, json.loads(before.stdout)["reason"]) == (10, "FACTS_CONFLICT")
        assert resolved.exit_code == 0, resolved.output
        assert after.exit_code == 0, after.output


@pytest.mark.slow
def test_service_ends_in_order_and_is_unavailable_afterwards(tmp_path: Path) -> None:
    """SIGTERM ends with 0; every verb that needs the service then ends with 11."""
    with serving(made_place(tmp_path)) as own:
        ended = own.stop()

        verbs = (("check", "ana", "hers"), ("healthcheck",), ("status",), ("policy", "status"))
        codes = [own.ask(*words).exit_code for words in verbs]

    assert ended == 0
    assert codes == [11, 11, 11, 11]


def test_second_service_on_the_same_journal_does_not_start(served: Served) -> None:
    """One writer a journal; the second says so and touches nothing."""
    second = served.place.run("serve")

    assert second.returncode == 11
    assert "another writer holds the journal" in second.stderr
    assert "end the other service, or choose another AUTHZ_JOURNAL_DIR" in second.stderr


def test_service_on_a_taken_port_does_not_start(served: Served, tmp_path: Path) -> None:
    """Two services on one port would split the calls silently."""
    taken = served.addresses["AUTHZ_LISTEN"]

    second = served.place.run(
        "serve", "--listen", taken, AUTHZ_JOURNAL_DIR=str(tmp_path / "journal")
    )

    assert second.returncode == 1
    assert f"AUTHZ_LISTEN={taken} is taken" in second.stderr


@pytest.mark.parametrize("form", ["text", "json"])
def test_output_that_cannot_be_written_is_said(form: str, served: Served) -> None:
    """A full disk under a redirected output is an error of one line, not a lost answer."""
    with Path("/dev/full").open("w", encoding="ascii") as full:
        done = subprocess.run(
            [*AUTHZ, "facts", "verify", "--format", form],
            env=served.place.environment(), stdout=full, stderr=subprocess.PIPE, text=True,
            timeout=60, check=False,
        )  # fmt: skip

    assert (done.returncode, done.stderr) == (1, "authz: no space left on device\n")


def test_names_of_any_bytes_can_be_said(served: Served) -> None:
    """A file's name need not be text; the message shows it all the same."""
    done = served.place.run("policy", "validate", "/nowhere/\udcff")

    assert done.returncode == 3
    assert "/nowhere/\\udcff" in done.stdout


def test_reader_that_leaves_early_is_no_failure_to_talk_about(served: Served) -> None:
    """`authz facts export | head -1` ends without a word."""
    process = subprocess.Popen(
        [*AUTHZ, "facts", "export"], env=served.place.environment(), stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, pipesize=4096,
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.close()

    assert process.stderr is not None
    complaint = process.stderr.read()
    process.wait(timeout=20)
    process.stderr.close()

    assert process.returncode == 1
    assert complaint == ""
