"""Random conversations: what people may do is accepted, and nothing else ever changes a roster.

`allowed` says in its own words who may do what; it shares no code with `signed.rights` and looks only at the roster
before, the roster after and who signed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from enum import IntEnum
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from signed.chains import Built, Chain, Device, World, by_id, roster_hash_of
from tacit import errors
from tacit.signed.account import account_hash, aik_fingerprint
from tacit.signed.record import (
    DEFAULT_POLICY,
    Change,
    ConversationRecord,
    History,
    Policy,
    Role,
    Rotation,
    SignedLeave,
    fold,
    roster_hash,
    sign_record,
)
from tacit.signed.rights import ChainState, advance, check_standing, is_ended
from tacit.signed.taking import check_taking
from tacit.wire.codec import decode, encode

NAMES = ("alice", "bob", "carol", "dave", "eve", "frank")
POLICIES = (DEFAULT_POLICY, Policy(History.RECOVERABLE, Rotation(3_600_000, 100), 1, True))
Places = Mapping[str, Change]


class Story:
    """A conversation that random people go on with; `left` are the stays whose members signed a leave."""

    def __init__(self, data: st.DataObject) -> None:
        self.data = data
        self.world = World(*NAMES)
        members = data.draw(st.sets(st.sampled_from(NAMES[1:])), label="members")
        admins = data.draw(st.sets(st.sampled_from(sorted(members))) if members else st.just(set()), label="admins")
        self.chat = Chain.founded(self.world, "alice", sorted(members - admins), sorted(admins))
        self.records: list[Built] = []
        self.left: dict[tuple[str, bytes], SignedLeave] = {}

    def pick(self, names: Any) -> str:
        chosen: str = self.data.draw(st.sampled_from(sorted(names)))
        return chosen

    @property
    def roster(self) -> Places:
        return self.chat.head.roster()

    def is_gone(self, name: str, roster: Places | None = None) -> bool:
        """Whether the account that a roster (by default the head's) names has ended, by a reset or a last record."""
        newest = self.world[name].newest
        named = self.roster if roster is None else roster
        same = aik_fingerprint(newest.profile, newest.aik) == named[name].aik_fingerprint
        return is_ended(newest) or not same

    def live_accounts(self) -> None:
        """Accounts go on by themselves: new versions and devices, revocations, ends, resets."""
        for name in self.data.draw(st.lists(st.sampled_from(NAMES), max_size=2), label="accounts"):
            person = self.world[name]
            if is_ended(person.newest):
                continue
            event = self.data.draw(st.sampled_from(["publish", "device", "revoke", "end", "reset"]), label="event")
            if event == "device":
                person.add_device()
            elif event == "revoke" and len(person.devices) > 1:
                person.revoke(person.device)
            elif event == "end":
                person.end()
            elif event == "reset":
                person.reset()
            else:
                person.publish()

    def openers(self) -> list[str]:
        return [name for name in self.roster if not self.is_gone(name)]

    def leave(self) -> None:
        """Somebody asks to leave."""
        name = self.pick(self.openers())
        self.left[name, self.chat.head.added()[name]] = self.chat.leave(name)

    def due(self, opener: str) -> dict[str, SignedLeave]:
        """The leaves that the next record carries out."""
        stays = self.chat.head.added()
        found = {name: leave for (name, stay), leave in self.left.items() if stays.get(name) == stay and name != opener}
        return {name: leave for name, leave in found.items() if self._stands(name, leave)}

    def _stands(self, name: str, leave: SignedLeave) -> bool:
        newest = self.world[name].newest
        certified = any(device.device_id == leave.leave.device_id for device in newest.devices)
        return certified and leave.leave.account_version >= self.roster[name].account_version

    def next(self) -> Built | None:
        """A record that its opener may open, as the moment demands it; None where nobody can."""
        self.live_accounts()
        if not self.openers():
            return None
        opener = self.pick(self.openers())
        due = self.due(opener)
        changes = {name: self.chat.removal(name) for name in due}
        for name, place in self.roster.items():
            newest = self.world[name].newest
            if name in due:
                continue
            if self.is_gone(name):
                changes[name] = self.chat.removal(
                    name, account_version=newest.version, account_hash=account_hash(newest)
                )
            elif newest.version > place.account_version:
                changes[name] = self.world[name].change(place.role)
        more: dict[str, Any] = {}
        if self.roster[opener].role is Role.ADMIN:
            self._as_admin(opener, changes, due)
            more["policy"] = self.data.draw(st.sampled_from(POLICIES), label="policy")
        return self.chat.next(opener, *changes.values(), leaves=due.values(), **more)

    def _as_admin(self, opener: str, changes: dict[str, Change], due: Mapping[str, SignedLeave]) -> None:
        for name in self.data.draw(st.sets(st.sampled_from(NAMES), max_size=3), label="changed"):
            wish = self.data.draw(st.sampled_from(Role), label="wish")
            if name in due or is_ended(self.world[name].newest):
                continue
            if wish is not Role.REMOVED:
                changes[name] = self.world[name].change(wish)
            elif name in self.roster and name != opener:
                changes[name] = self.chat.removal(name)

    def take(self, built: Built) -> None:
        check_taking(self.chat.head, built[0], self.world.newest, self.due(built[0].opener.user_id).values())
        self.chat.take(built)
        self.records.append(built)


def allowed(story: Story, before: ChainState, after: ChainState, signer: str) -> bool:
    """Whether this signer may make this roster out of that one."""
    old, new = before.roster(), after.roster()
    if signer not in old or signer not in new or old[signer].aik_fingerprint != new[signer].aik_fingerprint:
        return False
    for name in old.keys() & new.keys():
        same_identity = old[name].aik_fingerprint == new[name].aik_fingerprint
        if same_identity and new[name].account_version < old[name].account_version:
            return False
    for name, place in new.items():
        versions = {account_hash(each.value): each.value for each in story.world[name].versions}
        account = versions.get(place.account_hash)
        if account is None or account.version != place.account_version or is_ended(account):
            return False
        if aik_fingerprint(account.profile, account.aik) != place.aik_fingerprint:
            return False
    if old[signer].role is Role.ADMIN:
        return True
    if after.head.policy != before.head.policy or new.keys() - old.keys():
        return False
    for name in old.keys() - new.keys():
        if (name, before.added()[name]) not in story.left and not story.is_gone(name, old):
            return False
    return all(
        (old[name].role, old[name].aik_fingerprint) == (new[name].role, new[name].aik_fingerprint)
        for name in old.keys() & new.keys()
    )


@given(st.data())
def test_whatever_people_may_do_is_accepted_by_everybody(data: st.DataObject) -> None:
    story = Story(data)
    for _ in range(data.draw(st.integers(1, 6), label="epochs")):
        if data.draw(st.booleans(), label="somebody leaves") and story.openers():
            story.leave()
        built = story.next()
        if built is None:
            break
        before = story.chat.head
        story.take(built)
        after = story.chat.head
        assert allowed(story, before, after, built[0].opener.user_id)
        assert after == advance(before, built[0]) == decode(ChainState, encode(after))
        assert fold(before.roster(), built[0].changes) == after.roster()
        assert roster_hash(after.roster()) == roster_hash_of(before.roster(), built[0].changes)


@given(st.data())
def test_a_joiner_comes_to_the_same_state_from_the_genesis(data: st.DataObject) -> None:
    story = Story(data)
    first = story.chat.head
    for _ in range(data.draw(st.integers(1, 5), label="epochs")):
        if (built := story.next()) is None:
            break
        story.take(built)
    joiner = first
    for record, signature in story.records:
        raw = encode(record)
        joiner = check_standing(joiner, decode(ConversationRecord, raw), signature, story.world.accounts)[1]
    assert joiner == story.chat.head


# --- one field is another ----------------------------------------------------------------


def plausible(story: Story) -> dict[type, list[Any]]:
    """Values that stand somewhere in this world."""
    accounts = [each.value for person in story.world.people.values() for each in person.versions]
    hashes = [account_hash(each) for each in accounts] + [aik_fingerprint(each.profile, each.aik) for each in accounts]
    hashes += [story.chat.head.head_hash, story.chat.head.genesis_hash, bytes(32), b"", b"\xff" * 31]
    devices = [each.device_id for person in story.world.people.values() for each in person.devices]
    return {
        bytes: [*hashes, *(encode(each) for each in story.left.values())],
        str: [*NAMES, *devices, "", story.chat.conversation_id],
        int: [0, 1, 2, 3, 7, 1 << 63],
        bool: [False, True],
    }


def bend(story: Story, value: Any) -> Any:
    """The value with one field, at any depth, replaced."""
    data = story.data
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        field = data.draw(st.sampled_from([each.name for each in dataclasses.fields(value)]), label="field")
        return dataclasses.replace(value, **{field: bend(story, getattr(value, field))})
    if isinstance(value, tuple):
        return bend_items(story, value)
    if isinstance(value, IntEnum):
        return data.draw(st.sampled_from(type(value)), label="value")
    return data.draw(st.sampled_from(plausible(story)[type(value)]), label="value")


def bend_items(story: Story, items: tuple[Any, ...]) -> tuple[Any, ...]:
    data = story.data
    if items and not data.draw(st.booleans(), label="insert"):
        index = data.draw(st.integers(0, len(items) - 1), label="index")
        kept = items[:index], items[index + 1 :]
        if data.draw(st.booleans(), label="drop"):
            return kept[0] + kept[1]
        return kept[0] + (bend(story, items[index]),) + kept[1]
    name = story.pick(NAMES)
    return (*items, story.world[name].change(data.draw(st.sampled_from(Role), label="role")))


def signer_of(story: Story) -> tuple[str, Device]:
    able = [name for name in NAMES if story.world[name].devices]
    name = story.pick(able or NAMES[:1])
    return name, story.data.draw(st.sampled_from(story.world[name].devices), label="device")


@given(st.data())
def test_no_single_change_of_a_record_makes_a_roster_that_its_signer_may_not_make(data: st.DataObject) -> None:
    story = Story(data)
    for _ in range(data.draw(st.integers(0, 3), label="epochs")):
        if data.draw(st.booleans(), label="somebody leaves") and story.openers():
            story.leave()
        if (built := story.next()) is not None:
            story.take(built)
    built = story.next()
    if built is None or not any(story.world[name].devices for name in NAMES):
        return
    original, signature = built
    before = story.chat.head
    record = bend(story, original)
    try:
        encode(record)
    except (errors.TacitError, AttributeError):  # a change among the requests has no encoding there
        return
    if data.draw(st.booleans(), label="fitted"):
        record = dataclasses.replace(record, changes=by_id(record.changes))
        record = dataclasses.replace(record, roster_hash=roster_hash_of(before.roster(), record.changes))
    signer, device = original.opener.user_id, None
    if data.draw(st.booleans(), label="signed by somebody"):
        signer, device = signer_of(story)
        if data.draw(st.booleans(), label="as itself"):
            places = {**before.roster(), **{change.user_id: change for change in record.changes}}
            named = places[signer].account_hash if signer in places else original.opener.account_hash
            opener = dataclasses.replace(record.opener, user_id=signer, device_id=device.device_id, account_hash=named)
            record = dataclasses.replace(record, opener=opener)
    else:
        device = next(
            (each for each in story.world[signer].devices if each.device_id == original.opener.device_id), None
        )
    new_signature = sign_record(record, device.sign) if device else signature
    try:
        _, after = check_standing(before, record, new_signature, story.world.accounts)
    except errors.PeerError:
        return
    assert allowed(story, before, after, signer)
    assert record.opener.user_id == signer


@given(st.data())
def test_a_changed_record_under_the_old_signature_is_never_accepted(data: st.DataObject) -> None:
    story = Story(data)
    built = story.next()
    if built is None:
        return
    raw = bytearray(encode(built[0]))
    raw[data.draw(st.integers(0, len(raw) - 1), label="place")] ^= data.draw(st.integers(1, 255), label="difference")
    try:
        check_standing(story.chat.head, decode(ConversationRecord, bytes(raw)), built[1], story.world.accounts)
    except errors.PeerError:
        return
    raise AssertionError("another record was accepted under a signature that is not its own")
