"""Profiles: which algorithms an account has for life, and which a conversation has from its genesis on."""

from __future__ import annotations

from enum import IntEnum

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
