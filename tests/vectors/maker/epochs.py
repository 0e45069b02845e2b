"""Files about conversations: chains of records, grants, contents and messages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from vectors.maker.basics import Case, case
from vectors.maker.chains import history, served
from vectors.maker.people import Device, Version, certify, device, first, reset
from vectors.maker.primitives import COMPAT, FIPS, NAMES, RSA, STANDARD, X_WING
from vectors.maker.talks import (
    ADMIN,
    HOUR,
    MEMBER,
    POLICY,
    REMOVED,
    Epoch,
    change,
    grant,
    in_order,
    leave,
    open_epoch,
    request,
)
from vectors.maker.tls import Value, drawn, encode, labelled, make


@dataclass(frozen=True)
class Town:
    """The accounts of a profile's conversation, and its epochs by name."""

    profile: int
    alice: Version
    bob: Version
    bob_two: Version
    carol: Version
    epochs: dict[str, Epoch]

    def chains(self) -> list[list[Version]]:
        """Every account's versions."""
        return [[self.alice], [self.bob, self.bob_two], [self.carol]]


def town(profile: int) -> Town:
    """Alice founds it; bob carries out carol's leave; she comes back; bob's second device; she is removed.

    In the conversation of the profile compat carol has an account of the profile standard.
    """
    alice, bob = first(profile, "alice"), first(profile, "bob")
    carol = first(STANDARD if profile == COMPAT else profile, "carol")
    tablet = device(profile, "bob", "tablet")
    bob_two = certify(bob, tablet)
    name = NAMES[profile]

    def following(before: Epoch | None, opener: Version, by: Device, changes: Sequence[Value], **how: Any) -> Epoch:
        return open_epoch(before, opener, by, changes, name=name, profile=profile, **how)

    members = [change(alice, ADMIN), change(bob, MEMBER), change(carol, MEMBER)]
    genesis = following(None, alice, alice.devices[0], members)
    rotation = following(genesis, bob, bob.devices[0], [])
    left = leave(rotation, carol, carol.devices[0])
    leaving = following(
        rotation, bob, bob.devices[0], [change(carol, REMOVED)], requests=[request(left)], reason="carol left"
    )
    policy = POLICY | {"member_history": True}
    back = following(leaving, alice, alice.devices[0], [change(carol, MEMBER)], policy=policy)
    newer = following(back, bob_two, tablet, [change(bob_two, MEMBER)])
    out = following(newer, alice, alice.devices[0], [change(carol, REMOVED), change(bob_two, ADMIN)])
    names = {"1 genesis": genesis, "2 rotation": rotation, "3 leave": leaving, "4 return": back}
    return Town(profile, alice, bob, bob_two, carol, names | {"5 newer version": newer, "6 removal": out})


TOWNS: dict[int, Town] = {}


def at(profile: int) -> Town:
    """The town of a profile, made once."""
    if profile not in TOWNS:
        TOWNS[profile] = town(profile)
    return TOWNS[profile]


def told(epoch: Epoch) -> Value:
    """A record as it is served."""
    return {"record": encode("ConversationRecord", epoch.record), "signature": epoch.signature}


# --- chains --------------------------------------------------------------------------------


def conversations() -> dict[str, Any]:
    """Chains of records; the last record of an invalid one is what is refused."""
    accounts: dict[str, list[list[Value]]] = {}
    records: dict[str, Value] = {}
    cases: list[Case] = []
    for profile in (STANDARD, COMPAT, FIPS):
        here, name = at(profile), NAMES[profile]
        accounts[name] = [[served(each) for each in chain] for chain in here.chains()]
        names: list[str] = []
        for each, epoch in here.epochs.items():
            records[f"{name} {each}"] = told(epoch)
            names.append(f"{name} {each}")
            cases.append(case(f"{name} {each}", accounts=name, chain=list(names), **_state(epoch)))
        for comment, count, epoch, cause in _refused(here):
            cases.append(case(f"{name}: {comment}", cause, accounts=name, chain=[*names[:count], told(epoch)]))
    more = raised()
    accounts["raised"] = more["accounts"]
    return {"accounts": accounts, "records": records, "conversations": [*cases, *more["cases"]]}


def raised() -> dict[str, Any]:
    """A conversation of the profile compat among accounts that can follow to standard, and an account that is reset."""
    alice, bob, carol = (first(STANDARD, name) for name in ("alice", "bob", "carol"))
    old = first(STANDARD, "dave")
    (device_of_dave,) = old.devices
    anew = reset(old, device_of_dave, 1, (device_of_dave,))
    mine = alice.devices[0]
    everybody = [change(each, MEMBER) for each in (bob, carol, old)] + [change(alice, ADMIN)]
    low: dict[str, Any] = {"name": "raised", "profile": COMPAT}
    high: dict[str, Any] = {"name": "raised", "profile": STANDARD}
    genesis = open_epoch(None, alice, mine, everybody, **low)
    up = open_epoch(genesis, alice, mine, [], **high)
    gone = change(anew, REMOVED) | {"aik_fingerprint": change(old, MEMBER)["aik_fingerprint"]}
    ended = open_epoch(up, bob, bob.devices[0], [gone], **high)
    back = open_epoch(ended, alice, mine, [change(anew, MEMBER)], **high)
    again = open_epoch(up, alice, mine, [change(anew, MEMBER)], **high)
    rule = "invalid_record"
    chains = {"genesis": [genesis], "raised": [genesis, up], "a member removes who was reset": [genesis, up, ended]}
    chains |= {"an admin adds it again": [genesis, up, ended, back], "an admin takes it anew": [genesis, up, again]}
    wrong = {
        "a member raises it": [genesis, open_epoch(genesis, bob, bob.devices[0], [], **high)],
        "it goes down again": [genesis, up, open_epoch(up, alice, mine, [], **low)],
        "a member lets a new identity in": [
            genesis,
            open_epoch(genesis, bob, bob.devices[0], [change(anew, MEMBER)], **low),
        ],
        "who was reset opens under the old place": [
            genesis,
            open_epoch(genesis, anew, device_of_dave, [change(anew, MEMBER)], **low),
        ],
        "a removal names a version that ends nothing": [
            genesis,
            open_epoch(genesis, alice, mine, [change(old, REMOVED) | {"aik_fingerprint": bytes(32)}], **low),
        ],
    }
    cases = [
        case(f"raised: {comment}", accounts="raised", chain=[told(each) for each in chain], **_state(chain[-1]))
        for comment, chain in chains.items()
    ]
    cases += [
        case(f"raised: {comment}", rule, accounts="raised", chain=[told(each) for each in chain])
        for comment, chain in wrong.items()
    ]
    return {"accounts": [[served(each) for each in chain] for chain in ([alice], [bob], [carol], [old, anew])],
            "cases": cases}  # fmt: skip


def _state(epoch: Epoch) -> Value:
    """What a chain amounts to at its head."""
    return {
        "hash": epoch.hash,
        "roster": in_order(list(epoch.roster.values())),
        "roster_hash": epoch.record["roster_hash"],
        "added": epoch.added,
        "key": epoch.key,
        "key_id": epoch.record["key_id"],
    }


def _refused(here: Town) -> list[tuple[str, int, Epoch, str]]:
    """What breaks one standing rule, everything else being right."""
    name, profile = f"{NAMES[here.profile]} refused", here.profile
    alice, bob, carol = here.alice, here.bob, here.carol
    epochs = list(here.epochs.values())
    rule, pending, bad = "invalid_record", "record_pending", "bad_signature"
    found: list[tuple[str, int, Epoch, str]] = []
    everybody = [change(alice, ADMIN), change(bob, MEMBER), change(carol, MEMBER)]

    def begin(comment: str, places: Sequence[Value] = everybody, cause: str = rule, **bent: Any) -> None:
        how: dict[str, Any] = {"name": name, "profile": profile} | bent
        found.append((comment, 0, open_epoch(None, alice, alice.devices[0], places, **how), cause))

    def follow(
        comment: str,
        places: Sequence[Value] = (),
        by: Version = alice,
        count: int = 1,
        cause: str = rule,
        device: Device | None = None,
        **bent: Any,
    ) -> None:
        how: dict[str, Any] = {"name": name, "profile": profile} | bent
        made = open_epoch(epochs[count - 1], by, device or by.devices[0], places, **how)
        found.append((comment, count, made, cause))

    begin("the first epoch is 2", epoch=2)
    begin("the first names an earlier record", previous_record_hash=drawn("none", 32))
    begin("another founder's id", conversation_id="0" * 64)
    begin("31 random bytes", genesis_random=bytes(31))
    begin("the founder is a member only", [change(alice, MEMBER), change(bob, MEMBER)])
    begin("the founder is not in it", [change(bob, ADMIN)])
    begin("somebody is removed at once", [change(alice, ADMIN), change(bob, REMOVED)])
    begin("a predecessor of 31 bytes", predecessor=bytes(31))
    begin("two changes of one user", [change(alice, ADMIN), change(bob, MEMBER), change(bob, ADMIN)])
    begin("changes out of order", changes=everybody[::-1])
    begin("another roster's hash", roster_hash=drawn("no roster", 32))
    begin("a key id of 31 bytes", key_id=bytes(31))
    begin("a plaintext epoch", protocol=0)
    begin("an MLS epoch", cause=pending, protocol=2)
    begin("an MLS suite", suite=1)
    begin("an MLS group", group_id=b"group", mls_epoch=1)
    begin("forward-secret", policy=POLICY | {"history": 2})
    begin("a rotation under an hour", policy=POLICY | {"rotation": make("Rotation", HOUR - 1, 10_000)})
    begin("a rotation under 100 messages", policy=POLICY | {"rotation": make("Rotation", HOUR, 99)})
    stranger = change(bob, MEMBER) | {"user_id": "mallory"}
    begin("an account that is not known", [change(alice, ADMIN), stranger], pending)
    begin("another identity key", [change(alice, ADMIN), change(bob, MEMBER) | {"aik_fingerprint": bytes(32)}])
    begin("another version than its hash", [change(alice, ADMIN), change(bob, MEMBER) | {"account_version": 2}])
    higher = {COMPAT: STANDARD, STANDARD: FIPS, FIPS: STANDARD}[profile]
    begin("a profile that the accounts do not have", profile=higher)
    follow("an epoch is left out", epoch=3)
    follow("another record before it", previous_record_hash=drawn("none", 32))
    follow("another conversation", conversation_id="0" * 64)
    follow("random bytes in a later record", genesis_random=bytes(32))
    follow("a predecessor in a later record", predecessor=bytes(32))
    follow("a member changes the policy", by=bob, policy=POLICY | {"retention": 1})
    follow("a member makes itself an admin", [change(bob, ADMIN)], by=bob)
    follow("a member removes another", [change(carol, REMOVED)], by=bob)
    follow("a member adds another", [change(carol, MEMBER)], by=bob, count=3)
    follow("somebody removes itself", [change(bob, REMOVED)], by=bob)
    follow("who is not a member opens", by=carol, count=3)
    follow("a removal of nobody", [change(carol, REMOVED)], count=3)
    follow("a named version goes back", [change(bob, MEMBER)], count=5)
    stray = device(profile, "bob", "tablet")
    follow("a device that is not certified", by=bob, device=stray)
    ended = change(carol, REMOVED) | {"account_version": 2, "account_hash": drawn("nothing", 32)}
    follow("a removal that names what is not known", [ended], cause=pending)
    found.append(("another record's signature", 1, replace(epochs[1], signature=epochs[0].signature), bad))
    gone, mine = change(carol, REMOVED), carol.devices[0]
    good = leave(epochs[0], carol, mine)
    follow("a leave that is not carried out", by=bob, requests=[request(good)])
    follow("a leave twice", [gone], by=bob, requests=[request(good), request(good)])
    forged = good | {"signature": leave(epochs[1], carol, mine, drawn("stay", 32))["signature"]}
    follow("a leave with another signature", [gone], by=bob, requests=[request(forged)])
    follow("a leave of an earlier stay", [gone], by=bob, count=4, requests=[request(leave(epochs[1], carol, mine))])
    follow("a leave that cannot be read", [gone], by=bob, requests=[make("Request", 1, b"nothing")])
    follow("a re-add", by=bob, requests=[make("Request", 2, b"")])
    begin("a leave in the first record", requests=[request(good)])
    return found


# --- grants --------------------------------------------------------------------------------


def grants() -> dict[str, list[Case]]:
    """An epoch's key for each member, and grants that are not taken."""
    made: list[Case] = []
    for profile in (STANDARD, COMPAT, FIPS):
        made += _grants(at(profile), NAMES[profile])
    return {"grants": made}


def _grants(here: Town, name: str) -> list[Case]:
    alice, bob, carol = here.alice, here.bob, here.carol
    genesis, left = here.epochs["1 genesis"], here.epochs["3 leave"]
    phone = alice.devices[0]
    kind = X_WING if here.profile == STANDARD else RSA
    made: list[Case] = []

    def add(comment: str, signed: Value, to: Version, cause: str = "", epoch: Epoch = genesis, **bent: Any) -> None:
        context = make("GrantContext", epoch.hash, to.record["user_id"], to.hash)
        fields = told(epoch) | {
            "roster": list(epoch.roster.values()),
            "recipient": to.record["user_id"],
            "granter": served(alice),
            "signed_grant": encode("SignedGrant", signed),
            "algorithm": kind,
            "private": to.key(kind).private,
            "info": labelled("grant wrap", "GrantContext", context),
        }
        fields |= {} if cause else {"grant": signed["grant"], "key": epoch.key}
        made.append(case(f"{name}: {comment}", cause, **fields | bent))

    invalid = "invalid_grant"
    for member in (alice, bob, carol):
        add(f"to {member.record['user_id']}", grant(genesis, alice, phone, member), member)
    good = grant(genesis, alice, phone, bob)
    add("another key", grant(genesis, alice, phone, bob, plaintext=drawn("another key", 32)), bob, invalid)
    add("16 bytes", grant(genesis, alice, phone, bob, plaintext=bytes(16)), bob, invalid)
    add("of another epoch", grant(genesis, alice, phone, bob, record_hash=left.hash), bob, invalid)
    add("to another account", grant(genesis, alice, phone, carol), bob, invalid)
    add("another device's signature", good | {"signature": bytes(64)}, bob, "bad_signature")
    add("wrapped in another way", grant(genesis, alice, phone, bob, algorithm=3), bob, invalid)
    spoilt = good["grant"]["ciphertext"][:-1] + bytes([good["grant"]["ciphertext"][-1] ^ 1])
    add("a bit changed", grant(genesis, alice, phone, bob, ciphertext=spoilt), bob, invalid)
    other = device(here.profile, "alice", "stranger")
    add("by a device that is not certified", grant(genesis, alice, other, bob), bob, invalid)
    add("to who was not in the epoch", grant(left, alice, phone, carol), carol, invalid, left)
    back = here.epochs["4 return"]
    add("where the history is open", grant(back, alice, phone, bob), bob, epoch=back)
    return made


def boxes() -> dict[str, list[Case]]:
    """The outer key, wrapped to each device of an account's newest record."""
    made = []
    for profile in (STANDARD, COMPAT, FIPS):
        version = history(profile)["2 a device more"]
        for each in version.devices:
            named = version.record["server_name"], "alice", 2, each.device_id
            context = make("BoxContext", *named)
            box = next(b for b in version.vault["boxes"]["boxes"] if b["device_id"] == each.device_id)
            fields = {
                "record": encode("AccountRecord", version.record),
                "box": encode("Box", box),
                "private": each.kem.private,
                "info": labelled("box", "BoxContext", context),
            }
            name = f"{NAMES[profile]}: {each.name}"
            made.append(case(name, **fields, outer_key=version.secrets.outer_key))
            cut = encode("Box", box | {"wrapped_outer_key": box["wrapped_outer_key"][:-1]})
            made.append(case(f"{name}, cut", "decryption_failed", **fields | {"box": cut}))
            if profile == STANDARD:
                bent = encode("AccountRecord", version.record | {"version": 3})
                other = fields | {"record": bent}
                made.append(case(f"{name}, of another version", "decryption_failed", **other))
    return {"boxes": made}
