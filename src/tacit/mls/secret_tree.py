"""The secret tree (RFC 9420 §9): every member's ratchets of one epoch, each key used once.

A `SecretTree` never changes: what takes a key gives another tree, in which that key is gone (§9.2). Once the new one is
kept and the old one is not, nothing that is left can make the key again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple, final

from tacit import errors
from tacit.crypto.secret import Secret
from tacit.mls import tree_math
from tacit.mls.suites import CipherSuite

CHUNK_LEVEL: Final = 6
"""Chains stand together by 2 to this many leaves, so that to change one copies and saves little."""


class Window(NamedTuple):
    """How far a member's messages may be out of order: skipped ahead, and kept from before."""

    ahead: int = 1024
    behind: int = 256


class MessageKey(NamedTuple):
    """The key and nonce of one message, and their number."""

    generation: int
    key: Secret
    nonce: Secret


class Ratchet(NamedTuple):
    """A chain of message keys: the secret of the next generation, and keys that were skipped."""

    secret: Secret
    generation: int
    skipped: Mapping[int, MessageKey]

    def next(self, suite: CipherSuite) -> tuple[Ratchet, MessageKey]:
        """The ratchet after the next key, and that key; raises `KeyConsumed` when there is none."""
        generation = self.generation
        if generation >= 2**32:
            raise errors.KeyConsumed("all keys of this epoch are used up")
        key, nonce = suite.key_and_nonce(self.secret, generation.to_bytes(4, "big"))
        secret = suite.derive_tree_secret(self.secret, "secret", generation, suite.hash_bytes)
        return Ratchet(secret, generation + 1, self.skipped), MessageKey(generation, key, nonce)

    def at(self, suite: CipherSuite, generation: int, window: Window) -> tuple[Ratchet, MessageKey]:
        """The ratchet without the key of a generation, and that key; raises `KeyConsumed`."""
        if generation < self.generation:
            found = self.skipped.get(generation)
            if found is None:
                raise errors.KeyConsumed(f"generation {generation}")
            rest = {number: key for number, key in self.skipped.items() if number != generation}
            return Ratchet(self.secret, self.generation, rest), found
        if generation == self.generation and not self.skipped:  # nearly always: nothing was skipped
            return self.next(suite)
        if generation - self.generation > window.ahead:
            raise errors.KeyConsumed(f"{generation - self.generation} messages were skipped")
        here, skipped = self, dict(self.skipped)
        while True:
            here, key = here.next(suite)
            if key.generation == generation:
                break
            skipped[key.generation] = key
        oldest = here.generation - window.behind
        kept = {number: each for number, each in skipped.items() if number >= oldest} if skipped else skipped
        return Ratchet(here.secret, here.generation, kept), key


class Ratchets(NamedTuple):
    """A member's two chains."""

    handshake: Ratchet
    application: Ratchet

    def replaced(self, handshake: bool, ratchet: Ratchet) -> Ratchets:
        """One of them replaced."""
        return Ratchets(ratchet, self.application) if handshake else Ratchets(self.handshake, ratchet)


Branch = Secret | tuple["Branch", "Branch"] | None
"""A part of the tree: a secret from which all of it comes, or its two halves, or nothing any more."""


class Chunk(NamedTuple):
    """The members below one node of the level `CHUNK_LEVEL`: secrets of theirs that were not needed yet, and chains."""

    branch: Branch
    ratchets: Mapping[int, Ratchets]


@final
class SecretTree(NamedTuple):
    """The ratchets of everybody in an epoch, made when they are first needed: `top` and what was taken from it."""

    width: int
    top: Branch
    chunks: Mapping[int, Chunk]

    def next(self, suite: CipherSuite, leaf: int, handshake: bool) -> tuple[SecretTree, MessageKey]:
        """The next key of a member's chain; raises `KeyConsumed`."""
        top, chunk, ratchets = self._ratchets(suite, leaf)
        ratchet, key = (ratchets.handshake if handshake else ratchets.application).next(suite)
        return self._with(top, chunk, leaf, ratchets.replaced(handshake, ratchet)), key

    def at(
        self, suite: CipherSuite, leaf: int, handshake: bool, generation: int, window: Window
    ) -> tuple[SecretTree, MessageKey]:
        """The key of a generation of a member's chain; raises `KeyConsumed`, also for a leaf outside of the tree."""
        if leaf >= self.width:
            raise errors.KeyConsumed(f"there is no leaf {leaf}")
        top, chunk, ratchets = self._ratchets(suite, leaf)
        ratchet, key = (ratchets.handshake if handshake else ratchets.application).at(suite, generation, window)
        return self._with(top, chunk, leaf, ratchets.replaced(handshake, ratchet)), key

    def _ratchets(self, suite: CipherSuite, leaf: int) -> tuple[Branch, Chunk, Ratchets]:
        """What is left at the top and in the leaf's chunk when its ratchets are taken out, and those."""
        top, chunk = self.top, self.chunks.get(leaf >> CHUNK_LEVEL)
        if chunk is not None:
            found = chunk.ratchets.get(leaf)
            if found is not None:
                return top, chunk, found
        below = chunk_root(self.width, leaf >> CHUNK_LEVEL)
        if chunk is None:
            top, secret = _taken(suite, top, tree_math.root(self.width), below)
            chunk = Chunk(secret, {})
        branch, secret = _taken(suite, chunk.branch, below, 2 * leaf)
        handshake, application = (
            Ratchet(suite.expand_with_label(secret, label, b"", suite.hash_bytes), 0, {})
            for label in ("handshake", "application")
        )
        return top, Chunk(branch, chunk.ratchets), Ratchets(handshake, application)

    def _with(self, top: Branch, chunk: Chunk, leaf: int, ratchets: Ratchets) -> SecretTree:
        chunk = Chunk(chunk.branch, {**chunk.ratchets, leaf: ratchets})
        return SecretTree(self.width, top, {**self.chunks, leaf >> CHUNK_LEVEL: chunk})


def chunk_root(width: int, chunk: int) -> int:
    """The node above the leaves of a chunk: the root where the tree is no higher."""
    level = min(CHUNK_LEVEL, tree_math.level(tree_math.root(width)))
    return (chunk << (level + 1)) + (1 << level) - 1


def new_secret_tree(width: int, encryption_secret: Secret) -> SecretTree:
    """The secret tree of an epoch with so many leaves, blank ones among them."""
    return SecretTree(width, encryption_secret, {})


def _taken(suite: CipherSuite, branch: Branch, index: int, leaf: int) -> tuple[Branch, Secret]:
    """The branch without a leaf's secret, and that secret; what it was made of is gone too (§9.2)."""
    if branch is None:
        raise errors.KeyConsumed("the keys of this leaf are gone")
    if index == leaf:
        assert isinstance(branch, Secret)
        return None, branch
    if isinstance(branch, Secret):
        branch = (
            suite.expand_with_label(branch, "tree", b"left", suite.hash_bytes),
            suite.expand_with_label(branch, "tree", b"right", suite.hash_bytes),
        )
    left, right = branch
    if leaf < index:
        left, secret = _taken(suite, left, tree_math.left(index), leaf)
    else:
        right, secret = _taken(suite, right, tree_math.right(index), leaf)
    return (left, right), secret
