"""`python -m fuzz [--share N] [--seed N] [NAME...]`: the long forms, each a line; 1 where something came out wrong.

`--share 0.1` does about a tenth, for a machine that judges every change. The same seed sends the same.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from traceback import print_exception
from typing import Final

from fuzz import described_api, mls_bytes, sockets

Form = Callable[[Path, float, int], str]
FORMS: Final[dict[str, Form]] = {
    "api": lambda folder, share, seed: described_api.run(folder, examples=max(8, round(250 * share)), number=seed),
    "sockets": lambda folder, share, seed: sockets.run(
        folder, seed=seed, rounds=max(1, round(20 * share)), mutations=500, step=1
    ),
    "mls": mls_bytes.run,
}


def main() -> int:
    """Run those that are named, or all."""
    parser = argparse.ArgumentParser(prog="./dev fuzz")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(FORMS))
    parser.add_argument("--share", type=float, default=1.0, help="of everything, so much")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    if unknown := set(given.names) - FORMS.keys():
        parser.error(f"no such form: {', '.join(sorted(unknown))}")
    wrong = 0
    for name in given.names or FORMS:
        began = time.monotonic()
        with TemporaryDirectory(prefix="tacit-") as folder:
            try:
                text = f"ok    {name}: {FORMS[name](Path(folder), given.share, given.seed)}"
            except BaseException as error:  # also a group of them
                if isinstance(error, KeyboardInterrupt | SystemExit):
                    raise
                print_exception(error)
                text, wrong = f"WRONG {name}: {type(error).__name__}: {error}", wrong + 1
        print(f"{text}, in {time.monotonic() - began:.0f} s", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
