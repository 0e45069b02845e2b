"""The secret tree (RFC 9420 §9): every member's ratchets of one epoch, each key used once.

A `SecretTree` never changes: what takes a key gives another tree, in which that key is gone (§9.2). Once the new one is
kept and the old one is not, nothing that is left can make the key again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple, final

from tacit import errors
from tacit.crypto.secret import Secret
from tacit.mls import tree_math
from tacit.mls.suites import CipherSuite

_CHUNK: Final = 6
"""Ratchets stand together by 2 to this many leaves, so that to change one copies little."""


class Window(NamedTuple):
    """How far a member's messages may be out of order: skipped ahead, and kept from before."""

    ahead: int = 1024
    behind: int = 256


class MessageKey(NamedTuple):
    """The key and nonce of one message, and their number."""

    generation: int
    key: Secret
    nonce: Secret


@final
@dataclass(frozen=True, slots=True)
class Ratchet:
    """A chain of message keys: the secret of the next generation, and keys that were skipped."""

    secret: Secret
    generation: int
    skipped: Mapping[int, MessageKey]

    def next(self, suite: CipherSuite) -> tuple[Ratchet, MessageKey]:
        """The ratchet after the next key, and that key; raises `KeyConsumed` when there is none."""
        if self.generation >= 2**32:
            raise errors.KeyConsumed("all keys of this epoch are used up")
        return Ratchet(self._after(suite), self.generation + 1, self.skipped), self._key(suite)

    def at(self, suite: CipherSuite, generation: int, window: Window) -> tuple[Ratchet, MessageKey]:
        """The ratchet without the key of a generation, and that key; raises `KeyConsumed`."""
        if generation < self.generation:
            found = self.skipped.get(generation)
            if found is None:
                raise errors.KeyConsumed(f"generation {generation}")
            rest = {number: key for number, key in self.skipped.items() if number != generation}
            return Ratchet(self.secret, self.generation, rest), found
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

    def _key(self, suite: CipherSuite) -> MessageKey:
        number = self.generation
        return MessageKey(
            number,
            suite.derive_tree_secret(self.secret, "key", number, suite.key_bytes),
            suite.derive_tree_secret(self.secret, "nonce", number, suite.nonce_bytes),
        )

    def _after(self, suite: CipherSuite) -> Secret:
        return suite.derive_tree_secret(self.secret, "secret", self.generation, suite.hash_bytes)


class Ratchets(NamedTuple):
    """A member's two chains."""

    handshake: Ratchet
    application: Ratchet


Branch = Secret | tuple["Branch", "Branch"] | None
"""A part of the tree: a secret from which all of it comes, or its two halves, or nothing any more."""


@final
class SecretTree:
    """The ratchets of everybody in an epoch, made when they are first needed."""

    __slots__ = ("_branch", "_chunks", "width")

    def __init__(self, width: int, branch: Branch, chunks: Mapping[int, Mapping[int, Ratchets]]) -> None:
        self.width = width
        self._branch = branch
        self._chunks = chunks

    def next(self, suite: CipherSuite, leaf: int, handshake: bool) -> tuple[SecretTree, MessageKey]:
        """The next key of a member's chain; raises `KeyConsumed`."""
        tree, ratchets = self._ratchets(suite, leaf)
        ratchet, key = _chain(ratchets, handshake).next(suite)
        return tree._with(leaf, _replaced(ratchets, handshake, ratchet)), key

    def at(
        self, suite: CipherSuite, leaf: int, handshake: bool, generation: int, window: Window
    ) -> tuple[SecretTree, MessageKey]:
        """The key of a generation of a member's chain; raises `KeyConsumed`, also for a leaf outside of the tree."""
        if leaf >= self.width:
            raise errors.KeyConsumed(f"there is no leaf {leaf}")
        tree, ratchets = self._ratchets(suite, leaf)
        ratchet, key = _chain(ratchets, handshake).at(suite, generation, window)
        return tree._with(leaf, _replaced(ratchets, handshake, ratchet)), key

    def _ratchets(self, suite: CipherSuite, leaf: int) -> tuple[SecretTree, Ratchets]:
        found = self._chunks.get(leaf >> _CHUNK, {}).get(leaf)
        if found is not None:
            return self, found
        branch, secret = _taken(suite, self._branch, tree_math.root(self.width), 2 * leaf)
        made = Ratchets(
            *(
                Ratchet(suite.expand_with_label(secret, label, b"", suite.hash_bytes), 0, {})
                for label in ("handshake", "application")
            )
        )
        return SecretTree(self.width, branch, self._chunks), made

    def _with(self, leaf: int, ratchets: Ratchets) -> SecretTree:
        chunk = dict(self._chunks.get(leaf >> _CHUNK, {}))
        chunk[leaf] = ratchets
        chunks = dict(self._chunks)
        chunks[leaf >> _CHUNK] = chunk
        return SecretTree(self.width, self._branch, chunks)

    def parts(self) -> tuple[Branch, Mapping[int, Mapping[int, Ratchets]]]:
        """What there is to be saved."""
        return self._branch, self._chunks


def new_secret_tree(width: int, encryption_secret: Secret) -> SecretTree:
    """The secret tree of an epoch with so many leaves, blank ones among them."""
    return SecretTree(width, encryption_secret, {})


def _chain(ratchets: Ratchets, handshake: bool) -> Ratchet:
    return ratchets.handshake if handshake else ratchets.application


def _replaced(ratchets: Ratchets, handshake: bool, ratchet: Ratchet) -> Ratchets:
    return Ratchets(ratchet, ratchets.application) if handshake else Ratchets(ratchets.handshake, ratchet)


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
