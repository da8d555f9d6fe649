"""The words of the command line: its verbs, their help, and what a slip ends with."""

from __future__ import annotations

import inspect
import re

import pytest

from authz_service.cli.client_tls import VARIABLES
from authz_service.cli.serve import serve
from authz_service.cli.wording import start_hint
from authz_service.settings import Settings
from tests.marked import PASSWORD
from tests.unit.cli.cli_runs import NOBODY, document, run

VERBS = (
    ("serve",),
    ("check",),
    ("list",),
    ("contain",),
    ("lift",),
    ("containments",),
    ("status",),
    ("doctor",),
    ("healthcheck",),
    ("facts", "import"),
    ("facts", "export"),
    ("facts", "verify"),
    ("facts", "conflicts"),
    ("facts", "resolve"),
    ("policy", "validate"),
    ("policy", "test"),
    ("policy", "status"),
    ("policy", "reload"),
    ("decisions", "list"),
    ("decisions", "show"),
    ("decisions", "ship"),
)
RESOLVE = ("facts", "resolve", "ra1", "--actor", "jo.doe", "--reason", "ticket 4711")


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_every_verb_shows_an_example(verb: tuple[str, ...]) -> None:
    """The help of a verb is its documentation: it has an example to copy."""
    result = run(*verb, "--help")

    assert result.exit_code == 0
    assert re.search(rf"Examples?:\s+.*authz {' '.join(verb)}", result.stdout, re.DOTALL)


def test_version_is_that_of_the_package() -> None:
    """What `--version` says is what was installed."""
    result = run("--version")

    assert (result.exit_code, result.stdout) == (0, "authz 0.1.0\n")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        pytest.param(("bogus",), 2, id="unknown-verb"),
        pytest.param(("check", "ana"), 2, id="recording-missing"),
        pytest.param(("check", "a b", "r"), 2, id="subject-with-a-blank"),
        pytest.param(("check", "ana", "r-"), 2, id="recording-ends-in-a-dash"),
        pytest.param(("check", "\u00e4na", "r"), 2, id="subject-not-ascii"),
        pytest.param(("check", "ana", "x" * 129), 2, id="recording-of-129-bytes"),
        pytest.param(("check", "ana", "\udcff"), 2, id="recording-not-utf-8"),
        pytest.param(("check", "ana", "r", "--tenant", ""), 2, id="tenant-empty"),
        pytest.param(("list",), 2, id="list-without-a-subject"),
        pytest.param(("list", "a b"), 2, id="list-of-a-subject-with-a-blank"),
        pytest.param(("list", "ana", "--patient", "*"), 2, id="list-of-all-patients"),
        pytest.param(("list", "ana", "--page-size", "0"), 2, id="page-of-none"),
        pytest.param(("list", "ana", "--page-size", "501"), 2, id="page-too-long"),
        pytest.param(("list", "ana", "--from", "monday"), 2, id="list-from-no-instant"),
        pytest.param(
            ("list", "ana", "--from", "2020-06-02T00:00:00Z", "--to", "2020-06-02T00:00:00Z"),
            2,
            id="list-of-no-time",
        ),
        pytest.param(("list", "ana", "--offline", "--page-token", "x"), 2, id="token-offline"),
        pytest.param(("check", "ana", "r", "--matter", "m m"), 2, id="matter-with-a-blank"),
        pytest.param(("check", "ana", "r", "--action", "WATCH"), 2, id="unknown-action"),
        pytest.param(("check", "ana", "r", "--purpose", "FUN"), 2, id="unknown-purpose"),
        pytest.param(("check", "ana", "r", "--at-least-revision", "-1"), 2, id="revision-below-0"),
        pytest.param(("check", "ana", "r", "--authenticated-at", "noon"), 2, id="no-instant"),
        pytest.param(
            ("check", "ana", "r", "--authenticated-at", "2020-06-09T14:00:00"), 2, id="no-zone"
        ),
        pytest.param(
            ("check", "ana", "r", "--authenticated-at", "0001-01-01T00:00:00+02:00"),
            2,
            id="before-time",
        ),
        pytest.param(("check", "ana", "r", "--address", NOBODY), 11, id="check-nobody"),
        pytest.param(("check", "ana", "r", "--address", "nonsense"), 2, id="no-address"),
        pytest.param(("status", "--address", "127.0.0.1:65536"), 2, id="port-above-all"),
        pytest.param(("status", "--http-address", ":9464"), 2, id="http-address-without-host"),
        pytest.param(("healthcheck", "--address", "127.0.0.1:x"), 2, id="port-no-number"),
        pytest.param(("healthcheck", "--address", NOBODY), 11, id="healthcheck-nobody"),
        pytest.param(("status", "--address", NOBODY), 11, id="status-nobody"),
        pytest.param(("policy", "status", "--address", NOBODY), 11, id="policy-status-nobody"),
        pytest.param(
            ("policy", "reload", "--actor", "jo", "--address", NOBODY), 11, id="reload-nobody"
        ),
        pytest.param((*RESOLVE, "--address", NOBODY), 11, id="resolve-nobody"),
        pytest.param(("policy", "reload", "--address", NOBODY), 2, id="reload-without-actor"),
        pytest.param(("policy", "reload", "--actor", "jo doe"), 2, id="reload-actor-no-id"),
        pytest.param((*RESOLVE, "--reason", " "), 2, id="resolve-without-reason"),
        pytest.param((*RESOLVE, "--reason", "\udcff"), 2, id="resolve-reason-not-utf-8"),
        pytest.param(("serve", "--listen", "nowhere"), 2, id="serve-address-malformed"),
        pytest.param(("serve", "--facts-staleness-ms", "501"), 2, id="serve-staleness-over-500"),
        pytest.param(("serve", "--fixed-clock", "2020-06-09T14:00:00Z"), 2, id="serve-fixed-clock"),
        pytest.param(("serve", "--no-insecure-loopback"), 1, id="serve-without-callers-identity"),
    ],
)  # fmt: skip
def test_exit_codes(words: tuple[str, ...], code: int) -> None:
    """A slip is 2, silence is 11, and what is wrong otherwise is 1; each is said on stderr."""
    result = run(*words)

    assert result.exit_code == code
    assert result.stderr.strip() or "UNREACHABLE" in result.stdout


def test_unknown_setting_is_refused_with_its_name() -> None:
    """A misspelt variable would otherwise be a setting that silently is not made."""
    result = run("serve", env={"AUTHZ_JOURNAL": "x"})

    assert result.exit_code == 2
    assert result.stderr.startswith("authz: AUTHZ_JOURNAL is not a setting")


@pytest.mark.parametrize(
    "verb",
    [
        pytest.param(("check", "ana", "r"), id="check"),
        pytest.param(("status",), id="status"),
        pytest.param(("policy", "status"), id="policy-status"),
        pytest.param(("policy", "reload", "--actor", "jo"), id="policy-reload"),
        pytest.param(("policy", "validate"), id="policy-validate"),
        pytest.param(("policy", "test"), id="policy-test"),
        pytest.param(("facts", "verify"), id="facts-verify"),
        pytest.param(RESOLVE, id="facts-resolve"),
        pytest.param(("decisions", "list"), id="decisions-list"),
        pytest.param(("decisions", "show", "d1"), id="decisions-show"),
    ],
)
def test_every_verb_refuses_a_misspelt_setting(verb: tuple[str, ...]) -> None:
    """Else it would ask another service, or look at another policy, than was meant."""
    result = run(*verb, env={"AUTHZ_LISTEM": "127.0.0.1:1"})

    assert result.exit_code == 2
    assert result.stderr.startswith("authz: AUTHZ_LISTEM is not a setting")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        pytest.param(("healthcheck", "--address", NOBODY), 11, id="healthcheck"),
        pytest.param(("check", "--help"), 0, id="help"),
    ],
)
def test_probe_and_help_do_without_settings(words: tuple[str, ...], code: int) -> None:
    """A probe answers for the service; help is for whoever has to correct the setting."""
    assert run(*words, env={"AUTHZ_LISTEM": "x"}).exit_code == code


@pytest.mark.parametrize(("option", "word"), [("--action", "READ_METADATA"), ("--purpose", "BTG")])
def test_choices_are_shown_as_they_are_written(option: str, word: str) -> None:
    """In capitals, as in the policy's files and in the records."""
    result = run("check", "ana", "r", option, "FOO")

    assert word in result.stderr
    assert "Value error" not in result.stderr


def test_password_in_a_malformed_url_is_not_printed() -> None:
    """What a setting holds is never repeated: it may be a password."""
    result = run("facts", "verify", "--registry-url", f"mysql://jo:{PASSWORD}@db/facts")

    assert result.exit_code == 11
    assert PASSWORD not in result.output


def test_failure_is_one_json_document_for_programs() -> None:
    """A program that asked for JSON gets JSON, whatever happens; people read stderr."""
    result = run("check", "ana", "r", "--address", NOBODY, "--format", "json")

    assert document(result)["error"] == {
        "reason": "NO_ANSWER",
        "message": f"no service answers at {NOBODY}",
        "details": [],
        "hint": "start it with: authz serve --insecure-loopback, or: make run; "
        "or name another with --address",
        "exit_code": 11,
    }
    assert "no service answers" in result.stderr


def test_status_of_nothing_is_one_json_document() -> None:
    """A monitor reads the same fields whether the service is there or not."""
    result = run("status", "--address", NOBODY, "--format", "json")

    found = document(result)
    assert (found["serving"], found["health"], found["policy"]) == (False, "UNREACHABLE", None)


def test_serve_has_a_flag_for_every_setting() -> None:
    """A new setting without its flag fails here."""
    assert set(inspect.signature(serve).parameters) == set(Settings.model_fields)


def test_serve_passes_on_every_flag() -> None:
    """Each flag reaches its setting: a wrong value of any is refused under that setting's name."""
    wrong = {
        "listen": "x", "http_listen": "x", "registry_url": "", "facts_staleness_ms": "x",
        "facts_cache_entries": "x", "journal_segment_bytes": "x", "log_format": "x",
        "drain_seconds": "x", "fixed_clock": "x", "denial_step_ms": "x",
    }  # fmt: skip

    for name, value in wrong.items():
        result = run("serve", f"--{name.replace('_', '-')}", value)
        assert (name, result.exit_code) == (name, 2)
        assert f"AUTHZ_{name.upper()}" in result.stderr


def test_colour_is_for_terminals() -> None:
    """What goes to a file or a pipe has no escape sequences in it."""
    result = run("status", "--address", NOBODY)

    assert "\x1b" not in result.output


@pytest.mark.parametrize("name", ["AUTHZ_TLS_CERT", "AUTHZ_SERVER_CA"])
def test_where_there_are_certificates_nobody_is_told_to_serve_plaintext(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for each in ("AUTHZ_TLS_CERT", "AUTHZ_TLS_KEY", "AUTHZ_CLIENT_CA", *VARIABLES):
        monkeypatch.delenv(each, raising=False)
    plain = start_hint()
    monkeypatch.setenv(name, "/certs/a.crt")

    assert plain == "start it with: authz serve --insecure-loopback, or: make run"
    assert start_hint() == start_hint(over_tls=True) == "start it with: authz serve"


def test_help_says_which_code_a_defective_callers_file_is() -> None:
    said = " ".join(run("--help").stdout.split())

    assert "3 invalid policy or callers file" in said
