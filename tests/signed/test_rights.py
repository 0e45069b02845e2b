"""Every rule of `signed.rights`: a record that just meets it, and one that breaks it and nothing else."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from signed.chains import Built, Chain, Person, World, by_id, on_foreign_head
from tacit import errors
from tacit.crypto.sign import Ed25519Key
from tacit.signed.account import AccountRecord, account_hash, aik_fingerprint
from tacit.signed.profiles import Profile
from tacit.signed.record import (
    DEFAULT_POLICY,
    LEAST_AGE,
    LEAST_MESSAGES,
    Change,
    ConversationRecord,
    History,
    Policy,
    Protocol,
    Request,
    RequestKind,
    Role,
    Rotation,
    SignedLeave,
    conversation_id_of,
    record_hash,
    roster_hash,
)
from tacit.signed.rights import ChainState, advance, check_leave, check_standing, could_open
from tacit.signed.taking import check_taking
from tacit.signed.verify import ZERO_HASH, Verified
from tacit.wire import limits
from tacit.wire.codec import decode, encode
from tacit.wire.text import from_base64

SECRET = dataclasses.replace(DEFAULT_POLICY, history=History.FORWARD_SECRET)
OTHER_POLICY = Policy(History.RECOVERABLE, Rotation(LEAST_AGE, LEAST_MESSAGES), 5, True)
HASTY = dataclasses.replace(DEFAULT_POLICY, rotation=Rotation(LEAST_AGE - 1, LEAST_MESSAGES))
CHATTY = dataclasses.replace(DEFAULT_POLICY, rotation=Rotation(LEAST_AGE, LEAST_MESSAGES - 1))
OTHER_KEY = Ed25519Key.generate(lambda count: b"?" * count)


class Scene:
    """Alice founded, eve is an admin too, bob and carol are members, dave is outside; nothing happened yet."""

    def __init__(self) -> None:
        self.world = World("alice", "eve", "bob", "carol", "dave")
        self.alice, self.eve, self.bob, self.carol, self.dave = self.world.people.values()
        self.new = Chain(self.world, "alice", ["bob", "carol"], ["eve"])
        self.chat = Chain.founded(self.world, "alice", ["bob", "carol"], ["eve"])

    def check(self, built: Built, before: ChainState | None = None) -> ChainState:
        """The standing rules on a record, on the head unless it is a genesis."""
        record, signature = built
        checked, state = check_standing(before, record, signature, self.world.accounts)
        assert (checked.value, checked.signature) == (record, signature)
        assert state == advance(before, record)
        return state


@pytest.fixture
def scene() -> Scene:
    return Scene()


Step = Callable[[Scene], Built]
Steps = dict[str, Step]


def lawful(steps: Steps) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("step", steps.values(), ids=steps.keys())


Breaches = dict[str, tuple[str, Step]]


def unlawful(breaches: Breaches) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(("rule", "step"), breaches.values(), ids=breaches.keys())


def refused(scene: Scene, built: Built, rule: str, before: ChainState | None) -> None:
    with pytest.raises(errors.InvalidRecord) as refusal:
        scene.check(built, before)
    assert refusal.value.detail == rule


# --- the genesis -------------------------------------------------------------------------


GENESES: Steps = {
    "as it should be": lambda s: s.new.genesis(),
    "with a predecessor": lambda s: s.new.genesis(predecessor=b"p" * 32),
    "alone": lambda s: s.new.genesis(changes=(s.alice.change(Role.ADMIN),)),
    "of any reason, time and policy": lambda s: s.new.genesis(reason="why", created_at=0, policy=OTHER_POLICY),
}

FALSE_GENESES: Breaches = {
    "second epoch": ("the first epoch is not 1", lambda s: s.new.genesis(epoch=2)),
    "epoch zero": ("the first epoch is not 1", lambda s: s.new.genesis(epoch=0)),
    "a parent": ("the first record names an earlier one", lambda s: s.new.genesis(previous_record_hash=b"p" * 32)),
    "no random": ("the genesis has no 32 random bytes", lambda s: s.new.genesis(genesis_random=b"")),
    "short random": ("the genesis has no 32 random bytes", lambda s: s.new.genesis(genesis_random=b"r" * 31)),
    "random later": ("the conversation's id is not its founder's", lambda s: s.new.genesis(genesis_random=b"r" * 32)),
    "foreign id": ("the conversation's id is not its founder's", lambda s: s.new.genesis(conversation_id="chat")),
    "another's conversation": (
        "the conversation's id is not its founder's",
        lambda s: s.new.build(
            "bob",
            [s.bob.change(Role.ADMIN), s.alice.change()],
            on=None,
            conversation_id=s.chat.conversation_id,
            genesis_random=s.chat.genesis_random,
        ),
    ),
    "a removal": (
        "the genesis removes somebody",
        lambda s: s.new.genesis(changes=by_id([s.alice.change(Role.ADMIN), s.bob.change(Role.REMOVED)])),
    ),
    "half a predecessor": ("the predecessor is not a hash", lambda s: s.new.genesis(predecessor=b"p" * 16)),
    "founder a plain member": (
        "the founder is not an admin",
        lambda s: s.new.genesis(changes=by_id([s.alice.change(), s.eve.change(Role.ADMIN)])),
    ),
    "founder outside": ("the opener is not a member", lambda s: s.new.genesis(changes=(s.eve.change(Role.ADMIN),))),
    "empty": ("the opener is not a member", lambda s: s.new.genesis(changes=())),
    "a request": (
        "the genesis carries out a request",
        lambda s: s.new.genesis(requests=(Request(RequestKind.LEAVE, b""),)),
    ),
    "plaintext": ("a record opens no plaintext epoch", lambda s: s.new.genesis(protocol=Protocol.PLAINTEXT)),
    "a suite": ("envelope has no MLS group", lambda s: s.new.genesis(suite=1)),
    "a group": ("envelope has no MLS group", lambda s: s.new.genesis(group_id=b"g")),
    "an MLS epoch": ("envelope has no MLS group", lambda s: s.new.genesis(mls_epoch=1)),
    "no key id": ("the key id is not 32 bytes", lambda s: s.new.genesis(key_id=b"")),
    "short key id": ("the key id is not 32 bytes", lambda s: s.new.genesis(key_id=b"k" * 31)),
    "forward-secret": ("envelope has no forward-secret history", lambda s: s.new.genesis(policy=SECRET)),
    "rotation by age": ("the rotation by age is under an hour", lambda s: s.new.genesis(policy=HASTY)),
    "rotation by number": ("the rotation by number is under 100 messages", lambda s: s.new.genesis(policy=CHATTY)),
    "member twice": (
        "two changes of one user",
        lambda s: s.new.genesis(changes=by_id([*s.new.founding, s.bob.change()])),
    ),
}


@lawful(GENESES)
def test_a_genesis_is_taken(scene: Scene, step: Step) -> None:
    built = step(scene)
    state = scene.check(built)
    assert state.genesis_hash == state.head_hash == record_hash(built[0])
    assert set(state.added().values()) == {state.head_hash}


@unlawful(FALSE_GENESES)
def test_a_false_genesis_is_refused(scene: Scene, rule: str, step: Step) -> None:
    refused(scene, step(scene), rule, None)


def test_member_and_server_invent_no_chain_for_a_joiner(scene: Scene) -> None:
    """MM12: whatever bob puts under the id of alice's conversation, it does not begin with alice's word."""
    chat, bob = scene.chat, scene.bob
    places = [scene.alice.change(Role.ADMIN), bob.change(Role.ADMIN), scene.dave.change()]
    genesis = {"on": None, "genesis_random": chat.genesis_random}
    by_himself = chat.build("bob", places, **genesis)  # type: ignore[arg-type]
    refused(scene, by_himself, "the conversation's id is not its founder's", None)
    in_her_name = chat.build("alice", places, signer=bob.device.sign, **genesis)  # type: ignore[arg-type]
    with pytest.raises(errors.BadSignature):
        scene.check(in_her_name)
    on_his_device = chat.build("alice", places, device=bob.device, **genesis)  # type: ignore[arg-type]
    refused(scene, on_his_device, "the opener's device is not certified in the record that is named", None)
    own_random = scene.chat.random(32)
    own = chat.build(
        "bob", places, on=None, genesis_random=own_random, conversation_id=conversation_id_of("bob", own_random)
    )
    state = scene.check(own)  # a conversation of his own he may found, under an id of its own
    joined = chat.build("bob", [scene.carol.change()], on=state, conversation_id=chat.conversation_id)
    refused(scene, joined, "the record is another conversation's", state)


# --- the link to the record before -------------------------------------------------------


BROKEN_LINKS: Breaches = {
    "other conversation": (
        "the record is another conversation's",
        lambda s: s.chat.next("alice", conversation_id="other"),
    ),
    "epoch again": ("the epoch is not one more", lambda s: s.chat.next("alice", epoch=1)),
    "epoch left out": ("the epoch is not one more", lambda s: s.chat.next("alice", epoch=3)),
    "other parent": ("the record before it is another", lambda s: s.chat.next("alice", previous_record_hash=b"p" * 32)),
    "no parent": ("the record before it is another", lambda s: s.chat.next("alice", previous_record_hash=ZERO_HASH)),
    "random again": (
        "a genesis field stands in a later record",
        lambda s: s.chat.next("alice", genesis_random=s.chat.genesis_random),
    ),
    "predecessor later": (
        "a genesis field stands in a later record",
        lambda s: s.chat.next("alice", predecessor=b"p" * 32),
    ),
    "plaintext": ("the protocol went down", lambda s: s.chat.next("alice", protocol=Protocol.PLAINTEXT)),
    "compat": ("the profile went down", lambda s: s.chat.next("alice", profile=Profile.COMPAT)),
    "fips": ("the profile went down", lambda s: s.chat.next("alice", profile=Profile.FIPS)),
}


@unlawful(BROKEN_LINKS)
def test_a_record_that_does_not_follow_is_refused(scene: Scene, rule: str, step: Step) -> None:
    refused(scene, step(scene), rule, scene.chat.head)


@pytest.mark.parametrize(
    ("head", "rule"),
    [
        ({"protocol": Protocol.MLS}, "the protocol went down"),
        ({"profile": Profile.FIPS}, "the profile went down"),
        ({"suite": 1}, "the suite went down"),
        ({"policy": SECRET}, "the history became recoverable"),
    ],
    ids=str,
)
def test_nothing_goes_down_from_what_a_later_program_took(scene: Scene, head: dict[str, Any], rule: str) -> None:
    before = on_foreign_head(scene.chat.head, **head)
    down = scene.chat.build("alice", [], on=before, policy=DEFAULT_POLICY, profile=Profile.STANDARD)
    refused(scene, down, rule, before)


def test_an_unknown_protocol_waits(scene: Scene) -> None:
    with pytest.raises(errors.RecordPending) as waiting:
        scene.check(scene.new.genesis(protocol=Protocol.MLS))
    assert waiting.value.detail == "this program does not know its protocol"


def test_a_record_of_a_protocol_to_come_waits_on_the_head(scene: Scene) -> None:
    with pytest.raises(errors.RecordPending):
        scene.check(scene.chat.next("alice", protocol=Protocol.MLS, suite=0x0053, mls_epoch=1), scene.chat.head)


# --- changes and who may make them -------------------------------------------------------


def ended(person: Person) -> AccountRecord:
    return person.end()


def new_version(person: Person, role: Role = Role.MEMBER) -> Change:
    person.publish()
    return person.change(role)


def second_record(person: Person, **other: Any) -> Verified[AccountRecord]:
    """Another record of the newest version, as two chains of one account would have it."""
    return person.vouched(dataclasses.replace(person.newest, inner_hash=b"2" * 32, **other))


def removal_by_end(s: Scene, name: str) -> Change:
    record = s.world[name].newest
    return s.chat.removal(name, account_version=record.version, account_hash=account_hash(record))


def bob_ended(s: Scene, opener: str) -> Built:
    s.bob.end()
    return s.chat.next(opener, removal_by_end(s, "bob"))


def bob_reset(s: Scene, opener: str) -> Built:
    s.bob.reset()
    return s.chat.next(opener, removal_by_end(s, "bob"))


def on_new_device(s: Scene, person: Person, role: Role) -> Built:
    device = person.add_device()
    return s.chat.next(person.user_id, person.change(role), device=device)


def bob_after_reset(s: Scene, opener: str) -> Built:
    s.bob.reset()
    return s.chat.next(opener, s.bob.change())


def again_after_removal(s: Scene) -> Built:
    s.chat.open("alice", s.chat.removal("bob"))
    return s.chat.next("eve", s.bob.change(Role.ADMIN))


def unknown_removed(s: Scene) -> Built:
    built = s.chat.next("alice", s.chat.removal("bob"))
    s.world.unknown["bob"] = 0
    return built


def left_with_newer_version(s: Scene, opener: str) -> Built:
    device = s.bob.add_device()
    return s.chat.next(opener, s.chat.removal("bob"), leaves=[s.chat.leave("bob", device=device)])


def left_after_promotion(s: Scene) -> Built:
    leave = s.chat.leave("bob")
    s.chat.open("alice", s.bob.change(Role.ADMIN))
    return s.chat.next("carol", s.chat.removal("bob"), leaves=[leave])


def left_as_somebody_new(s: Scene) -> Built:
    s.bob.reset()
    s.chat.open("alice", s.bob.change())
    return s.chat.next("carol", s.chat.removal("bob"), leaves=[s.chat.leave("bob")])


LAWFUL: Steps = {
    "a member rotates": lambda s: s.chat.next("bob"),
    "an admin rotates": lambda s: s.chat.next("alice"),
    "a member names its newer version": lambda s: s.chat.next("bob", new_version(s.bob)),
    "a member names others' newer versions": lambda s: s.chat.next(
        "bob", new_version(s.carol), new_version(s.alice, Role.ADMIN)
    ),
    "a member names what is named": lambda s: s.chat.next("bob", s.carol.change()),
    "a member opens on its new device": lambda s: on_new_device(s, s.bob, Role.MEMBER),
    "an admin opens on its new device": lambda s: on_new_device(s, s.alice, Role.ADMIN),
    "a member removes an ended account": lambda s: bob_ended(s, "carol"),
    "an admin removes an ended account": lambda s: bob_ended(s, "eve"),
    "a member removes a reset account": lambda s: bob_reset(s, "carol"),
    "a member carries out a leave": lambda s: s.chat.next("carol", s.chat.removal("bob"), leaves=[s.chat.leave("bob")]),
    "an admin carries out a leave": lambda s: s.chat.next("alice", s.chat.removal("bob"), leaves=[s.chat.leave("bob")]),
    "a member carries out an admin's leave": lambda s: s.chat.next(
        "carol", s.chat.removal("eve"), leaves=[s.chat.leave("eve")]
    ),
    "two leaves at once": lambda s: s.chat.next(
        "carol", s.chat.removal("bob"), s.chat.removal("eve"), leaves=[s.chat.leave("bob"), s.chat.leave("eve")]
    ),
    "a leave under a newer version": lambda s: left_with_newer_version(s, "carol"),
    "a leave from before a change of role": left_after_promotion,
    "a leave of who was let in anew": left_as_somebody_new,
    "an admin adds": lambda s: s.chat.next("alice", s.dave.change()),
    "an admin adds an admin": lambda s: s.chat.next("eve", s.dave.change(Role.ADMIN)),
    "an admin removes": lambda s: s.chat.next("alice", s.chat.removal("bob")),
    "an admin removes the founder": lambda s: s.chat.next("eve", s.chat.removal("alice")),
    "an admin removes without a lookup": unknown_removed,
    "an admin adds again": again_after_removal,
    "an admin lets a new identity in": lambda s: bob_after_reset(s, "alice"),
    "an admin promotes": lambda s: s.chat.next("alice", s.bob.change(Role.ADMIN)),
    "an admin demotes itself": lambda s: s.chat.next("alice", s.alice.change()),
    "an admin changes the policy": lambda s: s.chat.next("alice", policy=OTHER_POLICY),
    "an admin does all at once": lambda s: s.chat.next(
        "alice",
        s.dave.change(),
        s.chat.removal("bob"),
        s.carol.change(Role.ADMIN),
        new_version(s.eve),
        policy=OTHER_POLICY,
    ),
}


def on_old_parent(s: Scene) -> Built:
    """Alice acts on the record before her removal, and names the newest one as its parent."""
    s.chat.open("eve", s.chat.removal("alice"))
    return s.chat.build("alice", [s.chat.removal("eve"), s.alice.change(Role.ADMIN)], on=s.chat.head)


def old_parent_kept(s: Scene) -> Built:
    before = s.chat.head
    s.chat.open("eve", s.chat.removal("alice"))
    return s.chat.build("alice", [s.dave.change()], on=before, epoch=3)


def eve_demoted(s: Scene, *changes: Change) -> Built:
    s.chat.open("alice", s.eve.change())
    return s.chat.next("eve", *changes)


def acting_as(s: Scene, name: str, account: AccountRecord, **other: Any) -> Built:
    record, _ = s.chat.next(name)
    opener = dataclasses.replace(record.opener, account_hash=account_hash(account))
    return s.chat.next(name, opener=opener, **other)


def older_acted(s: Scene) -> Built:
    opener = s.chat.next("bob")[0].opener
    return s.chat.next("bob", new_version(s.bob), opener=opener)


def newer_unnamed(s: Scene) -> Built:
    device = s.bob.add_device()
    return acting_as(s, "bob", s.bob.newest, device=device)


def own_new_identity(s: Scene, opener: str, role: Role) -> Built:
    person = s.world[opener]
    person.reset()
    return s.chat.next(opener, person.change(role), s.dave.change())


def went_back(s: Scene, opener: str) -> Built:
    s.carol.publish()
    s.chat.open("alice", s.carol.change())
    return s.chat.next(opener, s.carol.change(version=1))


def two_hashes(s: Scene, opener: str) -> Built:
    s.carol.versions.append(second_record(s.carol))
    return s.chat.next(opener, s.carol.change())


def removal_by_old_identity(s: Scene) -> Built:
    s.bob.reset()
    s.chat.open("alice", s.bob.change())
    old = s.bob.version(1)
    return s.chat.next("carol", s.chat.removal("bob", account_version=1, account_hash=account_hash(old)))


def removal_by_newer(s: Scene, opener: str) -> Built:
    s.bob.publish()
    return s.chat.next(opener, removal_by_end(s, "bob"))


def removal_by_other_end(s: Scene) -> Built:
    """The end of the account as it is named, but another record of that version."""
    s.bob.versions.append(second_record(s.bob, devices=(), encryption_keys=()))
    return s.chat.next("carol", removal_by_end(s, "bob"))


def ended_with_fingerprint(s: Scene, opener: str) -> Built:
    s.bob.end()
    return s.chat.next(opener, dataclasses.replace(removal_by_end(s, "bob"), aik_fingerprint=b"f" * 32))


def reset_named_as_new(s: Scene) -> Built:
    record = s.bob.reset()
    fingerprint = aik_fingerprint(record.profile, record.aik)
    return s.chat.next("carol", dataclasses.replace(removal_by_end(s, "bob"), aik_fingerprint=fingerprint))


def ended_named(s: Scene, opener: str) -> Built:
    s.bob.end()
    return s.chat.next(opener, s.bob.change())


def revoked_device(s: Scene) -> Built:
    device = s.alice.device
    s.alice.add_device()
    s.alice.revoke(device)
    s.chat.open("eve", s.alice.change(Role.ADMIN))
    return s.chat.next("alice", s.dave.change(), device=device)


def of_reset_named_old(s: Scene) -> Built:
    """Bob's new account under the old key's fingerprint."""
    before = s.bob.change()
    s.bob.reset()
    return s.chat.next("alice", s.bob.change(aik_fingerprint=before.aik_fingerprint))


CHANGED: Breaches = {
    "unsorted": (
        "changes are not sorted by user id",
        lambda s: s.chat.next("alice", changes=(s.dave.change(), s.carol.change())),
    ),
    "two of one user": (
        "two changes of one user",
        lambda s: s.chat.next("alice", s.bob.change(), s.bob.change(Role.ADMIN)),
    ),
    "removal and return at once": (
        "two changes of one user",
        lambda s: s.chat.next("alice", s.chat.removal("bob"), s.bob.change(Role.ADMIN)),
    ),
    "removal of nobody": (
        "a removal of somebody who is not a member",
        lambda s: s.chat.next("alice", s.dave.change(Role.REMOVED)),
    ),
    "other roster hash": ("the roster's hash is another", lambda s: s.chat.next("alice", roster_hash=b"r" * 32)),
    "roster hash from before": (
        "the roster's hash is another",
        lambda s: s.chat.next("alice", s.dave.change(), roster_hash=roster_hash(s.chat.head.roster())),
    ),
    "opener outside": ("the opener is not a member", lambda s: s.chat.next("dave")),
    "opener removes itself": ("the opener is not a member", lambda s: s.chat.next("alice", s.chat.removal("alice"))),
    "member leaves by its own record": (
        "the opener is not a member",
        lambda s: s.chat.next("bob", s.chat.removal("bob"), leaves=[s.chat.leave("bob")]),
    ),
    "removed admin on the new head": ("the opener was not a member before", on_old_parent),
    "removed admin on the old parent": ("the record before it is another", old_parent_kept),
    "outsider lets itself in": ("the opener was not a member before", lambda s: s.chat.next("dave", s.dave.change())),
    "opener under the record before": ("the opener acts under another account record", older_acted),
    "opener under another's record": (
        "the opener acts under another account record",
        lambda s: acting_as(s, "bob", s.alice.newest),
    ),
    "opener under a record that is not named": ("the opener acts under another account record", newer_unnamed),
    "a reset admin names its own new identity": (
        "the opener names a new identity key for itself",
        lambda s: own_new_identity(s, "alice", Role.ADMIN),
    ),
    "a reset member does": (
        "the opener names a new identity key for itself",
        lambda s: own_new_identity(s, "bob", Role.MEMBER),
    ),
    "version and hash differ": (
        "a change names another version than its hash",
        lambda s: s.chat.next("alice", s.dave.change(account_version=2)),
    ),
    "a higher version than its hash": (
        "a change names another version than its hash",
        lambda s: s.chat.next("bob", s.carol.change(account_version=9)),
    ),
    "identity and hash differ": (
        "a change names another identity key than its account record",
        lambda s: s.chat.next("alice", s.dave.change(aik_fingerprint=b"f" * 32)),
    ),
    "old identity, new record": ("a change names another identity key than its account record", of_reset_named_old),
    "an ended account is added": (
        "a member's account has ended",
        lambda s: s.chat.next("alice", Change(**changed(s.dave.change(), ended(s.dave)))),
    ),
    "an ended account stays": ("a member's account has ended", lambda s: ended_named(s, "alice")),
    "a member names an ended version": ("a member's account has ended", lambda s: ended_named(s, "carol")),
    "a version goes back": ("a named account version went back", lambda s: went_back(s, "alice")),
    "a member lets a version go back": ("a named account version went back", lambda s: went_back(s, "bob")),
    "one version, two hashes": ("one account version has two hashes", lambda s: two_hashes(s, "alice")),
    "a member changes a hash": ("one account version has two hashes", lambda s: two_hashes(s, "bob")),
    "removal by a version that goes on": (
        "a removal names a version that ends nothing",
        lambda s: removal_by_newer(s, "carol"),
    ),
    "an admin's removal by a version that goes on": (
        "a removal names a version that ends nothing",
        lambda s: removal_by_newer(s, "alice"),
    ),
    "removal by the identity before": ("a removal names a version that ends nothing", removal_by_old_identity),
    "removal by an end of the same version": ("a removal names a version that ends nothing", removal_by_other_end),
    "removal under a made-up identity": (
        "a removal names another identity key",
        lambda s: ended_with_fingerprint(s, "carol"),
    ),
    "an admin's removal under a made-up identity": (
        "a removal names another identity key",
        lambda s: s.chat.next("alice", s.chat.removal("bob", aik_fingerprint=b"f" * 32)),
    ),
    "removal of the new identity": ("a removal names another identity key", reset_named_as_new),
    "removal of another hash": (
        "a change names another version than its hash",
        lambda s: s.chat.next("alice", s.chat.removal("bob", account_version=2)),
    ),
    "a member adds a ghost": ("only an admin adds a member", lambda s: s.chat.next("bob", s.dave.change())),
    "a member adds a ghost admin": (
        "only an admin adds a member",
        lambda s: s.chat.next("bob", s.dave.change(Role.ADMIN), new_version(s.carol)),
    ),
    "a demoted admin adds": ("only an admin adds a member", lambda s: eve_demoted(s, s.dave.change())),
    "a member removes": ("only an admin removes a member", lambda s: s.chat.next("bob", s.chat.removal("carol"))),
    "a member removes more than who left": (
        "only an admin removes a member",
        lambda s: s.chat.next("bob", s.chat.removal("carol"), s.chat.removal("eve"), leaves=[s.chat.leave("carol")]),
    ),
    "a member makes itself admin": (
        "only an admin changes a role",
        lambda s: s.chat.next("bob", s.bob.change(Role.ADMIN)),
    ),
    "a member makes another admin": (
        "only an admin changes a role",
        lambda s: s.chat.next("bob", s.carol.change(Role.ADMIN)),
    ),
    "a member demotes an admin": ("only an admin changes a role", lambda s: s.chat.next("bob", s.eve.change())),
    "a member demotes it with its newer version": (
        "only an admin changes a role",
        lambda s: s.chat.next("bob", new_version(s.eve)),
    ),
    "a member lets a new identity in": (
        "only an admin lets a new identity in",
        lambda s: bob_after_reset(s, "carol"),
    ),
    "a member changes the policy": (
        "only an admin changes the policy",
        lambda s: s.chat.next("bob", policy=OTHER_POLICY),
    ),
    "another's device": (
        "the opener's device is not certified in the record that is named",
        lambda s: s.chat.next("alice", device=s.bob.device),
    ),
    "an uncertified device": (
        "the opener's device is not certified in the record that is named",
        lambda s: s.chat.next("alice", device=s.alice.make_device()),
    ),
    "a device certified later": (
        "the opener's device is not certified in the record that is named",
        lambda s: s.chat.next("alice", device=s.alice.add_device()),
    ),
    "a device revoked in the record named": (
        "the opener's device is not certified in the record that is named",
        revoked_device,
    ),
}


def changed(change: Change, account: AccountRecord) -> dict[str, Any]:
    fields = {field.name: getattr(change, field.name) for field in dataclasses.fields(change)}
    return fields | {"account_version": account.version, "account_hash": account_hash(account)}


@lawful(LAWFUL)
def test_a_lawful_record_is_taken(scene: Scene, step: Step) -> None:
    built = step(scene)
    before = scene.chat.head
    state = scene.check(built, before)
    assert state.head == built[0]
    assert state.genesis_hash == before.genesis_hash
    assert roster_hash(state.roster()) == built[0].roster_hash
    assert decode(ChainState, encode(state)) == state


@unlawful(CHANGED)
def test_an_unlawful_record_is_refused(scene: Scene, rule: str, step: Step) -> None:
    refused(scene, step(scene), rule, scene.chat.head)


@pytest.mark.parametrize("signer", ["bob", "eve", ""], ids=["member", "admin", "stranger"])
def test_a_record_that_the_opener_did_not_sign_is_refused(scene: Scene, signer: str) -> None:
    sign = scene.world[signer].device.sign if signer else OTHER_KEY.sign
    for built, before in [
        (scene.chat.next("alice", scene.dave.change(), signer=sign), scene.chat.head),
        (scene.new.genesis(signer=sign), None),
    ]:
        with pytest.raises(errors.BadSignature) as refusal:
            scene.check(built, before)
        assert refusal.value.detail == "conversation record"


def test_a_signature_is_for_one_record(scene: Scene) -> None:
    record, signature = scene.chat.next("alice", scene.dave.change())
    for other in (dataclasses.replace(record, reason="another"), dataclasses.replace(record, key_id=b"k" * 32)):
        with pytest.raises(errors.BadSignature):
            scene.check((other, signature), scene.chat.head)


def test_the_roster_stays_within_the_limit(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    built = scene.chat.next("alice", scene.dave.change())
    monkeypatch.setattr(limits, "MEMBERS", 5)
    scene.check(built, scene.chat.head)
    monkeypatch.setattr(limits, "MEMBERS", 4)
    refused(scene, built, "the roster is larger than the limit", scene.chat.head)


def test_account_records_that_are_not_known_are_asked_for_at_once(scene: Scene) -> None:
    scene.carol.publish()
    scene.dave.publish()
    scene.alice.publish()
    built = scene.chat.next("alice", scene.alice.change(Role.ADMIN), scene.dave.change(), scene.carol.change())
    scene.world.unknown |= {"alice": 1, "carol": 1, "dave": 0}
    with pytest.raises(errors.RecordPending) as waiting:
        scene.check(built, scene.chat.head)
    assert waiting.value.detail == "an account record that it names is not known"
    assert waiting.value.facts == {"accounts": ["alice", "carol", "dave"]}
    scene.world.unknown.clear()
    scene.check(built, scene.chat.head)


def test_a_removal_by_an_end_that_is_not_known_waits(scene: Scene) -> None:
    built = bob_ended(scene, "carol")
    scene.world.unknown["bob"] = 1
    with pytest.raises(errors.RecordPending) as waiting:
        scene.check(built, scene.chat.head)
    assert waiting.value.facts == {"accounts": ["bob"]}


def test_an_opener_that_is_not_known_waits(scene: Scene) -> None:
    built = scene.chat.next("bob")
    scene.world.unknown["bob"] = 0
    with pytest.raises(errors.RecordPending) as waiting:
        scene.check(built, scene.chat.head)
    assert waiting.value.facts == {"accounts": ["bob"]}


def test_an_account_record_counts_for_its_own_user_only(scene: Scene) -> None:
    """A lookup by the hash alone would let mallory's keys in under dave's name."""
    mallory = Person("mallory")
    built = scene.chat.next("alice", mallory.change(user_id="dave"))

    def by_hash(user_id: str, named: bytes) -> Verified[AccountRecord] | None:
        everybody = [*scene.world.people.values(), mallory]
        return next((each for one in everybody for each in one.versions if account_hash(each.value) == named), None)

    with pytest.raises(errors.InvalidRecord) as refusal:
        check_standing(scene.chat.head, *built, by_hash)
    assert refusal.value.detail == "an account record is another user's"


def test_a_stay_goes_on_through_changes_and_begins_anew_with_a_return(scene: Scene) -> None:
    chat, bob = scene.chat, scene.bob
    genesis = chat.head.head_hash
    bob.publish()
    assert chat.open("alice", bob.change(Role.ADMIN)).added()["bob"] == genesis
    chat.open("alice", chat.removal("bob"))
    assert "bob" not in chat.head.added()
    chat.open("alice", bob.change())
    assert chat.head.added() == dict.fromkeys(("alice", "carol", "eve"), genesis) | {"bob": chat.head.head_hash}
    bob.reset()
    chat.open("alice", bob.change())
    assert chat.head.added()["bob"] == chat.head.head_hash
    assert chat.head.genesis_hash == genesis


# --- leaves ------------------------------------------------------------------------------


def bob_leaves(s: Scene, opener: str = "carol", **other: Any) -> Built:
    return s.chat.next(opener, s.chat.removal("bob"), leaves=[s.chat.leave("bob", **other)])


def replayed(s: Scene, opener: str) -> Built:
    leave = s.chat.leave("bob")
    s.chat.open("carol", s.chat.removal("bob"), leaves=[leave])
    s.chat.open("alice", s.bob.change())
    return s.chat.next(opener, s.chat.removal("bob"), leaves=[leave])


def replayed_after_reset(s: Scene) -> Built:
    leave = s.chat.leave("bob")
    s.bob.reset()
    s.chat.open("alice", s.bob.change())
    return s.chat.next("carol", s.chat.removal("bob"), leaves=[leave])


def left_stale(s: Scene) -> Built:
    leave = s.chat.leave("bob")
    s.bob.publish()
    s.chat.open("bob", s.bob.change())
    return s.chat.next("carol", s.chat.removal("bob"), leaves=[leave])


def left_by_new_identity(s: Scene) -> Built:
    s.bob.reset()
    return bob_leaves(s)


def left_by_later_device(s: Scene) -> Built:
    device = s.bob.make_device()
    s.bob.devices.append(device)
    old = s.bob.version(1)
    s.bob.publish()
    return bob_leaves(s, device=device, account_version=1, account_hash=account_hash(old))


LEAVES: Breaches = {
    "of another conversation": (
        "a leave is another conversation's",
        lambda s: bob_leaves(s, conversation_id="other"),
    ),
    "of an outsider": (
        "a leave of somebody who is not a member",
        lambda s: s.chat.next("carol", leaves=[s.chat.leave("dave")]),
    ),
    "of an earlier stay (MM9)": ("a leave is of an earlier stay", lambda s: replayed(s, "carol")),
    "of an earlier stay, by an admin": ("a leave is of an earlier stay", lambda s: replayed(s, "alice")),
    "from before a new identity": ("a leave is of an earlier stay", replayed_after_reset),
    "of no stay": ("a leave is of an earlier stay", lambda s: bob_leaves(s, adding_record_hash=ZERO_HASH)),
    "version and hash differ": (
        "a leave names another version than its hash",
        lambda s: bob_leaves(s, account_version=2),
    ),
    "of an older version": ("a leave is of an older account version", left_stale),
    "by another identity": ("a leave is by another identity", left_by_new_identity),
    "by an uncertified device": (
        "a leave is by a device that is not certified",
        lambda s: bob_leaves(s, device=s.bob.make_device()),
    ),
    "by another's device": (
        "a leave is by a device that is not certified",
        lambda s: bob_leaves(s, device=s.carol.device),
    ),
    "by a device certified later": ("a leave is by a device that is not certified", left_by_later_device),
    "forged by who carries it out": (
        "a leave's signature does not verify",
        lambda s: bob_leaves(s, signer=s.carol.device.sign),
    ),
    "forged by an admin": (
        "a leave's signature does not verify",
        lambda s: bob_leaves(s, "alice", signer=s.alice.device.sign),
    ),
}

REQUESTS: Breaches = {
    "a re-add": (
        "envelope has no re-adds",
        lambda s: s.chat.next("carol", requests=(Request(RequestKind.RE_ADD, encode(s.chat.leave("carol"))),)),
    ),
    "no struct": (
        "a leave cannot be read",
        lambda s: s.chat.next("carol", requests=(Request(RequestKind.LEAVE, b"\xff"),)),
    ),
    "empty": ("a leave cannot be read", lambda s: s.chat.next("carol", requests=(Request(RequestKind.LEAVE, b""),))),
    "bytes left over": (
        "a leave cannot be read",
        lambda s: s.chat.next(
            "carol", s.chat.removal("bob"), requests=(Request(RequestKind.LEAVE, encode(s.chat.leave("bob")) + b"\0"),)
        ),
    ),
    "one twice": (
        "two leaves of one user",
        lambda s: s.chat.next("carol", s.chat.removal("bob"), leaves=[s.chat.leave("bob"), s.chat.leave("bob")]),
    ),
    "not carried out": (
        "a leave is named and not carried out",
        lambda s: s.chat.next("carol", leaves=[s.chat.leave("bob")]),
    ),
    "not carried out by an admin": (
        "a leave is named and not carried out",
        lambda s: s.chat.next("alice", s.chat.removal("carol"), leaves=[s.chat.leave("bob")]),
    ),
    "changed and not carried out": (
        "a leave is named and not carried out",
        lambda s: s.chat.next("carol", s.bob.change(), leaves=[s.chat.leave("bob")]),
    ),
}


@unlawful(LEAVES)
def test_a_void_leave_is_refused(scene: Scene, rule: str, step: Step) -> None:
    built = step(scene)
    refused(scene, built, rule, scene.chat.head)
    leave = decode(SignedLeave, built[0].requests[0].body)
    with pytest.raises(errors.InvalidRecord) as refusal:
        check_leave(scene.chat.head, leave, scene.world.accounts)
    assert refusal.value.detail == rule


@unlawful(REQUESTS)
def test_a_request_that_cannot_be_carried_out_is_refused(scene: Scene, rule: str, step: Step) -> None:
    refused(scene, step(scene), rule, scene.chat.head)


def test_a_leave_can_be_judged_by_itself(scene: Scene) -> None:
    check_leave(scene.chat.head, scene.chat.leave("bob"), scene.world.accounts)
    device = scene.bob.add_device()
    check_leave(scene.chat.head, scene.chat.leave("bob", device=device), scene.world.accounts)


def test_a_leave_under_a_record_that_is_not_known_waits(scene: Scene) -> None:
    built = left_with_newer_version(scene, "carol")
    scene.world.unknown["bob"] = 1
    with pytest.raises(errors.RecordPending) as waiting:
        scene.check(built, scene.chat.head)
    assert waiting.value.facts == {"accounts": ["bob"]}


# --- taking ------------------------------------------------------------------------------


def taken(s: Scene, built: Built, pending: Iterable[SignedLeave] = (), before: ChainState | None = None) -> None:
    """The taking rules on a record that meets the standing ones."""
    before = before or s.chat.head
    check_standing(before, *built, s.world.accounts)
    check_taking(before, built[0], s.world.newest, pending)


def outdated(s: Scene, built: Built, pending: Iterable[SignedLeave] = ()) -> tuple[str, object, list[SignedLeave]]:
    with pytest.raises(errors.RecordOutdated) as refusal:
        taken(s, built, pending)
    facts = refusal.value.facts
    assert set(facts) == {"accounts", "leaves"}
    leaves = facts["leaves"]
    assert isinstance(leaves, list)
    return refusal.value.detail, facts["accounts"], [decode(SignedLeave, from_base64(each)) for each in leaves]


VERSIONS = "it does not name newer account versions"
PENDING = "it does not name pending leaves"


def test_a_record_that_names_the_newest_is_taken(scene: Scene) -> None:
    taken(scene, scene.chat.next("bob"))
    scene.carol.publish()
    taken(scene, scene.chat.next("bob", scene.carol.change()))
    check_taking(None, scene.new.genesis(changes=by_id([scene.alice.change(Role.ADMIN)]))[0], scene.world.newest)


def test_a_record_that_names_an_older_version_is_not_taken(scene: Scene) -> None:
    scene.carol.publish()
    scene.eve.publish()
    assert outdated(scene, scene.chat.next("bob")) == (VERSIONS, ["carol", "eve"], [])
    assert outdated(scene, scene.chat.next("bob", scene.carol.change())) == (VERSIONS, ["eve"], [])
    taken(scene, scene.chat.next("bob", scene.carol.change(), scene.eve.change(Role.ADMIN)))


def test_a_genesis_names_the_newest_too(scene: Scene) -> None:
    genesis, _ = scene.new.genesis()
    scene.carol.publish()
    with pytest.raises(errors.RecordOutdated) as refusal:
        check_taking(None, genesis, scene.world.newest)
    assert refusal.value.facts == {"accounts": ["carol"], "leaves": []}


def test_no_ended_account_stays(scene: Scene) -> None:
    scene.carol.end()
    assert outdated(scene, scene.chat.next("bob")) == (VERSIONS, ["carol"], [])
    taken(scene, scene.chat.next("bob", removal_by_end(scene, "carol")))


def test_no_ended_account_stays_even_if_it_is_the_one_named(scene: Scene) -> None:
    """The standing rules refuse to name it; the moment's rules do not lean on them."""
    scene.carol.end()
    record, _ = scene.chat.next("bob", scene.carol.change())
    with pytest.raises(errors.RecordOutdated) as refusal:
        check_taking(scene.chat.head, record, scene.world.newest)
    assert refusal.value.facts["accounts"] == ["carol"]


def test_no_reset_account_stays(scene: Scene) -> None:
    fingerprint = scene.carol.change().aik_fingerprint
    scene.carol.reset()
    assert outdated(scene, scene.chat.next("bob")) == (VERSIONS, ["carol"], [])
    taken(scene, scene.chat.next("bob", removal_by_end(scene, "carol")))
    taken(scene, scene.chat.next("alice", scene.carol.change()))
    record, _ = scene.chat.next("alice", scene.carol.change(aik_fingerprint=fingerprint))
    with pytest.raises(errors.RecordOutdated):
        check_taking(scene.chat.head, record, scene.world.newest)


def test_a_member_whose_account_nobody_knows_is_behind(scene: Scene) -> None:
    built = scene.chat.next("bob")
    scene.world.unknown["carol"] = 0
    assert outdated(scene, built) == (VERSIONS, ["carol"], [])


def test_who_is_removed_need_not_be_named_anew(scene: Scene) -> None:
    scene.carol.publish()
    taken(scene, scene.chat.next("alice", scene.chat.removal("carol")))


def test_a_member_without_a_device_stays(scene: Scene) -> None:
    scene.carol.revoke(scene.carol.device)
    taken(scene, scene.chat.next("bob", scene.carol.change()))


def test_a_revoked_opener_is_told_so(scene: Scene) -> None:
    device = scene.bob.device
    scene.bob.add_device()
    scene.bob.revoke(device)
    built = scene.chat.next("bob", device=device)
    assert outdated(scene, built) == ("the opener's device is revoked", ["bob"], [])
    taken(scene, scene.chat.next("bob", scene.bob.change()))


def test_an_opener_whom_nobody_knows_is_refused(scene: Scene) -> None:
    record, _ = scene.chat.next("bob")
    scene.world.unknown["bob"] = 0
    with pytest.raises(errors.RecordOutdated) as refusal:
        check_taking(scene.chat.head, record, scene.world.newest)
    assert refusal.value.detail == "the opener's device is revoked"


def test_a_pending_leave_has_to_be_carried_out(scene: Scene) -> None:
    leave = scene.chat.leave("bob")
    assert outdated(scene, scene.chat.next("carol"), [leave]) == (PENDING, [], [leave])
    assert outdated(scene, scene.chat.next("alice", scene.dave.change()), [leave]) == (PENDING, [], [leave])
    taken(scene, scene.chat.next("carol", scene.chat.removal("bob"), leaves=[leave]), [leave])
    taken(scene, scene.chat.next("alice", scene.chat.removal("bob")), [leave])


def test_versions_and_leaves_are_told_together(scene: Scene) -> None:
    leave = scene.chat.leave("bob")
    scene.eve.publish()
    assert outdated(scene, scene.chat.next("carol"), [leave]) == (VERSIONS, ["eve"], [leave])


def test_who_asked_to_leave_may_still_open_an_epoch(scene: Scene) -> None:
    taken(scene, scene.chat.next("bob"), [scene.chat.leave("bob")])


def test_a_leave_of_an_earlier_stay_holds_nothing_up(scene: Scene) -> None:
    leave = scene.chat.leave("bob")
    scene.chat.open("carol", scene.chat.removal("bob"), leaves=[leave])
    taken(scene, scene.chat.next("carol"), [leave])
    scene.chat.open("alice", scene.bob.change())
    taken(scene, scene.chat.next("carol"), [leave])


def test_a_leave_of_who_is_let_in_anew_holds_nothing_up(scene: Scene) -> None:
    leave = scene.chat.leave("bob")
    scene.bob.reset()
    taken(scene, scene.chat.next("alice", scene.bob.change()), [leave])


def test_a_leave_from_nowhere_holds_nothing_up(scene: Scene) -> None:
    """Whoever is added cannot have left before: the hash of the record to come is no stay."""
    built = scene.chat.next("alice", scene.dave.change())
    leave = scene.chat.leave("dave", adding_record_hash=record_hash(built[0]))
    taken(scene, built, [leave])


def test_a_stale_leave_stops_no_conversation(scene: Scene) -> None:
    """Who asks to leave and then names its own newer version has made a leave that no record may carry out."""
    leave = scene.chat.leave("bob")
    scene.bob.publish()
    scene.chat.open("bob", scene.bob.change())
    taken(scene, scene.chat.next("carol"), [leave])
    again = scene.chat.leave("bob")
    assert outdated(scene, scene.chat.next("carol"), [leave, again]) == (PENDING, [], [again])
    taken(scene, scene.chat.next("carol", scene.chat.removal("bob"), leaves=[again]), [leave, again])


def test_a_leave_under_the_version_named_or_newer_is_due(scene: Scene) -> None:
    scene.bob.publish()
    newer = scene.chat.leave("bob")
    assert outdated(scene, scene.chat.next("carol", scene.bob.change()), [newer]) == (PENDING, [], [newer])


def test_a_leave_of_a_revoked_device_is_not_due(scene: Scene) -> None:
    device = scene.bob.device
    leave = scene.chat.leave("bob")
    scene.bob.add_device()
    scene.bob.revoke(device)
    taken(scene, scene.chat.next("carol", scene.bob.change()), [leave])


def test_a_leave_of_a_revoked_device_is_not_carried_out(scene: Scene) -> None:
    device = scene.bob.device
    leave = scene.chat.leave("bob")
    scene.bob.add_device()
    scene.bob.revoke(device)
    built = scene.chat.next("carol", scene.chat.removal("bob"), leaves=[leave])
    assert outdated(scene, built) == (VERSIONS, ["bob"], [])


def test_no_more_leaves_are_asked_for_than_fit(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    leaves = [scene.chat.leave("bob"), scene.chat.leave("eve")]
    one = scene.chat.next("carol", scene.chat.removal("bob"), leaves=leaves[:1])
    assert outdated(scene, one, leaves) == (PENDING, [], leaves[1:])
    monkeypatch.setattr(limits, "REQUESTS", 1)
    taken(scene, one, leaves)
    assert outdated(scene, scene.chat.next("carol"), leaves) == (PENDING, [], leaves)


# --- who could have done the same --------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "able"),
    [
        (lambda s: s.chat.next("alice"), ["alice", "bob", "carol", "eve"]),
        (lambda s: s.chat.next("alice", new_version(s.bob)), ["alice", "bob", "carol", "eve"]),
        (lambda s: s.chat.next("alice", s.dave.change()), ["alice", "eve"]),
        (lambda s: s.chat.next("alice", policy=OTHER_POLICY), ["alice", "eve"]),
        (lambda s: s.chat.next("alice", s.chat.removal("bob")), ["alice", "eve"]),
        (lambda s: s.chat.next("alice", s.chat.removal("eve")), ["alice"]),
        (lambda s: s.chat.next("alice", s.bob.change(Role.ADMIN)), ["alice", "eve"]),
        (bob_leaves, ["alice", "carol", "eve"]),
        (lambda s: bob_ended(s, "eve"), ["alice", "carol", "eve"]),
        (lambda s: bob_after_reset(s, "eve"), ["alice", "eve"]),
    ],
    ids=["rotation", "version", "addition", "policy", "removal", "of an admin", "role", "leave", "end", "identity"],
)
def test_who_could_have_opened_the_same(scene: Scene, step: Step, able: list[str]) -> None:
    record, _ = built = step(scene)
    scene.check(built, scene.chat.head)
    accounts = scene.world.accounts
    assert [each for each in sorted(scene.world.people) if could_open(scene.chat.head, record, each, accounts)] == able


def test_only_its_opener_could_have_opened_a_genesis(scene: Scene) -> None:
    record, _ = scene.new.genesis()
    able = [each for each in scene.world.people if could_open(None, record, each, scene.world.accounts)]
    assert able == ["alice"]


def test_that_cannot_be_said_while_an_account_is_not_known(scene: Scene) -> None:
    record, _ = left_with_newer_version(scene, "carol")
    scene.world.unknown["bob"] = 1
    with pytest.raises(errors.RecordPending):
        could_open(scene.chat.head, record, "carol", scene.world.accounts)


def test_the_same_record_has_one_hash_whoever_signs(scene: Scene) -> None:
    record, signature = scene.chat.next("bob")
    again: ConversationRecord = decode(ConversationRecord, encode(record))
    assert record_hash(again) == record_hash(record)
    assert scene.check((again, signature), scene.chat.head) == scene.check((record, signature), scene.chat.head)
