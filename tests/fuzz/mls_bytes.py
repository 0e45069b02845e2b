"""Changed bytes at every door of the MLS engine: so many times each, and on Linux guided by what they reach.

The second is atheris (libFuzzer), in a process of its own: it ends with one, and its instrumentation stays there.
"""

from __future__ import annotations

import importlib
import importlib.util
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any, Final

from changed_bytes import changed_bytes
from fuzz.failed import Failed

ATHERIS: Final = importlib.util.find_spec("atheris") is not None
"""There are wheels for Linux on x86-64 only."""


def mutated(seed: int, changes: int) -> tuple[int, int]:
    """So many changes at each door, the same for the same seed; gives how many were tried, and how many taken."""
    from fuzz import mls_doors

    random, tried, taken = Random(seed), 0, 0
    for opening in mls_doors.made().values():
        for place in range(changes):
            data = opening.corpus[place % len(opening.corpus)]
            for _ in range(1 + place % 3):
                data = changed_bytes(data, random)
            taken += opening.door(data)
            tried += 1
    return tried, taken


def guided(folder: Path, runs: int, seconds: int, seed: int) -> int:
    """So many inputs that atheris makes, in at most so many seconds; gives how many; raises `Failed`."""
    command = [sys.executable, "-m", "fuzz.mls_bytes", str(folder), str(runs), str(seconds), str(seed)]
    done = subprocess.run(
        command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False, timeout=seconds + 300
    )
    if done.returncode:
        raise Failed(f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    told = [line.split() for line in done.stderr.splitlines() if line.startswith("Done ")]
    if not told:
        raise Failed(f"it did not come to its end: {done.stderr[-3000:]}")
    return int(told[0][1])


def run(folder: Path, share: float, seed: int) -> str:
    """Both, a quarter of an hour of them for a share of 1."""
    tried, taken = mutated(seed, max(20, round(4000 * share)))
    text = f"{tried} changed inputs, {taken} of them taken for what they are"
    if not ATHERIS:
        return f"{text}; atheris is not here"
    return f"{text}; {guided(folder, 10_000_000, max(10, round(600 * share)), seed)} inputs by atheris"


def main() -> None:
    """The process of atheris: the first byte of an input is the door."""
    folder, runs, seconds, seed = Path(sys.argv[1]), *sys.argv[2:5]
    atheris: Any = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["tacit.mls", "tacit.wire"]):
        doors = importlib.import_module("fuzz.mls_doors")
    openings = list(doors.made().values())
    corpus = folder / "corpus"
    corpus.mkdir()
    for number, opening in enumerate(openings):
        for place, data in enumerate(opening.corpus):
            (corpus / f"{number}-{place}").write_bytes(bytes((number,)) + data)

    def one(data: bytes) -> None:
        if data and data[0] < len(openings):
            openings[data[0]].door(data[1:])

    options = [f"-runs={runs}", f"-max_total_time={seconds}", f"-seed={seed}", f"-artifact_prefix={folder}/"]
    atheris.Setup([sys.argv[0], *options, "-max_len=4096", "-timeout=60", str(corpus)], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
