"""`python -m interop [--seeds N] [--steps N] [--seed N]`: random walks of several implementations in one group.

At the end it says how often everything came about; 1 where something went wrong, or was not done often enough. The same
seed takes the same steps.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from traceback import format_exception

from interop.install import Node, Unavailable, ready
from interop.persons import SUITES, suite_of, walk
from interop.walk import lacking


def one(node: Node, seed: int, steps: int) -> Counter[str] | None:
    """Takes one walk and says how it ended; what was done, or nothing where it went wrong."""
    began, name = time.monotonic(), f"seed {seed}, suite {suite_of(seed):#06x}"
    try:
        done = walk(node, seed, steps)
    except Exception as error:
        print(f"WRONG {name}: {''.join(format_exception(error))}", flush=True)
        return None
    print(f"ok    {name}: {done['epochs']} epochs in {time.monotonic() - began:.0f} s", flush=True)
    return done


def main() -> int:
    """Take the walks."""
    parser = argparse.ArgumentParser(prog="./dev interop")
    parser.add_argument("--seeds", type=int, default=2 * len(SUITES), help="so many walks, in each suite in turn")
    parser.add_argument("--steps", type=int, default=200, help="of each walk")
    parser.add_argument("--seed", type=int, help="this one alone")
    given = parser.parse_args()
    try:
        node = ready()
    except Unavailable as error:
        print(error, file=sys.stderr)
        return 1
    seeds = range(given.seeds) if given.seed is None else [given.seed]
    with ThreadPoolExecutor(2) as pool:  # while one walk waits for its Node, the other goes on
        walks = list(pool.map(lambda seed: one(node, seed, given.steps), seeds))
    done = sum((each for each in walks if each is not None), Counter[str]())
    for what, count in sorted(done.items()):
        print(f"{count:8}  {what}")
    short = lacking(done, sum(each is not None for each in walks) * given.steps)
    for what in short:
        print(f"WRONG {what}")
    return 1 if short or None in walks else 0


if __name__ == "__main__":
    sys.exit(main())
