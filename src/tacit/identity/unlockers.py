"""Unlockers: the password and the recovery key, each one way back to the AMK and so to everything else."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Final

from tacit import errors
from tacit.crypto import sealed
from tacit.crypto.digest import sha256
from tacit.crypto.kdf import argon2id, hkdf_sha256, pbkdf2_sha256
from tacit.crypto.secret import Randomness, Secret
from tacit.identity.keys import SigningKey, signing_key
from tacit.signed import labels
from tacit.signed.account import aik_fingerprint
from tacit.signed.profiles import Profile, name_of
from tacit.signed.vault import (
    AccountContext,
    AuthContext,
    Inner,
    PasswordParameters,
    PasswordSalt,
    UnlockContext,
    Unlocker,
    UnlockerKind,
    proof_hash,
)
from tacit.signed.verify import labelled
from tacit.wire.codec import decode, encode

ARGON2ID: Final = 1
PBKDF2: Final = 2
KDF_NAMES: Final = {ARGON2ID: "Argon2id", PBKDF2: "PBKDF2"}
SALT_BYTES: Final = 16
ID_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class KdfBounds:
    """How a password is derived, and the least and most that it may cost.

    The client's configuration (`BOUNDS` of its profile), never the server's word: else a server would name a cheap
    derivation, and have something to guess the password at.
    """

    memory_kib: tuple[int, int] = (64 * 1024, 1024 * 1024)
    iterations: tuple[int, int] = (3, 16)
    lanes: tuple[int, int] = (1, 16)
    kdf: int = ARGON2ID

    def check(self, parameters: PasswordParameters) -> None:
        """Refuse another derivation, or a cost outside the bounds, before anything is derived: `InvalidVault`.

        `ProfileMismatch` where another profile's client would derive by it: perhaps it is this client's configuration
        that is wrong, which the person knows and the server does not say.
        """
        if parameters.kdf != self.kdf:
            meant = profiles_deriving_by(parameters)
            if meant:
                raise errors.ProfileMismatch(
                    f"The server names {KDF_NAMES[parameters.kdf]} for the password, as in the profile "
                    f"{' or '.join(meant)}; here one is configured that derives by {KDF_NAMES[self.kdf]}."
                )
            raise errors.InvalidVault(f"the password's derivation is not {KDF_NAMES[self.kdf]}")
        outside = self.why_outside(parameters)
        if outside:
            raise errors.InvalidVault(f"the password's derivation has {outside}")

    def why_outside(self, parameters: PasswordParameters) -> str:
        """What of the cost is outside the bounds; the empty text for nothing."""
        for name, value, (least, most) in (
            ("memory", parameters.memory_kib, self.memory_kib),
            ("iterations", parameters.iterations, self.iterations),
            ("lanes", parameters.lanes, self.lanes),
        ):
            if not least <= value <= most:
                return f"{value} for {name}, not {least} to {most}"
        return ""


_PBKDF2_BOUNDS: Final = KdfBounds((0, 0), (600_000, 10_000_000), (0, 0), PBKDF2)
BOUNDS: Final = {Profile.COMPAT: _PBKDF2_BOUNDS, Profile.STANDARD: KdfBounds(), Profile.FIPS: _PBKDF2_BOUNDS}
"""What a client that is configured for a profile derives a password by."""


def profiles_deriving_by(parameters: PasswordParameters) -> list[str]:
    """The names of the profiles whose clients derive a password by these parameters as they are usually configured."""
    usual = BOUNDS.items()
    return [name_of(each) for each, by in usual if by.kdf == parameters.kdf and not by.why_outside(parameters)]


@dataclass(frozen=True, slots=True)
class Cost:
    """What a new password's derivation costs: Argon2id's KiB, passes and lanes, or PBKDF2's iterations."""

    memory_kib: int = 64 * 1024
    iterations: int = 3
    lanes: int = 4
    pbkdf2_iterations: int = 600_000

    def parameters(self, profile: Profile, salt: bytes) -> PasswordParameters:
        """The parameters of a password of an account of this profile."""
        if profile is Profile.STANDARD:
            return PasswordParameters(ARGON2ID, self.memory_kib, self.iterations, self.lanes, salt)
        return PasswordParameters(PBKDF2, 0, self.pbkdf2_iterations, 0, salt)


def bounds_of(profile: Profile, cost: Cost | None = None) -> KdfBounds:
    """What a client configured for a profile derives by; a `cost` below the floor, as tests have it, lowers that."""
    usual = BOUNDS[profile]
    if cost is None:
        return usual
    made = cost.parameters(profile, bytes(SALT_BYTES))
    return KdfBounds(
        (min(made.memory_kib, usual.memory_kib[0]), usual.memory_kib[1]),
        (min(made.iterations, usual.iterations[0]), usual.iterations[1]),
        (min(made.lanes, usual.lanes[0]), usual.lanes[1]),
        usual.kdf,
    )


@dataclass(frozen=True, slots=True)
class Account:
    """Whose unlockers these are: what every derivation and wrap is bound to."""

    server_name: str
    user_id: str
    profile: Profile
    aik: bytes

    def unlock_context(self, unlocker_id: str) -> UnlockContext:
        """What an unlocker's key and wrapped AMK are bound to."""
        fingerprint = aik_fingerprint(self.profile, self.aik)
        return UnlockContext(self.server_name, self.user_id, self.profile, unlocker_id, fingerprint)

    def context(self) -> AccountContext:
        """What the wrapped AIK and the wrapped outer key are bound to."""
        return AccountContext(self.server_name, self.user_id, aik_fingerprint(self.profile, self.aik))


def password_secret(
    server_name: str, user_id: str, password: Secret, parameters: PasswordParameters, bounds: KdfBounds
) -> Secret:
    """The 32-byte secret of a password; raises `InvalidVault` or `ProfileMismatch` for a derivation outside the bounds.

    The salt that is derived with is bound to server name and user, so that a server cannot hand one user another's.
    """
    bounds.check(parameters)
    salt = sha256(labelled(labels.PASSWORD_SALT, PasswordSalt(server_name, user_id, parameters.salt)))
    if parameters.kdf == PBKDF2:
        return pbkdf2_sha256(password, salt, iterations=parameters.iterations)
    return argon2id(
        password,
        salt,
        memory_kib=parameters.memory_kib,
        iterations=parameters.iterations,
        lanes=parameters.lanes,
    )


def password_bytes(text: str) -> Secret:
    """A typed password as bytes: NFKC, so that it is the same from every keyboard. Raises `InvalidArgument`."""
    normal = unicodedata.normalize("NFKC", text)
    if not normal:
        raise errors.InvalidArgument("the password is empty")
    try:
        return Secret(normal.encode())
    except UnicodeEncodeError:
        raise errors.InvalidArgument("the password is not Unicode") from None


def make_unlocker(
    account: Account, kind: UnlockerKind, unlocker_id: str, parameters: bytes, secret: Secret, amk: Secret
) -> Unlocker:
    """An unlocker whose secret is known: the AMK sealed under it, and the hash of its proof."""
    context = account.unlock_context(unlocker_id)
    key = hkdf_sha256(secret, labelled(labels.UNLOCK, context))
    wrapped = sealed.seal(key, labelled(labels.WRAPPED_AMK, context), amk.reveal())
    proof = proof_of(account.server_name, account.user_id, unlocker_id, secret)
    return Unlocker(unlocker_id, kind, parameters, proof_hash(proof.reveal()), wrapped)


def new_password(account: Account, password: Secret, cost: Cost, amk: Secret, random: Randomness) -> Unlocker:
    """A password unlocker with a fresh salt."""
    parameters = cost.parameters(account.profile, random(SALT_BYTES))
    memory, passes, lanes = parameters.memory_kib, parameters.iterations, parameters.lanes
    exact = KdfBounds((memory, memory), (passes, passes), (lanes, lanes), parameters.kdf)
    secret = password_secret(account.server_name, account.user_id, password, parameters, exact)
    unlocker_id = random(ID_BYTES).hex()
    return make_unlocker(account, UnlockerKind.PASSWORD, unlocker_id, encode(parameters), secret, amk)


def new_recovery_key(account: Account, amk: Secret, random: Randomness) -> tuple[Unlocker, Secret]:
    """A recovery-key unlocker, and its 32-byte key, which is shown once and kept nowhere."""
    key = Secret(random(32))
    unlocker_id = random(ID_BYTES).hex()
    return make_unlocker(account, UnlockerKind.RECOVERY_KEY, unlocker_id, b"", key, amk), key


def proof_of(server_name: str, user_id: str, unlocker_id: str, secret: Secret) -> Secret:
    """What an unlocker shows the server, 32 bytes."""
    return hkdf_sha256(secret, labelled(labels.AUTH, AuthContext(server_name, user_id, unlocker_id)))


def open_amk(account: Account, unlocker: Unlocker, secret: Secret) -> Secret:
    """The AMK; raises `DecryptionError` for another secret, account or identity key."""
    context = account.unlock_context(unlocker.id)
    key = hkdf_sha256(secret, labelled(labels.UNLOCK, context))
    return Secret(sealed.open(key, labelled(labels.WRAPPED_AMK, context), unlocker.wrapped_amk))


def wrap_inner(account: Account, unlockers: tuple[Unlocker, ...], amk: Secret, aik: SigningKey, outer: Secret) -> Inner:
    """The vault's inner part: the identity key and the outer key sealed under the AMK."""
    context = account.context()
    return Inner(
        unlockers,
        sealed.seal(amk, labelled(labels.WRAPPED_AIK, context), aik.seed.reveal()),
        sealed.seal(amk, labelled(labels.WRAPPED_OUTER_KEY, context), outer.reveal()),
    )


@dataclass(frozen=True, slots=True)
class Opened:
    """What the inner part holds; it is used and let go, never kept on a device."""

    amk: Secret
    aik: SigningKey
    outer_key: Secret


def open_inner(account: Account, inner: Inner, unlocker_id: str, secret: Secret) -> Opened:
    """What an unlocker opens; raises `InvalidVault` where it is not there, `DecryptionError` where it does not fit."""
    unlocker = next((each for each in inner.unlockers if each.id == unlocker_id), None)
    if unlocker is None:
        raise errors.InvalidVault("it has no such unlocker")
    amk = open_amk(account, unlocker, secret)
    context = account.context()
    seed = Secret(sealed.open(amk, labelled(labels.WRAPPED_AIK, context), inner.wrapped_aik))
    aik = signing_key(account.profile, seed)
    if aik.public != account.aik:
        raise errors.DecryptionError()
    outer_key = Secret(sealed.open(amk, labelled(labels.WRAPPED_OUTER_KEY, context), inner.wrapped_outer_key))
    return Opened(amk, aik, outer_key)


def open_with_password(account: Account, inner: Inner, password: Secret, bounds: KdfBounds) -> Opened:
    """The inner part by the first password unlocker; raises `InvalidVault` or `DecryptionError`.

    `bounds` are the client's own: where the account comes from a server, its profile's would be the server's choice.
    """
    unlocker = find_unlocker(inner, UnlockerKind.PASSWORD)
    try:
        parameters = decode(PasswordParameters, unlocker.parameters)
    except errors.PeerError:
        raise errors.InvalidVault("the password's parameters cannot be read") from None
    secret = password_secret(account.server_name, account.user_id, password, parameters, bounds)
    return open_inner(account, inner, unlocker.id, secret)


def open_with_recovery_key(account: Account, inner: Inner, key: Secret) -> Opened:
    """The inner part by the first recovery key; raises `InvalidVault` or `DecryptionError`."""
    return open_inner(account, inner, find_unlocker(inner, UnlockerKind.RECOVERY_KEY).id, key)


def find_unlocker(inner: Inner, kind: UnlockerKind) -> Unlocker:
    """The first unlocker of a kind; raises `InvalidVault`."""
    for unlocker in inner.unlockers:
        if unlocker.kind is kind:
            return unlocker
    raise errors.InvalidVault(f"it has no unlocker of the kind {kind.name.lower()}")
