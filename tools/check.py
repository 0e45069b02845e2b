"""`./dev check`: everything about the checkout that a machine can judge. Arguments name the steps to run."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))

from tools import lock, locks  # noqa: E402  (the checkout's root is put on the path first)

# The rooms that hold the security rules, and those that are still to come: every line and branch of them is run.
COVERED = ("crypto", "wire", "signed", "mls", "identity", "transparency", "conversation")
# By tests of their own and by the properties that run through them: what only a client happens to run is not tested.
COVERING = (*COVERED, "properties")


class Failed(Exception):
    """A step did not hold; the text says why."""


def run(*command: str, **environment: str) -> str:
    """Runs a tool of the environment in the checkout; its output, or `Failed` with it."""
    program = Path(sys.executable).with_name(command[0])
    done = subprocess.run(
        [str(program), *command[1:]],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise Failed(done.stdout.rstrip())
    return done.stdout


def ruff() -> str:
    """Lint."""
    return run("ruff", "check", "--quiet", ".")


def layout() -> str:
    """Formatting."""
    return run("ruff", "format", "--check", "--quiet", ".")


def types() -> str:
    """Types, strictly, tests and tools included."""
    return run("mypy", "src", "tests", "benchmarks", "tools")


def imports() -> str:
    """The import contracts."""
    return run("lint-imports", "--no-logo", "--no-cache")


def pins() -> str:
    """The lock files are what their .in files ask for, and what they resolve to where the registry answers."""
    found = locks.faults(ROOT)
    note = ""
    try:
        found += lock.stale(ROOT)
    except lock.Unresolvable as error:
        found.append(str(error))
    except lock.Unreachable:
        note = "the registry gave no answer: checked against the installed packages only"
    if found:
        raise Failed("\n".join(found))
    return note


def codes() -> str:
    """The table of error codes is complete and fresh, and every code is provoked by a test."""
    run("python", "tools/error_table.py", "--check")
    return run("python", "-m", "pytest", "-q", "-p", "no:randomly", "tests/architecture/test_problem_codes.py")


def musts() -> str:
    """Every rule of RFC 9420 is classified, and what enforces it and shows that is there; the page of that is fresh."""
    return run("python", "tools/musts.py", "--check")


def docs() -> str:
    """The pages of structs, limits and MLS's rules are fresh, and the documentation builds without a warning."""
    run("python", "tools/structs.py", "--check")
    run("python", "tools/limits_table.py", "--check")
    musts()
    with tempfile.TemporaryDirectory() as scratch:
        return run("sphinx-build", "-W", "--keep-going", "-q", "-b", "html", "-d", f"{scratch}/trees", "docs", scratch)


def coverage() -> str:
    """Every line and branch of the inner rooms, by their tests alone."""
    tests = [f"tests/{room}" for room in COVERING if Path(ROOT, "tests", room).is_dir()]
    with tempfile.TemporaryDirectory() as scratch:
        data = {"COVERAGE_FILE": str(Path(scratch, "coverage"))}
        said = run("coverage", "run", "-m", "pytest", "-q", "-n", "2", "--dist", "worksteal", *tests, **data)
        run("coverage", "combine", "--quiet", **data)
        rooms = ",".join(f"src/tacit/{room}/*" for room in COVERED)
        run("coverage", "report", f"--include={rooms}", "--fail-under=100", **data)
    return f"{said.rstrip().splitlines()[-1]}\n100% of {', '.join(COVERED)} (where they exist)"


STEPS: dict[str, Callable[[], str]] = {
    "ruff": ruff,
    "format": layout,
    "mypy": types,
    "imports": imports,
    "locks": pins,
    "codes": codes,
    "musts": musts,
    "docs": docs,
    "coverage": coverage,
}


def main() -> int:
    """Run the steps; 1 when one failed."""
    parser = argparse.ArgumentParser(prog="./dev check", description=__doc__)
    parser.add_argument("steps", nargs="*", metavar="STEP", help=f"of {', '.join(STEPS)}; all without any")
    chosen = parser.parse_args()
    unknown = set(chosen.steps) - set(STEPS)
    if unknown:
        parser.error(f"no step {', '.join(sorted(unknown))}; there are {', '.join(STEPS)}")
    failed: list[str] = []
    for name in chosen.steps or STEPS:
        started = time.monotonic()
        try:
            said = STEPS[name]()
        except Failed as error:
            failed.append(name)
            print(f"FAILED  {name}  ({time.monotonic() - started:.1f} s)\n{error}\n", flush=True)
        else:
            print(f"ok      {name}  ({time.monotonic() - started:.1f} s)", flush=True)
            if name in ("locks", "musts", "coverage") and said:
                print("        " + said.replace("\n", "\n        "), flush=True)
    print(f"check: {', '.join(failed)} failed" if failed else "check: all holds")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
