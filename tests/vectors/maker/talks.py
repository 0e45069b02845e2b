"""Conversations: records, rosters, leaves, grants and messages, made as the specification says."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vectors.maker.people import NOW, Device, Version, account_hash, fingerprint
from vectors.maker.primitives import NAMES, RSA, STANDARD, X_WING, gcm, hkdf, wrap
from vectors.maker.tls import Value, drawn, encode, labelled, labelled_bytes, make, struct_hash, vector

REMOVED, MEMBER, ADMIN = 0, 1, 2
HOUR = 60 * 60 * 1000
POLICY = make("Policy", 1, make("Rotation", 7 * 24 * HOUR, 10_000), 0, False)
WRAPS = {X_WING: 1, RSA: 2}


@dataclass(frozen=True)
class Epoch:
    """One record with its signature, its key and the roster after it: user id to change."""

    record: Value
    signature: bytes
    key: bytes
    roster: dict[str, Value]
    added: dict[str, bytes]

    @property
    def hash(self) -> bytes:
        """The record's hash."""
        return record_hash(self.record)


def record_hash(record: Value) -> bytes:
    """The hash of a conversation record."""
    return struct_hash("conversation record", "ConversationRecord", record)


def in_order(changes: Sequence[Value]) -> list[Value]:
    """Sorted by the UTF-8 bytes of the user ids."""
    return sorted(changes, key=lambda each: str(each["user_id"]).encode())


def change(account: Version, role: int) -> Value:
    """A member's place, taken from this account record."""
    record = account.record
    mark = fingerprint(record["profile"], record["aik"])
    return make("Change", record["user_id"], mark, role, record["version"], account_hash(record))


def roster_hash(roster: dict[str, Value]) -> bytes:
    """The hash of the sorted roster."""
    return struct_hash("roster", "RosterList", make("RosterList", in_order(list(roster.values()))))


def key_id(key: bytes, record: Value) -> bytes:
    """The commitment to the epoch's key: over the hash of the record with an empty key_id."""
    bare = record_hash(record | {"key_id": b""})
    return hkdf(key, labelled("key id", "KeyIdContext", make("KeyIdContext", bare)))


def open_epoch(
    before: Epoch | None,
    opener: Version,
    device: Device,
    places: Sequence[Value],
    *,
    name: str,
    profile: int,
    requests: Sequence[Value] = (),
    **bent: Any,
) -> Epoch:
    """The next epoch, or the first; `bent` are fields that a case makes wrong, before everything else is fitted."""
    user_id = opener.record["user_id"]
    genesis = drawn(f"genesis {name}", 32) if before is None else b""
    roster = dict(before.roster) if before else {}
    for each in places:
        if each["role"] == REMOVED:
            roster.pop(each["user_id"], None)
        else:
            roster[each["user_id"]] = each
    founding = make("Founding", user_id, genesis)
    named = before.record["conversation_id"] if before else struct_hash("conversation id", "Founding", founding).hex()
    values: Value = make(
        "ConversationRecord",
        named,
        before.record["epoch"] + 1 if before else 1,
        before.hash if before else bytes(32),
        1,
        profile,
        0,
        b"",
        0,
        b"",
        roster_hash(roster),
        in_order(places),
        list(requests),
        before.record["policy"] if before else POLICY,
        genesis,
        b"",
        "",
        NOW + (before.record["epoch"] if before else 0),
        make("Opener", user_id, device.device_id, account_hash(opener.record)),
    )
    values |= {field: value for field, value in bent.items() if field in values}
    key = drawn(f"conversation key {name} {values['epoch']} {bent!r}", 32)
    if "key_id" not in bent:
        values["key_id"] = key_id(key, values)
    signature = device.request.sign(labelled("conversation record", "ConversationRecord", values))
    own = record_hash(values)
    added = {}
    for user, place in roster.items():
        stays = before and user in before.roster and before.roster[user]["aik_fingerprint"] == place["aik_fingerprint"]
        added[user] = before.added[user] if before and stays else own
    return Epoch(values, signature, key, roster, added)


def leave(epoch: Epoch, account: Version, device: Device, adding: bytes | None = None) -> Value:
    """A signed leave of the present stay."""
    record = account.record
    user_id = record["user_id"]
    stay = adding or epoch.added[user_id]
    made = make(
        "Leave",
        epoch.record["conversation_id"],
        stay,
        user_id,
        device.device_id,
        record["version"],
        account_hash(record),
    )
    return make("SignedLeave", made, device.request.sign(labelled("leave", "Leave", made)))


def request(signed: Value) -> Value:
    """A leave as a record carries it out."""
    return make("Request", 1, encode("SignedLeave", signed))


def grant(epoch: Epoch, granter: Version, device: Device, recipient: Version, **bent: Any) -> Value:
    """The epoch's key for one account: X-Wing in conversations of the profile standard, else RSA-OAEP."""
    algorithm = X_WING if epoch.record["profile"] == STANDARD else RSA
    own, theirs = account_hash(granter.record), account_hash(recipient.record)
    user_id = recipient.record["user_id"]
    info = labelled("grant wrap", "GrantContext", make("GrantContext", epoch.hash, user_id, theirs))
    plaintext = bent.get("plaintext", epoch.key)
    place = f"grant {NAMES[epoch.record['profile']]} {user_id} {epoch.hash.hex()[:16]} {plaintext.hex()[:8]}"
    ciphertext = wrap(recipient.key(algorithm), info, plaintext, place)
    made = make(
        "Grant",
        bent.get("record_hash", epoch.hash),
        make("Granter", granter.record["user_id"], device.device_id, own),
        user_id,
        theirs,
        bent.get("algorithm", WRAPS[algorithm]),
        bent.get("ciphertext", ciphertext),
    )
    return make("SignedGrant", made, device.request.sign(labelled("grant", "Grant", made)))


# --- messages ------------------------------------------------------------------------------


def padded(content: bytes) -> bytes:
    """`content<V>` and zeros up to the Padmé size."""
    out = vector(content)
    size = len(out)
    if size >= 2:
        exponent = size.bit_length() - 1
        step = 1 << (exponent - exponent.bit_length())
        size = -(-size // step) * step
    return out.ljust(size, b"\0")


def franking_tag(content: bytes, key: bytes) -> bytes:
    """HMAC over the labelled content before padding."""
    return hmac.digest(key, labelled_bytes("franking", content), "sha256")


def message_key(epoch: Epoch, device_id: str, instance_id: bytes, counter: int) -> bytes:
    """The key of one message."""
    context = make("MessageKeyContext", device_id, instance_id, counter)
    return hkdf(epoch.key, labelled("message key", "MessageKeyContext", context))


def seal_message(of: Epoch, device: Device, content: bytes, franking_key: bytes, name: str, **bent: Any) -> Value:
    """A message and its signature as {message, signature}; `bent` as in `open_epoch`."""
    aad: Value = make(
        "MessageAad",
        1,
        of.hash,
        of.record["key_id"],
        of.record["epoch"],
        device.user_id,
        device.device_id,
        drawn(f"instance {device.name}", 16),
        bent.get("counter", 0),
        bent.get("client_message_id", f"message {name}"),
        1,
        bent.get("franking_tag", franking_tag(content, franking_key)),
    )
    aad |= {field: value for field, value in bent.items() if field in aad}
    key = message_key(of, device.device_id, aad["instance_id"], aad["counter"])
    iv = drawn(f"iv {name}", 12)
    ciphertext = gcm(key, iv, bent.get("padded", padded(content)), labelled("message aad", "MessageAad", aad))
    made = make("Message", aad, iv, bent.get("ciphertext", ciphertext))
    signature = device.request.sign(labelled("message", "Message", made))
    return {"message": made, "signature": signature}
