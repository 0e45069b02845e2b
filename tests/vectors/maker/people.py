"""Accounts as the specification has them: devices, vaults, and one record after the other, every secret known."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from vectors.maker.primitives import (
    COMPAT,
    FIPS,
    NAMES,
    STANDARD,
    SigningKey,
    WrappingKey,
    argon2id,
    hkdf,
    pbkdf2,
    rsa_key,
    seal,
    signing_key,
    wrap,
    x_wing_key,
)
from vectors.maker.tls import Value, drawn, encode, labelled, make, struct_hash

SERVER = "chat.example"
NOW = 1_790_000_000_000
SUITES = {COMPAT: [], STANDARD: [1, 0x53], FIPS: [2]}
BITS = {COMPAT: 2048, STANDARD: 3072, FIPS: 3072}


def fingerprint(profile: int, aik: bytes) -> bytes:
    """What rosters and contexts know an identity key by."""
    return struct_hash("aik fingerprint", "AikKey", make("AikKey", profile, aik))


def account_hash(record: Value) -> bytes:
    """The hash of an account record."""
    return struct_hash("account record", "AccountRecord", record)


@dataclass(frozen=True)
class Device:
    """A device's own keys; `mls` is None in the profile compat."""

    profile: int
    user_id: str
    name: str
    request: SigningKey
    mls: SigningKey | None
    kem: WrappingKey

    @property
    def device_id(self) -> str:
        """The hash of user and request key, in hex."""
        return struct_hash("device id", "DeviceKey", make("DeviceKey", self.user_id, self.request.public)).hex()

    @property
    def certificate(self) -> Value:
        """The public half."""
        mls = self.mls.public if self.mls else b""
        public = (self.user_id, self.device_id, self.request.public, mls, self.kem.public, SUITES[self.profile])
        return make("DeviceCertificate", *public)


def device(profile: int, user_id: str, name: str) -> Device:
    """A named device."""
    place = f"{NAMES[profile]} {user_id} {name}"
    kem = x_wing_key(place) if profile == STANDARD else rsa_key(f"{user_id} {name}", BITS[profile])
    mls = None if profile == COMPAT else signing_key(profile, f"{place} mls")
    return Device(profile, user_id, name, signing_key(profile, f"{place} request"), mls, kem)


@dataclass(frozen=True)
class Secrets:
    """What an unlocker opens, and what opens it."""

    aik: SigningKey
    amk: bytes
    outer_key: bytes
    archive_key: bytes
    keys: tuple[WrappingKey, ...]
    password: bytes
    recovery_key: bytes


@dataclass(frozen=True)
class Version:
    """One version of an account with all that belongs to it; `devices` are those that it certifies."""

    record: Value
    signatures: Value
    vault: Value
    secrets: Secrets
    devices: tuple[Device, ...]
    entries: tuple[Value, ...] = field(repr=False)

    @property
    def hash(self) -> bytes:
        """The record's hash."""
        return account_hash(self.record)

    @property
    def profile(self) -> int:
        """The account's profile."""
        profile: int = self.record["profile"]
        return profile

    def key(self, algorithm: int) -> WrappingKey:
        """The account's present encryption key of an algorithm."""
        return next(each for each in self.secrets.keys if each.algorithm == algorithm)


def secrets(profile: int, user_id: str, generation: int) -> Secrets:
    """All that a registration, or a reset, makes."""
    place = f"{NAMES[profile]} {user_id} {generation}"
    keys = [rsa_key(f"{user_id} account {generation}", BITS[profile])]
    if profile == STANDARD:
        keys.insert(0, x_wing_key(f"{place} account"))
    return Secrets(
        signing_key(profile, f"{place} aik"),
        drawn(f"{place} amk", 32),
        drawn(f"{place} outer key", 32),
        drawn(f"{place} archive key", 32),
        tuple(keys),
        f"the password of {user_id}, {generation}".encode(),
        drawn(f"{place} recovery key", 32),
    )


# --- unlockers -----------------------------------------------------------------------------


def password_parameters(profile: int, salt: bytes) -> Value:
    """A cheap derivation: these are vectors, not accounts."""
    cost = (1, 32, 1, 2) if profile == STANDARD else (2, 0, 1000, 0)
    return make("PasswordParameters", *cost, salt)


def password_secret(server_name: str, user_id: str, password: bytes, parameters: Value) -> bytes:
    """The secret of a password: Argon2id is kdf 1, PBKDF2 2."""
    salt = struct_hash("password salt", "PasswordSalt", make("PasswordSalt", server_name, user_id, parameters["salt"]))
    if parameters["kdf"] == 2:
        return pbkdf2(password, salt, parameters["iterations"])
    return argon2id(password, salt, parameters["memory_kib"], parameters["iterations"], parameters["lanes"])


def proof(server_name: str, user_id: str, unlocker_id: str, secret: bytes) -> bytes:
    """What an unlocker shows the server."""
    return hkdf(secret, labelled("auth", "AuthContext", make("AuthContext", server_name, user_id, unlocker_id)))


def unlocker(
    profile: int, user_id: str, aik: bytes, kind: int, unlocker_id: str, parameters: bytes, secret: bytes, amk: bytes
) -> Value:
    """The AMK sealed under an unlocker's secret, and the hash of its proof."""
    context = make("UnlockContext", SERVER, user_id, profile, unlocker_id, fingerprint(profile, aik))
    key = hkdf(secret, labelled("unlock", "UnlockContext", context))
    sealed = seal(key, labelled("wrapped amk", "UnlockContext", context), amk, drawn(f"salt {unlocker_id}", 24))
    shown = make("Proof", proof(SERVER, user_id, unlocker_id, secret))
    return make("Unlocker", unlocker_id, kind, parameters, struct_hash("unlocker proof", "Proof", shown), sealed)


def inner(profile: int, user_id: str, known: Secrets) -> Value:
    """The inner part: a password and a recovery key, the identity key's seed and the outer key under the AMK."""
    place = f"{NAMES[profile]} {user_id} {known.password!r} {known.outer_key.hex()}"
    aik = known.aik.public
    parameters = password_parameters(profile, drawn(f"{place} password salt", 16))
    secret = password_secret(SERVER, user_id, known.password, parameters)
    ids = [drawn(f"{place} unlocker {number}", 16).hex() for number in (1, 2)]
    unlockers = [
        unlocker(profile, user_id, aik, 1, ids[0], encode("PasswordParameters", parameters), secret, known.amk),
        unlocker(profile, user_id, aik, 2, ids[1], b"", known.recovery_key, known.amk),
    ]
    context = make("AccountContext", SERVER, user_id, fingerprint(profile, aik))

    def sealed(label: str, plaintext: bytes) -> bytes:
        return seal(known.amk, labelled(label, "AccountContext", context), plaintext, drawn(f"{place} {label}", 24))

    return make("Inner", unlockers, sealed("wrapped aik", known.aik.seed), sealed("wrapped outer key", known.outer_key))


# --- boxes and the outer part --------------------------------------------------------------


def boxes(profile: int, user_id: str, version: int, devices: Iterable[Device], outer_key: bytes) -> Value:
    """The outer key for each device."""
    made = []
    for each in devices:
        info = labelled("box", "BoxContext", make("BoxContext", SERVER, user_id, version, each.device_id))
        name = f"box {NAMES[profile]} {user_id} {version} {each.name} {outer_key.hex()[:8]}"
        made.append(make("Box", each.device_id, wrap(each.kem, info, outer_key, name)))
    return make("Boxes", made)


def entry(writer: Device, kind: int, key: bytes, value: bytes, clock: int) -> Value:
    """A signed entry."""
    made = make("Entry", kind, key, value, clock, writer.device_id)
    return make("SignedEntry", made, writer.request.sign(labelled("vault entry", "Entry", made)))


def place_of(signed: Value) -> tuple[int, bytes]:
    """What entries are sorted by."""
    return signed["entry"]["kind"], signed["entry"]["key"]


def archive_key_id(archive_key: bytes) -> bytes:
    """Derived, so that it says nothing of the key."""
    return hkdf(archive_key, labelled("archive key id", "NoContext", {}))


def key_entries(writer: Device, known: Secrets, clock: int) -> list[Value]:
    """The account's private keys."""
    made = [entry(writer, 2, archive_key_id(known.archive_key), known.archive_key, clock)]
    for each in known.keys:
        public = make("EncryptionKey", each.algorithm, each.public)
        value = encode("PrivateKey", make("PrivateKey", each.algorithm, each.public, each.private))
        made.append(entry(writer, 1, struct_hash("encryption key", "EncryptionKey", public), value, clock))
    return made


def outer(
    user_id: str, version: int, before: Value | None, entries: Sequence[Value], key: bytes, writer: Device
) -> Value:
    """The next outer part: the entries sealed, the header signed."""
    number = before["version"] + 1 if before else 1
    previous = struct_hash("vault outer header", "OuterHeader", before) if before else bytes(32)
    context = labelled("outer", "OuterContext", make("OuterContext", SERVER, user_id, version, number))
    plaintext = encode("Entries", make("Entries", list(entries)))
    sealed = seal(key, context, plaintext, drawn(f"outer salt {key.hex()} {version} {number}", 24))
    hashed = struct_hash("vault outer entries", "Sealed", make("Sealed", sealed))
    header = make("OuterHeader", SERVER, user_id, version, number, previous, NOW + version, writer.device_id, hashed)
    signature = writer.request.sign(labelled("vault outer header", "OuterHeader", header))
    return make("Outer", header, signature, sealed)


# --- records -------------------------------------------------------------------------------


def frame(
    before: Version | None, profile: int, user_id: str, known: Secrets, devices: Sequence[Device], vault: Value
) -> Value:
    """The record that names this vault, as nobody has signed it yet."""
    version = before.record["version"] + 1 if before else 1
    stay = sorted(devices, key=lambda each: each.device_id)
    revoked: list[Value] = list(before.record["revoked"]) if before else []
    if before:
        ids = {each.device_id for each in devices}
        gone = [each.device_id for each in before.devices if each.device_id not in ids]
        revoked += [make("RevokedDevice", device_id, version) for device_id in gone]
    return make(
        "AccountRecord",
        SERVER,
        user_id,
        version,
        before.hash if before else bytes(32),
        known.aik.public,
        profile,
        [make("EncryptionKey", key.algorithm, key.public) for key in known.keys],
        archive_key_id(known.archive_key),
        [each.certificate for each in stay],
        sorted(revoked, key=lambda each: str(each["device_id"])),
        make("ResetNote", 0, ""),
        struct_hash("vault inner", "Inner", vault["inner"]),
        struct_hash("vault boxes", "Boxes", vault["boxes"]),
        make(
            "OuterRef",
            vault["outer"]["header"]["version"],
            struct_hash("vault outer header", "OuterHeader", vault["outer"]["header"]),
        ),
    )


def signatures(record: Value, aik: SigningKey, by: Device | None = None, old_aik: SigningKey | None = None) -> Value:
    """The signatures of a record, each under its own label."""
    return make(
        "AccountSignatures",
        aik.sign(labelled("account record", "AccountRecord", record)),
        by.request.sign(labelled("device possession", "AccountRecord", record)) if by else b"",
        old_aik.sign(labelled("account reset", "AccountRecord", record)) if old_aik else b"",
    )


def _next(before: Version | None, known: Secrets, devices: Sequence[Device], writer: Device, **how: Any) -> Version:
    """A version with the vault that goes with it; `entries` are written anew unless there are none."""
    profile, user_id = writer.profile, writer.user_id
    version = before.record["version"] + 1 if before else 1
    stay = tuple(sorted(devices, key=lambda each: each.device_id))
    new: list[Value] = how.get("entries", [])
    held = {} if how.get("reset") or before is None else {place_of(each): each for each in before.entries}
    entries = tuple(each for _, each in sorted((held | {place_of(each): each for each in new}).items()))
    if before is not None and not new:
        part = before.vault["outer"]
    else:
        earlier = before.vault["outer"]["header"] if before and not how.get("reset") else None
        part = outer(user_id, version, earlier, entries, known.outer_key, writer)
    opened = inner(profile, user_id, known)
    vault = make("Vault", opened, boxes(profile, user_id, version, stay, known.outer_key), part)
    record = frame(before, profile, user_id, known, stay, vault)
    old_aik = before.secrets.aik if before else None
    if how.get("reset"):
        assert before is not None
        record["reset_by"] = make("ResetNote", how["reset"], writer.device_id)
        signed = signatures(record, known.aik, writer, old_aik if how["reset"] == 1 else None)
    else:
        signed = signatures(record, old_aik or known.aik, None if before else writer)
    return Version(record, signed, vault, known, stay, entries)


def first(profile: int, user_id: str) -> Version:
    """A registration: one device named "phone"."""
    phone = device(profile, user_id, "phone")
    known = secrets(profile, user_id, 1)
    named = entry(phone, 8, phone.device_id.encode(), "Télefon".encode(), 1)
    return _next(None, known, (phone,), phone, entries=[*key_entries(phone, known, 1), named])


def certify(before: Version, new: Device, pins: Sequence[tuple[int, bytes, bytes]] = ()) -> Version:
    """One more device, which writes its name and what it knows into the vault."""
    clock = before.vault["outer"]["header"]["version"] + 1
    named = entry(new, 8, new.device_id.encode(), new.name.encode(), clock)
    known = [entry(new, kind, key, value, clock) for kind, key, value in pins]
    return _next(before, before.secrets, (*before.devices, new), new, entries=[named, *known])


def change_password(before: Version) -> Version:
    """Another password; the outer part stays as it is."""
    known = replace(before.secrets, password=before.secrets.password + b" (new)")
    return _next(before, known, before.devices, before.devices[0])


def revoke(before: Version, by: Device, gone: Device) -> Version:
    """One device fewer: everything that others wrap to is new, what the former keys open stays in the vault."""
    fresh = secrets(before.profile, by.user_id, 2)
    known = replace(before.secrets, outer_key=fresh.outer_key, archive_key=fresh.archive_key, keys=fresh.keys)
    clock = before.vault["outer"]["header"]["version"] + 1
    stay = tuple(each for each in before.devices if each.device_id != gone.device_id)
    return _next(before, known, stay, by, entries=key_entries(by, known, clock))


def reset(before: Version, by: Device, how: int, devices: Sequence[Device]) -> Version:
    """Another identity key and all of it new; `how` 1: the one before allows it, 2: a device alone asks."""
    known = secrets(before.profile, by.user_id, 3)
    return _next(before, known, devices, by, entries=key_entries(by, known, 1), reset=how)
