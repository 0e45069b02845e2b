"""Times the operations of the benchmark `mls` and what lies under them, in turns, by the processor time of this thread.

A group of 10,000 takes seconds for some operations: by the clock that measures whoever else the machine works for.
"""

from __future__ import annotations

import gc
import math
import statistics
import time
from collections.abc import Callable, Iterable
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from benchmarks.floors.mls_floor import Floor
from benchmarks.mls_operations import Case

ROUNDS: Final = 15
FEWEST: Final = 2
ENOUGH: Final = 4.0
"""Seconds after which an operation is not measured again, once it was often enough."""
REFERENCE: Final = "verify"
"""pyca's Ed25519 verification of 100 bytes, by which figures of another machine are scaled."""


def seconds_of(cases: Iterable[Case], floor: Floor, rounds: int = ROUNDS) -> dict[str, float]:
    """The median seconds of each case, of the floor under it (`NAME, floor`), and of the reference.

    Each round calls everything in order: what is made is processed afterwards. The garbage collector waits.
    """
    calls: list[tuple[str, Callable[[], object], int]] = [(REFERENCE, _reference(), 30)]
    for case in cases:
        calls.append((case.name, case.call, case.batch))
        if case.steps is not None:
            calls.append((f"{case.name}, floor", floor.prepared(case.steps), case.batch))
    samples: dict[str, list[float]] = {name: [] for name, _, _ in calls}
    collecting = gc.isenabled()
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        for turn in range(rounds):
            for name, call, batch in calls:
                if turn < FEWEST or sum(samples[name]) * batch < ENOUGH:
                    samples[name].append(_seconds(call, batch))
            gc.collect()
    finally:
        gc.unfreeze()
        if collecting:
            gc.enable()
    return {name: statistics.median(times) for name, times in samples.items()}


def clocked(calls: Iterable[Callable[[], object]], rounds: int) -> list[float]:
    """The least seconds by the clock that each of these took, in turns: what several threads do at once."""
    every = list(calls)
    least = [math.inf] * len(every)
    for _ in range(rounds):
        for number, call in enumerate(every):
            started = time.perf_counter()
            call()
            least[number] = min(least[number], time.perf_counter() - started)
    return least


def _seconds(call: Callable[[], object], batch: int) -> float:
    for _ in range(batch // 3):  # in a row, the first ones bring what they need into the caches
        call()
    started = time.thread_time()
    for _ in range(batch):
        call()
    return (time.thread_time() - started) / batch


def _reference() -> Callable[[], None]:
    key, data = Ed25519PrivateKey.generate(), bytes(100)
    public, signature = key.public_key(), key.sign(data)
    return lambda: public.verify(signature, data)
