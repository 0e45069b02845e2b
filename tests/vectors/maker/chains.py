"""Files about accounts: chains of records, vaults, and how two writers' entries become one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

from vectors.maker.basics import Case, case
from vectors.maker.people import (
    NOW,
    SERVER,
    Device,
    Version,
    certify,
    change_password,
    device,
    entry,
    first,
    frame,
    key_entries,
    outer,
    password_parameters,
    password_secret,
    place_of,
    reset,
    revoke,
    secrets,
    signatures,
)
from vectors.maker.primitives import NAMES, STANDARD, SigningKey, signing_key
from vectors.maker.tls import Value, drawn, encode, make, struct_hash

Chain = dict[str, Version]


def pins(user_id: str) -> list[tuple[int, bytes, bytes]]:
    """What a device knows: a contact, a conversation's genesis and its head."""
    pin = make("ContactPin", "zoë", 7, drawn("pin", 32), drawn("pin aik", 32))
    named = "c0" * 32
    genesis = make("ConversationHead", named, 1, drawn("genesis", 32))
    head = make("ConversationHead", named, 9, drawn("head", 32))
    return [
        (3, "zoë".encode(), encode("ContactPin", pin)),
        (5, named.encode(), encode("ConversationHead", genesis)),
        (6, named.encode(), encode("ConversationHead", head)),
    ]


@cache
def history(profile: int, user_id: str = "alice") -> Chain:
    """An account's life: two devices, another password, one revoked, two ways to a reset."""
    one = first(profile, user_id)
    (phone,) = one.devices
    tablet = device(profile, user_id, "tablet")
    two = certify(one, tablet, pins(user_id))
    three = change_password(two)
    four = revoke(three, tablet, phone)
    return {
        "1 first": one,
        "2 a device more": two,
        "3 another password": three,
        "4 a device revoked": four,
        "4 reset by the identity key": reset(three, tablet, 1, (phone, tablet)),
        "5 reset by a device": reset(four, tablet, 2, (tablet,)),
    }


def served(version: Version) -> Value:
    """A record as it is served: three texts."""
    return {
        "record": encode("AccountRecord", version.record),
        "signatures": encode("AccountSignatures", version.signatures),
        "keyId": version.hash,
    }


# --- chains --------------------------------------------------------------------------------


def accounts() -> dict[str, Any]:
    """Chains of account records; the last record of an invalid one is what is refused."""
    records: dict[str, Value] = {}
    cases: list[Case] = []
    for profile in (STANDARD, 1, 3):
        chain = history(profile)
        name = NAMES[profile]
        records |= {f"{name} {each}": served(version) for each, version in chain.items()}
        four = ["1 first", "2 a device more", "3 another password"]
        whole = [*four, "4 a device revoked", "5 reset by a device"]
        anew = [*four, "4 reset by the identity key"]
        for comment, names in (("to a reset by a device", whole), ("to a reset by the identity key", anew)):
            cases.append(case(f"{name}: {comment}", chain=[f"{name} {each}" for each in names]))
        for comment, before, bent, cause in refused(profile, chain):
            made = [f"{name} {each}" for each in before]
            cases.append(case(f"{name}: {comment}", cause, chain=[*made, served_bent(*bent)]))
    return {"records": records, "accounts": cases}


def served_bent(record: Value, signed: Value) -> Value:
    """A record that is only in its case."""
    return {
        "record": encode("AccountRecord", record),
        "signatures": encode("AccountSignatures", signed),
        "keyId": struct_hash("account record", "AccountRecord", record),
    }


Refused = tuple[str, Sequence[str], tuple[Value, Value], str]


def refused(profile: int, chain: Chain) -> list[Refused]:
    """What breaks one rule, signed by whom the rule says."""
    one, two, three = chain["1 first"], chain["2 a device more"], chain["3 another password"]
    four, by_aik, by_device = (
        chain["4 a device revoked"],
        chain["4 reset by the identity key"],
        chain["5 reset by a device"],
    )
    (phone,) = one.devices
    tablet = next(each for each in two.devices if each.name == "tablet")
    until_three = ["1 first", "2 a device more", "3 another password"]
    until_four = [*until_three, "4 a device revoked"]
    aik, rule, bad = one.secrets.aik, "invalid_account_record", "bad_signature"
    found: list[Refused] = []

    def begin(comment: str, cause: str = rule, **bent: Any) -> None:
        record = one.record | bent
        found.append((comment, [], (record, signatures(record, aik, phone)), cause))

    def follow(comment: str, cause: str = rule, **bent: Any) -> None:
        record = two.record | bent
        found.append((comment, ["1 first"], (record, signatures(record, aik)), cause))

    def revoking(comment: str, **bent: Any) -> None:
        record = four.record | bent
        found.append((comment, until_three, (record, signatures(record, aik)), rule))

    def resetting(comment: str, of: Version, by: Device, cause: str = rule, **bent: Any) -> None:
        record = of.record | bent
        allowed = aik if of is by_aik else None
        before = until_three if of is by_aik else until_four
        found.append((comment, before, (record, signatures(record, of.secrets.aik, by, allowed)), cause))

    begin("the first has version 2", version=2)
    begin("the first names an earlier one", previous_hash=drawn("no hash", 32))
    begin("the first has no device", devices=[])
    begin("the first is a reset", reset_by=make("ResetNote", 2, phone.device_id))
    begin("a device id of another key", devices=[phone.certificate | {"device_id": tablet.device_id}])
    begin("a certificate of another user", devices=[phone.certificate | {"user_id": "mallory"}])
    begin(
        "an encryption key too few", encryption_keys=one.record["encryption_keys"][1:] or [], archive_key_id=b"x" * 32
    )
    begin("an archive key id of 31 bytes", archive_key_id=bytes(31))
    found.append(("without the device's possession", [], (one.record, signatures(one.record, aik)), bad))
    stranger = signing_key(profile, "a stranger")
    found.append(("signed by a stranger", [], (one.record, signatures(one.record, stranger, phone)), bad))
    follow("a version is left out", version=3)
    follow("another before it", previous_hash=drawn("no hash", 32))
    follow("another user", user_id="mallory")
    follow("another server", server_name="evil.example")
    follow("another profile", profile=2 if profile != 2 else 3)
    follow("another identity key without a reset", aik=stranger.public)
    follow("devices are not sorted", devices=two.record["devices"][::-1])
    follow("a device goes without being revoked", devices=[tablet.certificate])
    follow("a device that stays is revoked", revoked=[make("RevokedDevice", phone.device_id, 2)])
    follow("a stranger is revoked", revoked=[make("RevokedDevice", "0" * 64, 2)])
    follow("the outer part goes back", outer=make("OuterRef", 0, drawn("outer", 32)))
    follow("another outer part in the same version", outer=make("OuterRef", 1, drawn("outer", 32)))
    found.append(("the second signed by a stranger", ["1 first"], (two.record, signatures(two.record, stranger)), bad))
    extra = (two.record, signatures(two.record, aik, phone))
    found.append(("a signature too many", ["1 first"], extra, rule))
    revoking("a revocation keeps the encryption keys", encryption_keys=three.record["encryption_keys"])
    revoking("a revocation keeps the archive key", archive_key_id=three.record["archive_key_id"])
    revoking("a revocation keeps the boxes", boxes_hash=three.record["boxes_hash"])
    revoking("a revocation keeps the outer part", outer=three.record["outer"])
    revoking("a revocation names another version", revoked=[make("RevokedDevice", phone.device_id, 3)])
    back = frame(four, profile, "alice", four.secrets, (tablet,), four.vault) | {"revoked": []}
    found.append(("a revocation is taken back", until_four, (back, signatures(back, aik)), rule))
    resetting("a reset keeps the identity key", by_device, tablet, aik=aik.public)
    resetting("a reset keeps the encryption keys", by_device, tablet, encryption_keys=four.record["encryption_keys"])
    resetting("a reset keeps the inner part", by_device, tablet, inner_hash=four.record["inner_hash"])
    resetting("a reset's outer part is not the first", by_device, tablet, outer=four.record["outer"])
    resetting("a reset is asked for by a device that goes", by_device, tablet,
              reset_by=make("ResetNote", 2, phone.device_id))  # fmt: skip
    resetting("a reset names no device", by_device, tablet, reset_by=make("ResetNote", 2, ""))
    resetting("another device signs", by_device, phone, bad)
    resetting("nobody else signs", by_device, tablet, "unsupported_suite",
              reset_by=make("ResetNote", 3, tablet.device_id))  # fmt: skip
    other = device(profile, "alice", "stranger")
    certified = sorted([tablet.certificate, other.certificate], key=lambda each: str(each["device_id"]))
    resetting("a device alone certifies another", by_device, tablet, devices=certified)
    signed = signatures(by_aik.record, by_aik.secrets.aik, tablet, stranger)
    found.append(("a stranger in the place of the old identity key", until_three, (by_aik.record, signed), bad))
    under = signatures(by_aik.record, by_aik.secrets.aik, tablet)
    wrong = under | {"old_aik": _relabelled(aik, by_aik.record)}
    found.append(("the old identity key under another label", until_three, (by_aik.record, wrong), bad))
    return found


def _relabelled(aik: SigningKey, record: Value) -> bytes:
    return bytes(signatures(record, aik)["aik"])


# --- vaults --------------------------------------------------------------------------------


def vaults() -> dict[str, list[Case]]:
    """Whole vaults beside the record that names them, and all that opens them."""
    made: list[Case] = []
    for profile in (STANDARD, 1, 3):
        chain = history(profile)
        everybody = [device(profile, "alice", name) for name in ("phone", "tablet")]
        for name, version in chain.items():
            made.append(_vault(f"{NAMES[profile]}: {name}", version, everybody))
        made += _refused(profile, chain)
    return {"vaults": made}


def _vault(comment: str, version: Version, everybody: Sequence[Device], cause: str = "", **bent: Any) -> Case:
    known = version.secrets
    fields = served(version) | {
        "vault": encode("Vault", version.vault),
        "writers": {each.device_id: each.request.public for each in everybody},
    }
    if not cause:
        parameters = password_parameters(version.profile, bytes(16))
        fields |= {
            "password": known.password,
            "cost": {field: parameters[field] for field in ("kdf", "memory_kib", "iterations", "lanes")},
            "recovery_key": known.recovery_key,
            "amk": known.amk,
            "aik_seed": known.aik.seed,
            "outer_key": known.outer_key,
            "boxes": {each.device_id: each.kem.private for each in version.devices},
            "entries": list(version.entries),
        }
        _check_password(version)
    return case(comment, cause, **fields | bent)


def _check_password(version: Version) -> None:
    from vectors.maker.people import proof as shown

    for each in version.vault["inner"]["unlockers"]:
        secret = version.secrets.recovery_key
        if each["kind"] == 1:
            salt = each["parameters"][-16:]
            parameters = password_parameters(version.profile, salt)
            secret = password_secret(SERVER, "alice", version.secrets.password, parameters)
        hashed = make("Proof", shown(SERVER, "alice", each["id"], secret))
        assert each["proof_hash"] == struct_hash("unlocker proof", "Proof", hashed)


def _refused(profile: int, chain: Chain) -> list[Case]:
    """Vaults that are not those that the record names."""
    one, two, three = chain["1 first"], chain["2 a device more"], chain["3 another password"]
    phone, tablet = (next(each for each in two.devices if each.name == name) for name in ("phone", "tablet"))
    name, rule = NAMES[profile], "invalid_vault"
    found: list[Case] = []

    def bent(comment: str, cause: str = rule, **parts: Value) -> None:
        vault = encode("Vault", two.vault | parts)
        found.append(_vault(f"{name}: {comment}", two, (phone, tablet), cause, vault=vault))

    bent("another inner part", inner=three.vault["inner"])
    bent("other boxes", boxes=one.vault["boxes"])
    bent("an earlier outer part", outer=one.vault["outer"])
    part = two.vault["outer"]
    bent("another signature", "bad_signature", outer=part | {"signature": one.vault["outer"]["signature"]})
    bent("other entries", outer=part | {"sealed_entries": one.vault["outer"]["sealed_entries"]})
    return found


def outers() -> dict[str, list[Case]]:
    """Outer parts that follow one that the record names, and what is not one."""
    made: list[Case] = []
    for profile in (STANDARD, 1, 3):
        two = history(profile)["2 a device more"]
        phone, tablet = (next(each for each in two.devices if each.name == name) for name in ("phone", "tablet"))
        stranger = device(profile, "alice", "stranger")
        before, key = two.vault["outer"]["header"], two.secrets.outer_key
        gone = entry(phone, 3, "zoë".encode(), b"", 3)
        entries = [each for each in two.entries if place_of(each) != place_of(gone)]
        whole = sorted([*entries, gone], key=place_of)

        def part(
            comment: str,
            cause: str = "",
            of: Version = two,
            *,
            version: int = 2,
            previous: Value = before,
            made_of: Sequence[Value] = whole,
            by: Device = phone,
            outer_key: bytes = key,
            right: bytes = key,
            header: Value = before,
            name: str = NAMES[profile],
        ) -> None:
            new = outer("alice", version, previous, made_of, outer_key, by)
            fields = {
                "before": encode("OuterHeader", header),
                "outer": encode("Outer", new),
                "outer_key": right,
                "writers": {each.device_id: each.request.public for each in of.devices},
            }
            fields |= {} if cause else {"entries": list(made_of)}
            made.append(case(f"{name}: {comment}", cause, **served(of), **fields))

        rule = "invalid_vault"
        part("the next one, with a tombstone")
        part("of another account version", rule, version=1)
        part("a version is left out", rule, previous=before | {"version": 3})
        part("another before it", rule, previous=before | {"written_at": NOW})
        part("entries out of order", rule, made_of=whole[::-1])
        part("an entry twice", rule, made_of=[*whole, whole[-1]])
        part("a clock to come", rule, made_of=[entry(phone, 3, b"x", b"y", 4)])
        part("another outer key", "decryption_failed", outer_key=drawn("another outer key", 32))
        forged = entry(tablet, 3, b"x", b"y", 3)
        forged = forged | {"signature": entry(phone, 3, b"x", b"y", 3)["signature"]}
        part("an entry that its device did not sign", "bad_signature", made_of=[forged])
        part("by a device that is not certified", rule, by=stranger)
        part("an entry of a device that never was", rule, made_of=[entry(stranger, 3, b"x", b"y", 3)])
    return {"outers": made}


# --- merging -------------------------------------------------------------------------------


def merges() -> dict[str, list[Case]]:
    """Two writers' entries as one: in each place the stronger, whatever the order."""
    one, two = (device(STANDARD, "alice", name) for name in ("phone", "tablet"))
    low, high = sorted((one, two), key=lambda each: each.device_id)
    both = [low.device_id, high.device_id]
    made: list[Case] = []

    def head_of(talk: str, epoch: int) -> bytes:
        return encode("ConversationHead", make("ConversationHead", talk, epoch, drawn(f"head {epoch}", 32)))

    head = partial(head_of, "c")

    def place(comment: str, weak: Value, strong: Value, certified: Sequence[str] = both) -> None:
        fields = {"first": [weak], "second": [strong], "certified": list(certified)}
        made.append(case(comment, **fields, merged=[strong]))

    pin: Callable[[Device, bytes, int], Value] = lambda by, value, clock: entry(by, 3, b"zoe", value, clock)  # noqa: E731
    place("the higher clock", pin(high, b"old", 4), pin(low, b"new", 5))
    place("of one clock the higher device id", pin(low, b"a", 5), pin(high, b"b", 5))
    place("of one clock and device the higher value", pin(low, b"a", 5), pin(low, b"b", 5))
    place("a tombstone with a higher clock", pin(high, b"old", 4), pin(low, b"", 5))
    place("a value with a higher clock than a tombstone", pin(high, b"", 4), pin(low, b"new", 5))
    place("a certified device against a higher clock", pin(high, b"b", 9), pin(low, b"a", 2), [low.device_id])
    place("of two that are not certified the higher clock", pin(high, b"b", 2), pin(low, b"a", 3), [])
    place("of two heads the later epoch", entry(high, 6, b"c", head(3), 9), entry(low, 6, b"c", head(4), 2))
    place("of two heads of one epoch the higher clock", entry(high, 6, b"c", head(3), 2),
          entry(low, 6, b"c", head(3), 3))  # fmt: skip
    place("a head that can be read", entry(high, 6, b"c", b"no head", 9), entry(low, 6, b"c", head(1), 2))
    place("a certified device's head against a later epoch", entry(high, 6, b"c", head(9), 9),
          entry(low, 6, b"c", head(1), 2), [low.device_id])  # fmt: skip
    place("of two geneses the higher clock", entry(high, 5, b"c", head(3), 2), entry(low, 5, b"c", head(1), 3))
    place("a head of its place", entry(high, 6, b"d", head(9), 9), entry(low, 6, b"d", head_of("d", 1), 2))

    known, other = secrets(STANDARD, "alice", 1), secrets(STANDARD, "alice", 2)
    names = ("an archive key", "an X-Wing key", "an RSA key")
    for name, true, false in zip(names, key_entries(low, known, 2), key_entries(low, other, 2), strict=True):
        kind, key, value = (true["entry"][part] for part in ("kind", "key", "value"))
        at, another, alone = partial(entry, kind=kind, key=key), false["entry"]["value"], [low.device_id]
        place(f"{name} against its tombstone", at(high, value=b"", clock=9), at(low, value=value, clock=2))
        place(f"{name} that was there first", at(high, value=value, clock=9), at(low, value=value, clock=2))
        place(f"{name} against another in its place", at(high, value=another, clock=1), at(low, value=value, clock=9))
        weak, strong = at(low, value=another, clock=9), at(high, value=value, clock=2)
        place(f"{name} of a device that is not certified, against another", weak, strong, alone)
        weak, strong = at(high, value=value, clock=2), at(low, value=value, clock=9)
        place(f"{name} of a certified device", weak, strong, alone)
    halves = encode(
        "PrivateKey", make("PrivateKey", known.keys[0].algorithm, known.keys[0].public, other.keys[0].private)
    )
    true = key_entries(low, known, 5)[1]
    place("a key whose halves belong together", entry(high, 1, true["entry"]["key"], halves, 2), true)
    for kind in (1, 2):
        late, early = entry(high, kind, b"k", b"late", 9), entry(low, kind, b"k", b"early", 2)
        place(f"of two that are no keys, kind {kind}, the lower clock", late, early)
        place(f"a tombstone against no key, kind {kind}", late, entry(low, kind, b"k", b"", 2))
    several = [entry(low, kind, key, b"v", 2) for kind, key in ((3, b"a"), (8, b"a"), (1, b"z"))]
    others = [entry(high, kind, key, b"v", 1) for kind, key in ((3, b"b"), (1, b"a"), (3, b"a"))]
    merged = sorted([*several, *others[:2]], key=place_of)
    made.append(case("all places, sorted", first=several, second=others, certified=both, merged=merged))
    return {"merges": made}
