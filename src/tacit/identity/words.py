"""The recovery key as 24 words (BIP39), and back."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Sequence
from functools import cache

from mnemonic import Mnemonic

from tacit import errors
from tacit.crypto.secret import Secret

WORDS = 24
BITS_A_WORD = 11
CHECKSUM_BITS = 8


@cache
def wordlist() -> tuple[str, ...]:
    """The 2,048 English words of BIP39."""
    return tuple(Mnemonic("english").wordlist)


@cache
def _places() -> dict[str, int]:
    return {word: place for place, word in enumerate(wordlist())}


def to_words(recovery_key: Secret) -> tuple[str, ...]:
    """The 24 words of a recovery key of 32 bytes; raises `WrongLength`."""
    raw = recovery_key.reveal()
    if len(raw) != 32:
        raise errors.WrongLength("a recovery key is 32 bytes")
    bits = int.from_bytes(raw + hashlib.sha256(raw).digest()[:1], "big")
    places = [(bits >> (BITS_A_WORD * (WORDS - 1 - place))) & 0x7FF for place in range(WORDS)]
    return tuple(wordlist()[place] for place in places)


def from_words(words: Sequence[str]) -> Secret:
    """The recovery key of 24 words, in any case and spacing.

    Raises `InvalidArgument` that names unknown words by position, never by what was typed; otherwise, where all are
    known, that the checksum is wrong.
    """
    cleaned = [unicodedata.normalize("NFKD", word).strip().lower() for word in words]
    if len(cleaned) != WORDS:
        raise errors.InvalidArgument(f"a recovery key has {WORDS} words, not {len(cleaned)}")
    places = [_places().get(word, -1) for word in cleaned]
    if unknown := [str(position) for position, place in enumerate(places, 1) if place < 0]:
        raise errors.InvalidArgument(f"no such word at position {', '.join(unknown)}")
    bits = 0
    for place in places:
        bits = bits << BITS_A_WORD | place
    raw = (bits >> CHECKSUM_BITS).to_bytes(32, "big")
    if hashlib.sha256(raw).digest()[0] != bits & 0xFF:
        raise errors.InvalidArgument("checksum wrong: a word is in the wrong place or is another")
    return Secret(raw)
