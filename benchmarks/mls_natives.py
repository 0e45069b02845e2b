"""Native peers of the benchmark `mls`, timed once on another machine: mls-rs 0.57 (aws-lc), OpenMLS 0.9.2 (rustcrypto).

One thread, bytes to bytes, median milliseconds. There pyca verified an Ed25519 signature in 0.108 ms: the figures are
scaled by what that takes here.
"""

from __future__ import annotations

from typing import Final, NamedTuple

VERIFY: Final = 0.108e-3
"""Seconds of pyca's Ed25519 verification on their machine."""
MLS_RS: Final = "mls-rs"
OPENMLS: Final = "OpenMLS"
_SIZES: Final = (100, 1000, 10_000)


class Native(NamedTuple):
    """One library's seconds, as they would be here."""

    library: str
    seconds: float


_Three = tuple[float | None, ...]
_TABLE: Final[dict[tuple[int, str], tuple[_Three, _Three]]] = {
    (1, "add all"): ((14.5, 266, 15_636), (11.9, 293, 48_469)),
    (1, "join cold"): ((4.3, 42, 450), (5.3, 52, 1137)),
    (1, "add 1 made"): ((1.09, 5.0, 35), (1.68, 8.1, 48)),
    (1, "add 1 processed"): ((0.43, 1.8, 13), (0.92, 6.2, 46)),
    (1, "update made, cold"): ((4.2, 41, 423), (8.4, 79, 783)),
    (1, "update made, warm"): ((0.87, 4.6, 40), (1.24, 4.2, 38)),
    (1, "update processed, cold"): ((0.33, 1.72, 15.8), (0.80, 5.0, 51)),
    (1, "update processed, warm"): ((0.29, 1.57, 13.6), (0.81, 6.4, 59)),
    (1, "load"): ((0.10, 0.88, 12.4), (0.45, 3.8, 38)),
    (1, "protect 100 B"): ((0.013, 0.013, 0.013), (0.044, 0.051, 0.170)),
    (1, "unprotect 100 B"): ((0.040, 0.040, 0.040), (0.050, 0.057, 0.176)),
    (0x53, "add all"): ((30, 1237, None), (68, 4661, None)),
    (0x53, "join cold"): ((5.6, 55, None), (12, 123, None)),
    (0x53, "update processed, cold"): ((0.84, 6.5, None), (4.7, 46, None)),
}


def natives(suite: int, operation: str, members: int, verify: float) -> list[Native]:
    """What both take here, where `verify` is the seconds of the reference; without the rows that were not measured."""
    found = _TABLE.get((suite, operation))
    if found is None or members not in _SIZES:
        return []
    at, scale = _SIZES.index(members), verify / VERIFY
    both = ((MLS_RS, found[0][at]), (OPENMLS, found[1][at]))
    return [Native(library, ms * 1e-3 * scale) for library, ms in both if ms is not None]
