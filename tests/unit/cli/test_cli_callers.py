"""`authz policy callers`: who may what, in words, and who gains and loses by another file."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.cli.cli_runs import document, run

ESTATE = Path(__file__).parents[3] / "examples" / "callers.estate.csv"
BOOKING = "spiffe://clinic.example/booking"
HEADER = "caller,rpcs,tenants,actions,purposes,writes,may\n"
IDLE = "spiffe://clinic.example/gateway,GetActivePolicy,*,,,,explain\n"
GATEWAY = "spiffe://clinic.example/gateway,CheckAccess,uk,{},PATRQT,,{}\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file with a gateway, and loopback beside it."""
    return written(tmp_path / "callers.csv", GATEWAY.format("VIEW|LIST", ""))


def written(path: Path, *rows: str) -> Path:
    """Write such rows to *path*; return it."""
    path.write_text(HEADER + "loopback,*,*,*,*,*,\n" + "".join(rows), encoding="utf-8")
    return path


def paragraph(text: str, caller: str) -> dict[str, str]:
    """Return what is said of *caller*, by name."""
    lines = text.split(f"\n{caller}\n")[1].split("\n\n", maxsplit=1)[0].splitlines()
    return {
        name.strip(): said.strip() for name, said in (line[2:].split("  ", 1) for line in lines)
    }


def test_each_caller_is_told_of_in_words() -> None:
    result = run("policy", "callers", str(ESTATE))

    assert result.exit_code == 0
    assert result.stdout.startswith(f"{ESTATE}  7 callers, revision ")
    booking = paragraph(result.stdout, BOOKING)
    assert booking["writes"] == "consultation as booking"
    assert booking["asks about"] == "nothing"
    assert booking["is told"] == "nothing"
    gateway = paragraph(result.stdout, "spiffe://clinic.example/media-gateway")
    assert gateway["is told"] == "whether access is allowed"
    assert gateway["is not told"].startswith(
        "why and by which rule; stored facts; the decision log"
    )
    auditors = paragraph(result.stdout, "spiffe://clinic.example/auditors")
    assert auditors["is told"] == "the decision log; which policy is in force"
    assert auditors["for tenants"] == "every tenant"


def test_one_caller_may_be_asked_for() -> None:
    result = run("policy", "callers", str(ESTATE), "--caller", BOOKING, "--format", "json")

    told = document(result)
    assert told["valid"] is True
    assert len(told["callers_revision"]) == 64
    assert told["callers"] == [
        {
            "caller": BOOKING,
            "rpcs": ["WriteFacts"],
            "tenants": ["harbour-clinic", "north-practice"],
            "actions": [],
            "purposes": [],
            "writes": {"consultation": "booking"},
            "may": [],
            "is_told": [],
            "is_not_told": [
                "whether access is allowed",
                "why and by which rule",
                "stored facts",
                "the decision log",
                "which policy is in force",
            ],
        }
    ]


def test_an_unknown_caller_is_told_the_nearest() -> None:
    result = run("policy", "callers", str(ESTATE), "--caller", BOOKING + "s")

    assert result.exit_code == 1
    assert "has no row for spiffe://clinic.example/bookings" in result.stderr
    assert f"did you mean {BOOKING}?" in result.stderr


def test_the_file_is_that_of_the_setting(file: Path) -> None:
    result = run("policy", "callers", env={"AUTHZ_CALLERS_FILE": str(file)})

    assert result.stdout.startswith(f"{file}  2 callers")
    assert "every RPC" in result.stdout
    assert "for trials on one machine" in result.stdout


def test_a_defective_file_ends_with_the_code_of_a_defective_policy(tmp_path: Path) -> None:
    bad = written(tmp_path / "bad.csv", GATEWAY.format("VEIW", "explian"))

    result = run("policy", "callers", str(bad))
    plain = run("policy", "callers", str(bad), "--format", "json")

    assert (result.exit_code, plain.exit_code) == (3, 3)
    first, second = result.stdout.splitlines()
    assert first == f"{bad}:3:48: no action is called 'VEIW' (did you mean VIEW?)"
    assert second == f"{bad}:3:61: no power is called 'explian' (did you mean explain?)"
    assert "the callers file is refused: 2 problems" in result.stderr
    told = document(plain)
    assert told["valid"] is False
    assert [each["column"] for each in told["problems"]] == [48, 61]


def test_who_gains_and_who_loses_is_told(file: Path, tmp_path: Path) -> None:
    new = "spiffe://clinic.example/auditors,ListDecisions,*,,,,read_log\n"
    other = written(tmp_path / "other.csv", GATEWAY.format("VIEW|EXPORT", "explain"), new)

    result = run("policy", "callers", str(file), "--diff", str(other))

    assert result.exit_code == 0
    _, *told = result.stdout.split("\n\n")
    assert [paragraph.strip().splitlines() for paragraph in told] == [
        [
            "spiffe://clinic.example/gateway  changes",
            "  + actions   EXPORT",
            "  + may       explain",
            "  - actions   LIST",
        ],
        [
            "spiffe://clinic.example/auditors  is new",
            "  + rpcs      ListDecisions",
            "  + tenants   everything",
            "  + may       read_log",
        ],
    ]


def test_a_caller_that_is_taken_away_loses_all_that_it_had(file: Path, tmp_path: Path) -> None:
    other = written(tmp_path / "other.csv")

    told = document(run("policy", "callers", str(file), "--diff", str(other), "--format", "json"))

    (gateway,) = told["callers"]
    assert (gateway["change"], gateway["gains"]) == ("is UNAUTHENTICATED", {})
    assert gateway["loses"] == {
        "rpcs": ["CheckAccess"],
        "tenants": ["uk"],
        "actions": ["LIST", "VIEW"],
        "purposes": ["PATRQT"],
    }


def test_a_star_in_the_place_of_words_gains_all_the_others(file: Path, tmp_path: Path) -> None:
    other = written(tmp_path / "other.csv", GATEWAY.format("*", ""))

    gained = document(run("policy", "callers", str(file), "--diff", str(other), "--format", "json"))
    lost = document(run("policy", "callers", str(other), "--diff", str(file), "--format", "json"))

    assert gained["callers"][0]["gains"] == {"actions": ["everything but LIST, VIEW"]}
    assert gained["callers"][0]["loses"] == {}
    assert lost["callers"][0]["loses"] == {"actions": ["everything but LIST, VIEW"]}
    assert lost["callers"][0]["gains"] == {}


def test_files_that_differ_in_comments_grant_the_same(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    other.write_text("# as before\n" + file.read_text())

    result = run("policy", "callers", str(file), "--diff", str(other))

    assert "nobody gains or loses anything" in result.stdout


def test_what_is_doubtful_is_warned_of_and_no_failure(file: Path, tmp_path: Path) -> None:
    doubtful = written(tmp_path / "doubtful.csv", IDLE)
    warning = f"warning: {doubtful}:3:54: there is explain, and no CheckAccess"

    result = run("policy", "callers", str(doubtful))
    plain = run("policy", "callers", str(doubtful), "--format", "json")
    compared = run("policy", "callers", str(file), "--diff", str(doubtful))
    both = document(
        run("policy", "callers", str(file), "--diff", str(doubtful), "--format", "json")
    )

    assert (result.exit_code, plain.exit_code, compared.exit_code) == (0, 0, 0)
    assert result.stdout.splitlines()[1].startswith(warning)
    assert "(remove it:" in result.stdout.splitlines()[1]
    told = document(plain)
    assert (told["valid"], told["problems"]) == (True, [])
    assert [(each["kind"], each["column"]) for each in told["warnings"]] == [("doubtful", 54)]
    assert compared.stdout.splitlines()[2].startswith(warning)
    assert (both["from"]["warnings"], both["to"]["warnings"]) == ([], told["warnings"])


def test_powers_that_give_nothing_yet_are_said_to(tmp_path: Path) -> None:
    early = written(tmp_path / "early.csv", GATEWAY.format("VIEW", "omit_token"))

    told = paragraph(run("policy", "callers", str(early)).stdout, GATEWAY.partition(",")[0])

    assert told["for later"] == "omit_token: known words that give nothing yet"


def test_what_a_caller_may_besides_is_said(tmp_path: Path) -> None:
    powers = "review|contain|assert_assurance"
    file = written(tmp_path / "powers.csv", GATEWAY.format("VIEW", powers))

    told = paragraph(run("policy", "callers", str(file)).stdout, GATEWAY.partition(",")[0])

    assert told["besides"] == (
        "is believed when it says how a person has logged in; "
        "stops access and lifts what stops it; writes reviews of grants and delegations"
    )
