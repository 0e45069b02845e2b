"""Profiles: which algorithms an account has for life, and which a conversation has from its genesis on."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from tacit.crypto import verify as doors


class Profile(IntEnum):
    """A set of algorithms; an account has one for life."""

    COMPAT = 1
    STANDARD = 2
    FIPS = 3


class KeyAlgorithm(IntEnum):
    """What a public key is for; the numbers are those of `crypto.verify`."""

    ED25519 = doors.ED25519
    X_WING = doors.X_WING
    RSA = doors.RSA


FOLLOWED: Final = {
    Profile.COMPAT: frozenset({Profile.COMPAT, Profile.STANDARD}),
    Profile.STANDARD: frozenset({Profile.STANDARD}),
    Profile.FIPS: frozenset({Profile.FIPS}),
}
"""The profiles of the accounts that a conversation of each profile takes."""


def can_follow(account: Profile, conversation: Profile) -> bool:
    """Whether an account of one profile may be a member of a conversation of another."""
    return account in FOLLOWED[conversation]
