"""Are the hashed pins in requirements/ those of the .in files? Answered without a network.

`resolve` (in tools/lock.py) asks the registry as well, where it can be reached.
"""

from __future__ import annotations

import dataclasses
import re
import tomllib
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

SETS = ("build", "runtime", "test")
PYTHONS = ("3.11", "3.12", "3.13")
_PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^ ;\\]+)(?: ; (?P<marker>[^\\]+))?")
_HASH = re.compile(r"^--hash=sha256:[0-9a-f]{64}$")
_HOST = re.compile(r"https?://|--(?:extra-)?index-url|--find-links| @ ")


@dataclasses.dataclass(frozen=True, slots=True)
class Pin:
    """One locked release; `marker` says on which machines it counts."""

    name: str
    version: str
    marker: str
    hashes: int


def pins(path: Path) -> list[Pin]:
    """The pins of a lock file; raises `ValueError` on a line that is none."""
    found: list[Pin] = []
    for line in _joined(path):
        head, *options = line.split(" --hash=")
        match = _PIN.match(head)
        if match is None:
            raise ValueError(f"{path.name}: not a pin: {line[:80]}")
        hashes = [f"--hash={option.strip()}" for option in options]
        if not all(_HASH.match(option) for option in hashes):
            raise ValueError(f"{path.name}: not a SHA-256: {line[:80]}")
        marker = (match["marker"] or "").strip()
        found.append(Pin(canonicalize_name(match["name"]), match["version"], marker, len(hashes)))
    return found


def _joined(path: Path) -> Iterable[str]:
    text = path.read_text(encoding="utf-8").replace("\\\n", " ")
    for raw in text.splitlines():
        line = " ".join(raw.split("#")[0].split())
        if line:
            yield line


def wanted(path: Path) -> list[Requirement]:
    """What an .in file asks for, with the files that it includes by `-r`."""
    found: list[Requirement] = []
    for line in _joined(path):
        if line.startswith("-r "):
            found += wanted(path.parent / line[3:].strip())
        elif not line.startswith("-c "):
            found.append(Requirement(line))
    return found


def held(folder: Path) -> list[Requirement]:
    """What requirements/held.in holds back, for as long as runtime.in takes it as its constraints."""
    if "-c held.in" not in _joined(folder / "runtime.in"):
        return []
    return wanted(folder / "held.in")


def faults(root: Path) -> list[str]:
    """What is wrong with the locks, one line each; empty when they are fresh."""
    folder = root / "requirements"
    found: list[str] = []
    locked: dict[str, list[Pin]] = {}
    for name in SETS:
        path = folder / f"{name}.txt"
        try:
            locked[name] = pins(path)
        except ValueError as error:
            found.append(str(error))
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if _HOST.search(line):
                found.append(f"{path.name}:{number} names a host or a URL")
        found += [f"{path.name}: {pin.name} has no hash" for pin in locked[name] if not pin.hashes]
        found += _unanswered(path.name, wanted(folder / f"{name}.in"), locked[name])
        found += _strangers(path.name, wanted(folder / f"{name}.in"), locked[name])
    found += _unanswered("runtime.txt", held(folder), locked.get("runtime", []))
    if len(locked) == len(SETS):
        runtime = {(pin.name, pin.version, pin.marker) for pin in locked["runtime"]}
        test = {(pin.name, pin.version, pin.marker) for pin in locked["test"]}
        found += [
            f"test.txt: {name}=={version} differs from runtime.txt"
            for name, version, marker in runtime - test
            if (name, version, "") not in test  # a pin for every machine is one for some
        ]
    return found + _package(root, locked.get("runtime", []))


def _unanswered(file: str, asked: list[Requirement], locked: list[Pin]) -> list[str]:
    found: list[str] = []
    for requirement in asked:
        here = [pin for pin in locked if pin.name == canonicalize_name(requirement.name)]
        if not here:
            found.append(f"{file}: nothing pins {requirement}")
        for pin in here:
            if not requirement.specifier.contains(pin.version, prereleases=True):
                found.append(f"{file}: {pin.name}=={pin.version} is not {requirement}")
    return found


def _strangers(file: str, asked: list[Requirement], locked: list[Pin]) -> list[str]:
    """Walks from what was asked through the installed packages' own requirements.

    Only what is installed at its pinned version can be walked; a pin that has a marker may belong to another
    machine or Python, so it is not called a stranger.
    """
    by_name: dict[str, list[Pin]] = {}
    for pin in locked:
        by_name.setdefault(pin.name, []).append(pin)
    seen: set[tuple[str, str]] = set()
    waiting = [(requirement, "") for requirement in asked]
    found: list[str] = []
    blind = False
    while waiting:
        requirement, why = waiting.pop()
        name = canonicalize_name(requirement.name)
        here = by_name.get(name)
        if here is None:
            found.append(f"{file}: {why} needs {requirement}, which is not pinned")
            continue
        found += [
            f"{file}: {why} needs {requirement}, but {pin.version} is pinned"
            for pin in here
            if why and not pin.marker and not requirement.specifier.contains(pin.version, prereleases=True)
        ]
        for extra in ("", *requirement.extras):
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            try:
                package = metadata.distribution(name)
            except metadata.PackageNotFoundError:
                blind = blind or any(not pin.marker for pin in here)
                continue
            if package.version not in {pin.version for pin in here}:
                blind = True
                continue
            for text in package.requires or []:
                needed = Requirement(text)
                if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                    waiting.append((needed, f"{name}=={package.version}"))
    reached = {name for name, _ in seen}
    if not blind:
        found += [
            f"{file}: nothing needs {pin.name}=={pin.version}"
            for pin in locked
            if not pin.marker and pin.name not in reached
        ]
    return found


def _package(root: Path, runtime: list[Pin]) -> list[str]:
    """The package's own dependencies are the names of runtime.in, and admit the pins."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = [Requirement(text) for text in project["dependencies"]]
    names = {canonicalize_name(requirement.name) for requirement in declared}
    asked = {canonicalize_name(requirement.name) for requirement in wanted(root / "requirements" / "runtime.in")}
    found = [f"pyproject.toml and runtime.in differ in {name}" for name in sorted(names ^ asked)]
    return found + _unanswered("pyproject.toml", declared, runtime)
