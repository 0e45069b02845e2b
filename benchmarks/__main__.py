"""`./dev bench [NAME] [--json] [--quick]`: runs the benchmarks and fails when an asked figure is not met."""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import sys
from collections.abc import Callable
from typing import cast

import benchmarks
from benchmarks.harness import Report, machine, print_json, print_table

Benchmark = Callable[[Report], None]
NOT_ONE = {"__main__", "harness"}


def discover() -> dict[str, Benchmark]:
    """All benchmarks by name: the modules of this package that have `NAME` and `run`."""
    found: dict[str, Benchmark] = {}
    for info in pkgutil.iter_modules(benchmarks.__path__):
        if info.name in NOT_ONE or info.name.startswith("_"):
            continue
        module = importlib.import_module(f"benchmarks.{info.name}")
        name = getattr(module, "NAME", None)
        if name is None:
            continue
        if name in found:
            raise ValueError(f"two benchmarks are called {name}")
        found[name] = cast(Benchmark, module.run)
    return found


def main(arguments: list[str] | None = None) -> int:
    """Run what was asked for; 0 when every asked figure is met, 1 when one is not, 2 for an unknown name."""
    parser = argparse.ArgumentParser(prog="./dev bench", description="Measure against named peers.")
    parser.add_argument("name", nargs="?", help="only this one")
    parser.add_argument("--json", action="store_true", help="one object a line")
    parser.add_argument("--quick", action="store_true", help="fewer rounds, for a first look")
    chosen = parser.parse_args(arguments)

    found = discover()
    if chosen.name is not None and chosen.name not in found:
        print(f"No benchmark '{chosen.name}'; there are: {', '.join(sorted(found)) or 'none'}.", file=sys.stderr)
        return 2
    print(machine(), file=sys.stderr)
    failed: list[str] = []
    for name in [chosen.name] if chosen.name is not None else sorted(found):
        report = Report(quick=chosen.quick)
        found[name](report)
        if chosen.json:
            print_json(report, sys.stdout)
        else:
            print_table(name, report, sys.stdout)
        failed += [f"{name}: {row.name} should reach {row.reach}" for row in report.failed]
    for line in failed:
        print(line, file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
