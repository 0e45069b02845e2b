"""`tacit conformance mls`: what it prints of vector files, sound, bent and unknown."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tacit.cli.main import tacit
from vectors_dir import load, vectors


def run(*paths: Path) -> Result:
    return CliRunner().invoke(tacit, ["conformance", "mls", *map(str, paths)])


def written(path: Path, cases: Any) -> Path:
    path.write_text(json.dumps(cases), encoding="utf-8")
    return path


def test_sound_files_pass_and_are_counted() -> None:
    done = run(vectors("mls", "crypto-basics.json"), vectors("mls", "tree-math.json"))
    assert (done.exit_code, done.output) == (0, "17 passed, 0 failed\n")


def test_a_file_may_have_any_name_and_any_part_of_the_cases(tmp_path: Path) -> None:
    done = run(written(tmp_path / "some", load("mls", "transcript-hashes.json")[2:5]))
    assert (done.exit_code, done.output) == (0, "3 passed, 0 failed\n")


def test_a_folder_stands_for_its_files(tmp_path: Path) -> None:
    for name in ("welcome.json", "psk_secret.json"):
        shutil.copy(vectors("mls", name), tmp_path)
    (tmp_path / "README.md").write_text("no vectors", encoding="utf-8")
    assert run(tmp_path).output == "84 passed, 0 failed\n"


def test_a_folder_without_files_is_wrong_usage(tmp_path: Path) -> None:
    done = run(tmp_path)
    assert done.exit_code == 2
    assert "there is no .json file in" in done.output


def test_a_failure_is_told_by_file_and_case(tmp_path: Path) -> None:
    cases = load("mls", "tree-math.json")
    cases[3]["root"] += 1
    path = written(tmp_path / "bent.json", cases)
    done = run(path, vectors("mls", "welcome.json"))
    assert done.exit_code == 1
    assert done.output == f"{path}: tree-math case 3: root: not what the file says\n16 passed, 1 failed\n"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b'[{"colour": "red"}]', "unknown format: no vector file has cases of colour"),
        (b"[]", "a vector file is a list of one case or more, each an object"),
        (b"{", "it cannot be read as JSON: JSONDecodeError"),
        (b"\xff\xfe\xff", "it cannot be read as JSON: UnicodeDecodeError"),
        (b"[" * 100_000, "it cannot be read as JSON: RecursionError"),
    ],
)
def test_a_file_that_cannot_be_run_is_one_failure_and_the_others_are_run(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    path = tmp_path / "odd.json"
    path.write_bytes(content)
    done = run(path, vectors("mls", "deserialization.json"))
    assert done.exit_code == 1
    first, last = done.output.splitlines()
    assert first.startswith(f"{path}: {reason}")
    assert last == "14 passed, 1 failed"


def test_what_a_file_says_cannot_steer_the_terminal(tmp_path: Path) -> None:
    done = run(written(tmp_path / "odd.json", [{"\x1b[2J": 1}]))
    assert done.exit_code == 1
    assert "\x1b" not in done.output


def test_a_file_that_is_not_there_is_wrong_usage(tmp_path: Path) -> None:
    assert run(tmp_path / "none.json").exit_code == 2
    assert run().exit_code == 2
