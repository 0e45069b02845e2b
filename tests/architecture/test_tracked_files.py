"""What is committed names no package registry and no place on somebody's machine."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HOST = re.compile(
    r"\b(?:pypi|pythonhosted|npmjs|crates|golang|debian|maven)\.(?:org|com|io)\b|--(?:extra-)?index-url\s"
)
MACHINE = re.compile(r"(?<![\w.~$}/-])/(?:work|root|home|Users)/\w")


def tracked() -> list[Path]:
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    return [ROOT / name for name in done.stdout.decode().split("\0") if name]


def findings(path: Path, pattern: re.Pattern[str]) -> Iterator[str]:
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return
    for number, line in enumerate(text.splitlines(), 1):
        if pattern.search(line):
            yield f"{path}:{number}: {line.strip()[:100]}"


@pytest.mark.parametrize("pattern", [HOST, MACHINE], ids=["registry", "machine"])
def test_no_tracked_file_names(pattern: re.Pattern[str]) -> None:
    files = [path for path in tracked() if path.is_file()]
    assert len(files) > 20
    assert [found for path in files for found in findings(path, pattern)] == []


def test_the_search_finds_what_it_looks_for(tmp_path: Path) -> None:
    bad = tmp_path / "bad.txt"
    bad.write_text("index = https://files.python" + "hosted.org/x\nopen('/ro" + "ot/x')\n", encoding="utf-8")
    assert len(list(findings(bad, HOST))) == 1
    assert len(list(findings(bad, MACHINE))) == 1
