"""The lock files are fresh, and a stale one is noticed without a network."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tools import locks

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def edit(path: Path, change: Callable[[str], str]) -> None:
    before = path.read_text(encoding="utf-8")
    after = change(before)
    assert after != before
    path.write_text(after, encoding="utf-8")


def test_the_locks_are_fresh() -> None:
    assert locks.faults(ROOT) == []


def test_a_wish_that_nothing_pins_is_noticed(copy: Path) -> None:
    edit(copy / "requirements" / "runtime.in", lambda text: text + "segno==1.6.*\n")
    assert any("nothing pins segno" in fault for fault in locks.faults(copy))


def test_a_pin_outside_its_wish_is_noticed(copy: Path) -> None:
    edit(copy / "requirements" / "runtime.in", lambda text: text.replace("litestar==2.25.0", "litestar==2.24.0"))
    assert "runtime.txt: litestar==2.25.0 is not litestar==2.24.0" in locks.faults(copy)


def test_a_release_that_is_held_back_stays_the_one_that_is_pinned(copy: Path) -> None:
    folder = copy / "requirements"
    assert [str(each) for each in locks.held(folder)] == ["importlib-metadata==8.9.0"]
    assert not any(
        pin.name == "lazy-importer" for name in ("runtime", "test") for pin in locks.pins(folder / f"{name}.txt")
    )
    edit(folder / "held.in", lambda text: text.replace("==8.9.0", "==8.8.0"))
    assert "runtime.txt: importlib-metadata==8.9.0 is not importlib-metadata==8.8.0" in locks.faults(copy)
    edit(folder / "runtime.in", lambda text: text.replace("-c held.in\n", ""))
    assert locks.held(folder) == []


def test_a_pin_that_nothing_needs_is_noticed(copy: Path) -> None:
    extra = "wheel==1.0 \\\n    --hash=sha256:" + "0" * 64 + "\n"
    edit(copy / "requirements" / "test.txt", lambda text: text + extra)
    assert "test.txt: nothing needs wheel==1.0" in locks.faults(copy)


def test_a_pin_without_a_hash_is_noticed(copy: Path) -> None:
    edit(copy / "requirements" / "build.txt", lambda text: text.split(" \\")[0] + "\n")
    assert "build.txt: flit-core has no hash" in locks.faults(copy)


def test_a_missing_transitive_pin_is_noticed(copy: Path) -> None:
    edit(copy / "requirements" / "test.txt", lambda text: text.replace("\nexecnet==", "\nexecuted=="))
    assert any("needs execnet" in fault for fault in locks.faults(copy))


def test_two_versions_of_one_runtime_pin_are_noticed(copy: Path) -> None:
    edit(copy / "requirements" / "test.txt", lambda text: text.replace("\nmnemonic==0.21", "\nmnemonic==0.21.0"))
    assert any("mnemonic==0.21 differs" in fault for fault in locks.faults(copy))


def test_a_host_is_noticed(copy: Path) -> None:
    edit(copy / "requirements" / "build.txt", lambda text: "# https://mirror.example.org/simple\n" + text)
    assert "build.txt:1 names a host or a URL" in locks.faults(copy)


def test_a_dependency_of_the_package_alone_is_noticed(copy: Path) -> None:
    edit(copy / "pyproject.toml", lambda text: text.replace('    "click",\n', ""))
    assert "pyproject.toml and runtime.in differ in click" in locks.faults(copy)
