"""`python -m faults [--share N] [NAME...]`: the long forms, each a line an arm; 1 where one comes out wrong.

`--share 0.1` does about a tenth of everything, for a machine that judges every change.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from typing import Final

from faults import client_kill, cuts, kill, network
from faults.form import Row

HARNESSES: Final[dict[str, Callable[[float], Iterator[Row]]]] = {
    "client_kill": client_kill.long,
    "cuts": cuts.long,
    "kill": kill.long,
    "network": network.long,
}


def main() -> int:
    """Run those that are named, or all."""
    parser = argparse.ArgumentParser(prog="./dev faults")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(HARNESSES))
    parser.add_argument("--share", type=float, default=1.0, help="of everything, so much")
    given = parser.parse_args()
    if unknown := set(given.names) - HARNESSES.keys():
        parser.error(f"no such harness: {', '.join(sorted(unknown))}")
    wrong = 0
    for name in given.names or HARNESSES:
        began, arms = time.monotonic(), 0
        for row in HARNESSES[name](given.share):
            print(row, flush=True)
            wrong, arms = wrong + row.wrong, arms + 1
        print(f"      {name}: {arms} arms in {time.monotonic() - began:.0f} s", flush=True)
        wrong += not arms
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
