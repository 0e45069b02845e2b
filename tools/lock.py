"""`./dev lock`: resolves requirements/*.in into hashed pins for every machine and Python 3.11 to 3.13."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from tools import locks

ROOT = Path(__file__).resolve().parents[1]


class Unreachable(Exception):
    """The registry gave no answer."""


class Unresolvable(Exception):
    """The .in files ask for what cannot be had together."""


def resolve(folder: Path, *, upgrade: bool = False) -> None:
    """Rewrites the lock files in `folder`/requirements; pins that still fit are kept unless `upgrade`.

    Raises `Unreachable` or `Unresolvable`.
    """
    uv = Path(sys.executable).with_name("uv")
    for name in locks.SETS:
        command = [str(uv), "pip", "compile", "--quiet", "--universal", "--python-version", locks.PYTHONS[0]]
        command += ["--generate-hashes", "--no-emit-index-url", "--no-header", "--only-binary", ":all:"]
        command += [f"requirements/{name}.in", "--output-file", f"requirements/{name}.txt"]
        command += ["--upgrade"] if upgrade else []
        environment = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            fault = Unresolvable if "No solution found" in done.stderr else Unreachable
            raise fault(f"requirements/{name}.in: {done.stderr.strip()}")


def stale(root: Path) -> list[str]:
    """The lock files that a resolution of today's .in files would change; raises as `resolve` does."""
    with tempfile.TemporaryDirectory() as scratch:
        shutil.copytree(root / "requirements", Path(scratch, "requirements"))
        resolve(Path(scratch))
        return [
            f"requirements/{name}.txt is not what its .in file resolves to: ./dev lock"
            for name in locks.SETS
            if Path(scratch, "requirements", f"{name}.txt").read_bytes()
            != (root / "requirements" / f"{name}.txt").read_bytes()
        ]


def main() -> int:
    """Rewrite the lock files; 1 when that is not possible."""
    parser = argparse.ArgumentParser(prog="./dev lock", description=__doc__)
    parser.add_argument("--upgrade", action="store_true", help="take newer versions where the .in files allow it")
    chosen = parser.parse_args()
    try:
        resolve(ROOT, upgrade=chosen.upgrade)
    except (Unreachable, Unresolvable) as error:
        print(error, file=sys.stderr)
        return 1
    print("The pins are resolved; the next ./dev installs them.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
