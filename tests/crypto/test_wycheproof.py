"""Every case of the Wycheproof files through the doors, and that what is wrong there would be found."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from crypto import ledger, wycheproof
from crypto.ledger import Refusal
from crypto.wycheproof import FILES, Doors, Tally, WrongOutput, judged, lines, run
from vectors_dir import vectors

ED25519 = "ed25519_test.json"
X448 = "x448_test.json"
TOTAL = 3624


@pytest.mark.parametrize("file", FILES)
def test_every_case_is_met_or_refused_as_the_ledger_says(file: str) -> None:
    tally = run(file, FILES[file])
    assert not tally.wrong, "\n".join(tally.wrong)
    assert tally.met + len(tally.refused) == FILES[file].count


def test_every_file_that_is_there_is_run() -> None:
    assert {path.name for path in vectors("wycheproof").glob("*.json")} == set(FILES)
    assert sum(doors.count for doors in FILES.values()) == TOTAL


def test_the_last_line_is_the_sum(capsys: pytest.CaptureFixture[str]) -> None:
    vectors("wycheproof")
    assert wycheproof.main() == 0
    printed = capsys.readouterr().out.splitlines()
    refused = sum(entry.count for entry in ledger.entries() if entry.file in FILES)
    assert len(printed) == len(FILES) + 1
    assert printed[-1] == f"{TOTAL} cases: {TOTAL - refused} met, {refused} refused"


def test_what_is_wrong_is_printed_and_ends_the_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(wycheproof, "FILES", {ED25519: FILES[ED25519]})
    monkeypatch.setattr(wycheproof, "run", lambda file, doors: Tally(met=150, wrong=["case 7 is wrong"]))
    assert wycheproof.main() == 1
    assert capsys.readouterr().out.splitlines() == [
        "ed25519_test.json: 150 met, 0 refused",
        "  case 7 is wrong",
        "151 cases: 150 met, 0 refused",
    ]


def test_without_the_files_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TACIT_VECTORS", str(tmp_path))
    assert wycheproof.main() == 2
    assert "TACIT_VECTORS" in capsys.readouterr().err


def answering(answer: object) -> Callable[[Any], Callable[[Any], bool]]:
    def took(case: Any) -> bool:
        if isinstance(answer, Exception):
            raise answer
        return bool(answer)

    return lambda group: took


@pytest.mark.parametrize(
    ("answer", "wrong"), [(True, 63), (False, 88), (WrongOutput("gave 00"), 151)], ids=["yes", "no", "something else"]
)
def test_a_door_that_answers_wrongly_is_found(answer: object, wrong: int) -> None:
    assert len(run(ED25519, Doors(151, answering(answer))).wrong) == wrong


@pytest.mark.parametrize("answer", [True, False])
def test_a_limit_is_neither_passed_nor_unstated(answer: bool) -> None:
    everything = Doors(510, answering(answer), lambda group, case: "a limit")
    found = run(X448, everything)
    refused = [line for line in found.wrong if not line.startswith("refused.json")]
    assert len(refused) == (510 if answer else 0)
    nothing = Doors(510, FILES[X448].took)
    assert len([line for line in run(X448, nothing).wrong if "(acceptable)" in line]) == 11


@pytest.mark.parametrize(
    ("result", "took", "limit", "verdict"),
    [
        ("valid", True, None, "met"),
        ("valid", False, None, "wrong"),
        ("valid", True, "a limit", "wrong"),
        ("valid", False, "a limit", "refused"),
        ("acceptable", True, None, "met"),
        ("acceptable", False, None, "wrong"),
        ("acceptable", False, "a limit", "refused"),
        ("invalid", True, None, "wrong"),
        ("invalid", True, "a limit", "wrong"),
        ("invalid", False, None, "met"),
        ("invalid", False, "a limit", "met"),
    ],
)
def test_what_a_case_counts_as(result: str, took: bool, limit: str | None, verdict: str) -> None:
    assert judged(result, took, limit) == verdict


def test_another_number_of_cases_is_found() -> None:
    found = run(ED25519, Doors(152, FILES[ED25519].took))
    assert found.wrong == ["ed25519_test.json has 151 cases, not 152"]


def test_a_file_that_a_door_differs_from_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each file, with one valid case bent in the vectors: its checks see it."""
    for file, doors in FILES.items():
        content = json.loads(vectors("wycheproof", file).read_text(encoding="utf-8"))
        number = bend(file, doors, content)
        target = tmp_path / "wycheproof" / file
        target.parent.mkdir(exist_ok=True)
        target.write_text(json.dumps(content), encoding="utf-8")
        with monkeypatch.context() as there:
            there.setenv("TACIT_VECTORS", str(tmp_path))
            found = run(file, doors).wrong
        assert len(found) == 1, (file, found)
        assert found[0].startswith(f"{file} case {number} (valid) is wrong")


def bend(file: str, doors: Doors, content: Any) -> int:
    """Changes what the first valid case within the limits must give."""
    for group in content["testGroups"]:
        for case in group["tests"]:
            if case["result"] == "valid" and doors.limit(group, case) is None:
                name = next(name for name in ("tag", "shared", "sig", "okm", "dk", "K", "ct") if case.get(name))
                case[name] = f"{int(case[name][:2], 16) ^ 1:02x}{case[name][2:]}"
                return int(case["tcId"])
    raise AssertionError(file)


def test_the_sum_counts_every_file() -> None:
    tallies = [(ED25519, Tally(met=151)), (X448, Tally(met=509, refused=[Refusal("", "a limit")]))]
    assert list(lines(tallies))[-1] == "661 cases: 660 met, 1 refused"
