"""`python -m adversary [ID...]`: every attack, with its guard, where it must fail, and without, where it must not."""

from __future__ import annotations

import sys

from adversary.attacks import ATTACKS
from adversary.attacks_oracle import Timing
from adversary.guards import GUARDS
from adversary.harness import lines, run_row
from adversary.ids import IDS


def main(names: list[str]) -> int:
    """Play the attacks of these names or, without a name, all; 1 where one does not come out as it must."""
    known = sorted({*IDS, *GUARDS, *ATTACKS})
    if unknown := [name for name in names if name not in known]:
        print(f"no such attack: {', '.join(unknown)}", file=sys.stderr)
        return 2
    results = [run_row(each, GUARDS, ATTACKS) for each in names or known]
    print("\n".join(lines(results)))
    return 1 if any(each.wrong for each in results) else 0


if __name__ == "__main__":
    Timing.take_long()
    sys.exit(main(sys.argv[1:]))
