"""ts-mls under Node as a rival of the benchmark `mls`: what tests/interop installs, timed within Node itself."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Final

INTEROP: Final = Path(__file__).resolve().parents[1] / "tests" / "interop"
LONGEST: Final = 120
"""Seconds that it has for one suite and size."""
LATE: Final = "not done in"
ENOUGH: Final = 800
"""Milliseconds after which an operation is not measured again."""


class Rival:
    """What ts-mls took, as far as it came; `missing` says where it did not."""

    def __init__(self) -> None:
        self.missing: list[str] = []
        self._node: tuple[str, ...] | None = None
        self._stopped: set[int] = set()
        installation = _installation()
        try:
            self._node = installation.ready().node
        except installation.Unavailable as error:
            self.missing.append(f"ts-mls has no rows: {error}")

    def seconds_of(self, suite: int, members: int) -> dict[str, float]:
        """The median seconds of each operation that it finished; a suite is left once it was late."""
        if self._node is None:
            return {}
        if suite in self._stopped:
            self.missing.append(
                f"ts-mls, {members:,} members, suite {suite:#x}: left out, a smaller group took too long"
            )
            return {}
        command = [*self._node, str(INTEROP / "timing.mjs"), str(suite), str(members), str(ENOUGH)]
        lines, why = run(command, LONGEST)
        if why:
            self._stopped |= {suite} if why.startswith(LATE) else set()
            done = f", after {len(lines)} operations" if lines else ""
            self.missing.append(f"ts-mls, {members:,} members, suite {suite:#x}: {why}{done}")
        rows = [json.loads(line) for line in lines]
        return {row["operation"]: row["ms"] / 1e3 for row in rows}


def run(command: list[str], longest: float) -> tuple[list[str], str]:
    """The lines that a command printed, and why it did not end well, if it did not."""
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=longest, check=False)
    except subprocess.TimeoutExpired as late:
        # The last line may be torn.
        return (late.stdout or b"").decode().split("\n")[:-1], f"{LATE} {longest:g} s"
    lines = done.stdout.decode().splitlines()
    if not done.returncode:
        return lines, ""
    said = done.stderr.decode(errors="replace").splitlines()
    return lines, next((f"failed: {line}" for line in said if "Error" in line), "failed")


def _installation() -> ModuleType:
    """tests/interop/install.py, which is in no package that a benchmark could import."""
    spec = importlib.util.spec_from_file_location("interop_install", INTEROP / "install.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
