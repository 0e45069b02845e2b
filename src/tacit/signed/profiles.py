"""Profiles: which algorithms an account has for life, and which a conversation has from its genesis on."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from tacit import errors
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
    P256 = doors.P256


@dataclass(frozen=True, slots=True)
class Algorithms:
    """What a profile has.

    `signature` signs records, requests and messages; `kem` takes what is wrapped to a device's `kem_key`, and to an
    account in a conversation of this profile; `encryption` are the keys that an account carries, in this order;
    `rsa_bytes` the least bytes of an RSA SubjectPublicKeyInfo (294 for 2048 bits, 422 for 3072: it has one encoding);
    `mls` a device's `mls_key`, None for none, and `suites` the MLS suites that it may have.
    """

    signature: KeyAlgorithm
    kem: KeyAlgorithm
    encryption: tuple[KeyAlgorithm, ...]
    rsa_bytes: int
    mls: KeyAlgorithm | None
    suites: tuple[int, ...]


ALGORITHMS: Final = {
    Profile.COMPAT: Algorithms(KeyAlgorithm.P256, KeyAlgorithm.RSA, (KeyAlgorithm.RSA,), 294, None, ()),
    Profile.STANDARD: Algorithms(
        KeyAlgorithm.ED25519,
        KeyAlgorithm.X_WING,
        (KeyAlgorithm.X_WING, KeyAlgorithm.RSA),
        422,
        KeyAlgorithm.ED25519,
        (1, 0x0053),
    ),
    Profile.FIPS: Algorithms(KeyAlgorithm.P256, KeyAlgorithm.RSA, (KeyAlgorithm.RSA,), 422, KeyAlgorithm.P256, (2,)),
}


ED25519_BYTES: Final = 32
P256_BYTES: Final = 65
"""A P-256 public key as an uncompressed point (SEC 1 §2.3.3)."""
FOLLOWED: Final = {
    Profile.COMPAT: frozenset({Profile.COMPAT, Profile.STANDARD}),
    Profile.STANDARD: frozenset({Profile.STANDARD}),
    Profile.FIPS: frozenset({Profile.FIPS}),
}
"""The profiles of the accounts that a conversation of each profile takes."""


def can_follow(account: Profile, conversation: Profile) -> bool:
    """Whether an account of one profile may be a member of a conversation of another."""
    return account in FOLLOWED[conversation]


def check_wrapping_key(profile: Profile, algorithm: KeyAlgorithm, public: bytes) -> None:
    """Refuses what is not a public key that an account of this profile may be wrapped to.

    Raises what `crypto.verify.check_public` raises, and `WrongLength` for an RSA key that is too short.
    """
    doors.check_public(algorithm, public)
    least = ALGORITHMS[profile].rsa_bytes
    if algorithm is KeyAlgorithm.RSA and len(public) < least:
        raise errors.WrongLength(f"an RSA public key has at least {least} bytes in the profile {name_of(profile)}")


def name_of(profile: Profile) -> str:
    """The profile's name as people and JSON have it."""
    return profile.name.lower()


def profile_of(name: str) -> Profile:
    """The profile of this name; raises `InvalidArgument`."""
    for profile in Profile:
        if name_of(profile) == name:
            return profile
    raise errors.InvalidArgument(f"there is no profile {name!r}: take standard, fips or compat")


def signed_by(algorithm: KeyAlgorithm, public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether a signature over these bytes is by this key: Ed25519, or ECDSA with P-256 and SHA-256, raw r and s."""
    if algorithm is KeyAlgorithm.ED25519:
        return doors.verify_ed25519(public, message, signature)
    return doors.verify_ecdsa(doors.P256, public, message, signature)


def signature_algorithm(public: bytes) -> KeyAlgorithm:
    """The algorithm of a signature key by its length: 32 bytes are Ed25519's, all else is P-256's to refuse."""
    return KeyAlgorithm.ED25519 if len(public) == ED25519_BYTES else KeyAlgorithm.P256
