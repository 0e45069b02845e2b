"""Decryption oracles (Manger, CRYPTO 2001): whether an answer, or its time, says how a ciphertext failed to decrypt.

Who knows for chosen numbers whether their first byte after RSA is zero decrypts any ciphertext with some thousand of
them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from math import sqrt
from pathlib import Path
from random import SystemRandom
from statistics import fmean, variance
from time import thread_time_ns
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key

from adversary.attack import Attack
from adversary.bending import StandIn, bent
from adversary.stage import Stage
from rsa_pool import rsa_key
from tacit import errors
from tacit.client import Client
from tacit.crypto import rsa
from tacit.identity import keys
from tacit.signed.profiles import KeyAlgorithm

LARGE: Final[set[bytes]] = set()
"""Ciphertexts of numbers whose first byte is not zero: what a leaking library sees, and its stand-in looks up."""
LIMIT: Final = 4.5
"""What Welch's t stays below where there is no difference."""
CERTAIN: Final = 3 * LIMIT
"""What no accident comes to."""
REPEATS: Final = 3
"""A true leak is there again each time; a busy machine is not."""
random = SystemRandom()


def numbers_of(public: bytes) -> tuple[int, int]:
    """Modulus and its length in bytes."""
    key = load_der_public_key(public)
    assert isinstance(key, RSAPublicKey)
    return key.public_numbers().n, key.key_size // 8


def small(n: int, size: int) -> bytes:
    """The ciphertext of a number whose first byte is zero."""
    return pow(random.getrandbits(8 * (size - 1)), 65537, n).to_bytes(size, "big")


def large(n: int, size: int) -> bytes:
    """The ciphertext of one whose first byte is not; it is noted."""
    found = pow(random.randrange(1 << 8 * (size - 1), n), 65537, n).to_bytes(size, "big")
    LARGE.add(found)
    return found


Wrong = Callable[[bytes], bytes]
WRONG: Final[dict[str, Wrong]] = {
    "first byte not zero": lambda public: large(*numbers_of(public)),
    "wrong padding": lambda public: small(*numbers_of(public)),
    "another key": lambda public: rsa.wrap(public, os.urandom(32)),
    "half a key": lambda public: rsa.wrap(public, os.urandom(16)),
    "not below the modulus": lambda public: b"\xff" * numbers_of(public)[1],
    "a byte short": lambda public: small(*numbers_of(public))[1:],
}
"""Ways to fail, each as a ciphertext for a public key."""


class Oracle(Attack):
    """Mallory grants bob ciphertexts of every kind, and looks at all that he answers, does and says."""

    def __init__(self, folder: Path, removed: Mapping[str, StandIn]) -> None:
        super().__init__(folder, removed)
        self.seen: dict[str, Any] = {}

    async def run(self) -> None:
        async with self.stage() as stage:
            mallory, bob = await stage.people("mallory", "bob")
            await self.answers(stage, mallory, bob, "they meet", WRONG["wrong padding"])
            for name, make in WRONG.items():
                self.seen[name] = await self.answers(stage, mallory, bob, name, make)
            alarms = await bob.alarms()
            self.code = alarms[-1].code

    async def answers(self, stage: Stage, mallory: Client, bob: Client, name: str, make: Wrong) -> object:
        """What comes back of one kind: requests, and what he may be asked to read out."""

        def wrap(algorithm: KeyAlgorithm, public: bytes, info: bytes, plaintext: bytes) -> bytes:
            for_bob = public == self.key_of_bob
            return make(public) if for_bob else true(algorithm, public, info, plaintext)

        true = keys.wrap
        own = await bob.device._run(lambda books: books.own_account().value.encryption_keys)
        self.key_of_bob = next(each.public_key for each in own if each.algorithm is KeyAlgorithm.RSA)
        with bent({"tacit.conversation.envelope:wrap": wrap}, everywhere=False):
            made = await mallory.create_conversation(name, ["bob"], "compat")
        heard, alarms = stage.wire("bob").heard, len(await bob.alarms())
        before = len(heard)
        try:
            await bob.sync()
        except errors.TacitError as error:
            return error.code, error.detail
        view = await bob.conversation(made.id)
        told = [(each.about, each.code, each.detail) for each in (await bob.alarms())[alarms:]]
        asked = [(each.method, each.url.path.replace(made.id, "ID")) for each in heard[before:]]
        return asked, view.blocked, told

    def succeeded(self) -> str:
        kinds = {repr(each) for each in self.seen.values()}
        return f"bob's answers tell {len(kinds)} kinds of failure apart" if len(kinds) > 1 else ""


# --- time ------------------------------------------------------------------------------------------------------


def welch(first: list[int], second: list[int]) -> float:
    """Welch's t of what lies between the 5 and 95% quantiles of both together."""
    pooled = sorted(first + second)
    least, most = pooled[len(pooled) // 20], pooled[-len(pooled) // 20]
    one, two = ([each for each in times if least <= each <= most] for times in (first, second))
    return abs(fmean(one) - fmean(two)) / sqrt(variance(one) / len(one) + variance(two) / len(two))


def measure(tries: int, injected: int, most: int) -> tuple[float, float, int]:
    """Welch's t between numbers of the two kinds, and of a difference that was put in, interleaved; how many tries.

    On a busy machine it takes up to `most` times as many until that difference is found, which it has to be.
    """
    key = rsa_key(0, 2048)
    n, size = numbers_of(key.public)
    times: tuple[list[int], list[int], list[int]] = ([], [], [])
    for _ in range(most):
        for _ in range(tries // 2):
            kinds = [(0, small(n, size)), (1, large(n, size)), (2, small(n, size))]
            random.shuffle(kinds)
            for kind, ciphertext in kinds:
                times[kind].append(time_of(key, ciphertext, injected if kind == 2 else 0))
        control = welch(times[0], times[2])
        if control >= LIMIT:
            return welch(times[0], times[1]), control, 2 * len(times[0])
    raise AssertionError("what was put in was not found: the measure says nothing")


def time_of(key: rsa.RsaKey, ciphertext: bytes, injected: int) -> int:
    """How long (nanoseconds of this thread, so that other programs count little) it takes to be refused."""
    start = thread_time_ns()
    with suppress(errors.DecryptionError):
        rsa.unwrap(key, ciphertext)
    if injected:
        spin(injected)
    return thread_time_ns() - start


def spin(nanoseconds: int) -> None:
    """Take this long."""
    end = thread_time_ns() + nanoseconds
    while thread_time_ns() < end:
        pass


class Timing(Attack):
    """The time until a ciphertext is refused, over many tries; a known difference has to be found by the same run."""

    tries = 1_000
    injected = 100_000
    most = 24
    """Tries, nanoseconds that are put in, and how many times as many tries are made at the most.

    That is the suite's, which shares the machine. The command makes 10,000 and puts in 50 µs. The stand-in takes five
    times as long as what is put in.
    """

    @classmethod
    def take_long(cls) -> None:
        """The long form, from now on."""
        cls.tries, cls.injected, cls.most = 10_000, 50_000, 6

    def __init__(self, folder: Path, removed: Mapping[str, StandIn]) -> None:
        super().__init__(folder, removed)
        self.leaks = 0.0

    async def run(self) -> None:
        for _ in range(REPEATS):
            found, control, tries = measure(self.tries, self.injected, self.most)
            if found < LIMIT:
                self.leaks, self.code = (
                    0.0,
                    f"t = {found:.1f} in {tries} tries, with {self.injected // 1000} µs put in {control:.1f}",
                )
                break
            self.leaks = found
            if found >= CERTAIN:
                break

    def succeeded(self) -> str:
        return f"the two kinds take different times: t = {self.leaks:.0f}" if self.leaks else ""
