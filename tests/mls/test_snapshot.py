"""Groups, commits on their way and key packages come back from their records; a used key is in none of them."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from mls.deep import deep_hash, secrets_in
from mls.making import NOW, SUITE
from mls.party import OPEN, Open, Party, reinit
from tacit import errors
from tacit.crypto.secret import Secret
from tacit.mls import (
    Add,
    ExternalPsk,
    Group,
    LeafChanges,
    Own,
    PreSharedKey,
    PreSharedKeyID,
    Remove,
    limits,
    load_keys,
    load_pending,
    save_keys,
    save_pending,
    suite_of,
)
from tacit.mls import saved as saved_structs
from tacit.mls.framing import ContentType
from tacit.mls.secret_tree import SecretTree
from tacit.mls.state import State
from tacit.mls.suites import SUITES
from tacit.wire.codec import decode, encode


class Disk:
    """What somebody keeps of a group, written as an application writes it."""

    def __init__(self, group: Group) -> None:
        self.group = group
        self.records = group.records()

    def keep(self, group: Group) -> dict[str, bytes | None]:
        """Writes what changed; what comes back is the same as everything anew."""
        written = group.changed(self.group)
        for name, record in written.items():
            if record is None:
                del self.records[name]
            else:
                self.records[name] = record
        assert self.records == group.records()
        self.group = group
        return written

    def load(self) -> Group:
        """The group after a crash."""
        loaded = Group.load(self.records, self.group.policy)
        assert deep_hash(loaded.state) == deep_hash(self.group.state)
        self.group = loaded
        return loaded


def rich(suite_id: int = 1) -> Party:
    """A group in whose state there is something of everything."""
    party = Party("alice", "bob", "carol", policy=Open({b"name": b"key"}), suite=suite_of(suite_id))
    for _ in range(3):
        for sender in ("bob", "alice"):
            message = [party.send(sender) for _ in range(3)][2]
            party.take(message, "alice")
        party.commit("carol")
    party.propose("alice", None)
    party.propose("bob", PreSharedKey(PreSharedKeyID(ExternalPsk(b"name"), bytes(party.suite.hash_bytes))))
    return party


@pytest.mark.parametrize("suite_id", SUITES)
def test_a_group_goes_on_from_its_records(suite_id: int) -> None:
    party = rich(suite_id)
    disk = Disk(party["alice"])
    party.groups["alice"] = disk.load()
    party.commit("bob")
    assert party.agree(), "the key of the own Update was kept"
    party.commit("alice")
    assert party.agree()
    assert party.read(party.send("bob"), "alice").data == b"text"


def test_what_changed_is_enough() -> None:
    party = rich()
    disk = Disk(party["alice"])
    names: list[set[str]] = []

    def keep() -> None:
        names.append(set(disk.keep(party["alice"])))
        party.groups["alice"] = disk.load()

    party.commit("bob")
    keep()
    party.send("alice")
    keep()
    party.propose("bob", Remove(2))
    keep()
    party.commit("alice")
    keep()
    assert all(names)
    assert names[2] == {"proposals", "keys/5/0"}
    removed = next(name for name in names[3] if name.startswith("past/"))
    assert removed in {"past/2", "past/5"}, "the oldest epoch goes when one is added"
    assert disk.keep(party["alice"]) == {}, "nothing changed"


def test_whatever_is_another_in_a_state_is_written() -> None:
    party = rich()
    state = party["alice"].state
    others: dict[str, Any] = {
        "epoch": (dataclasses.replace(state.epoch), "group"),
        "secret_tree": (SecretTree(4, Secret(bytes(32)), {}), "secrets/4"),
        "me": (1, "group"),
        "keys": ({}, "group"),
        "signer": (SUITE.new_signature_key(party.random), "group"),
        "proposals": ({}, "proposals"),
        "updates": ({}, "proposals"),
        "past": (state.past[:2], "group"),
        "resumption": ((), "group"),
        "reinit": (reinit(b"next", SUITE), "group"),
        "removed": (True, "group"),
    }
    assert set(others) == set(State._fields)
    for name, (value, record) in others.items():
        after = Group(state._replace(**{name: value}), OPEN)
        assert record in after.changed(party["alice"]), name
    assert party["alice"].changed(Group(state._replace(), OPEN)) == {}


@pytest.mark.parametrize("end", ["removed", "reinit"])
def test_the_end_of_a_group_is_kept(end: str) -> None:
    party = Party("alice", "bob")
    disk = Disk(party["bob"])
    party.commit("alice", Remove(1) if end == "removed" else reinit(b"next", SUITE))
    disk.keep(party["bob"])
    loaded = disk.load()
    assert not loaded.is_active
    with pytest.raises(errors.GroupEnded):
        loaded.protect(b"", party.random)


# --- what a message costs ----------------------------------------------------------------


def crowd(size: int) -> Party:
    """Alice and bob in a group of that size, far from each other."""
    party = Party("alice")
    bob = party.keys("bob")
    others = [party.keys(f"member {number}") for number in range(size - 2)]
    pending = party.commit("alice", *(Add(each.package) for each in (*others, bob)))
    party.groups["bob"] = party.welcomed(pending, bob)
    return party


@pytest.mark.parametrize("direction", ["sent", "received"])
def test_a_message_writes_one_record_whose_size_the_group_has_no_part_in(direction: str) -> None:
    sizes = []
    for members in (2, 300):
        party = crowd(members)
        for _ in range(2):  # the first message of a chain takes its secret out of the tree
            before = party["bob"]
            if direction == "sent":
                party.send("bob")
            else:
                message = party.send("alice")
                before = party["bob"]
                party.take(message, "bob")
            written = party["bob"].changed(before)
        [(name, record)] = written.items()
        assert name.startswith("keys/1/")
        assert record is not None
        sizes.append(len(record))
    small, large = sizes
    assert small < 400
    assert large < 700, "at most a secret for each of the levels of 64 members more"


def test_records_of_a_large_group_stay_small_beside_its_tree() -> None:
    party = crowd(300)
    sizes = {name: len(record) for name, record in party["bob"].records().items()}
    assert sizes.pop("tree/1") > 300 * 150
    assert sizes.pop("tree/0", 0) == 0, "bob was not there"
    assert sum(sizes.values()) < 3000


# --- what is gone ------------------------------------------------------------------------


def message_keys(group: Group) -> set[bytes]:
    """The keys of the next message of each chain that was used already, and those that were skipped."""
    found = set()
    trees: list[SecretTree] = [group.state.secret_tree, *(past.secret_tree for past in group.state.past)]
    for tree in trees:
        for chunk in tree.chunks.values():
            for each in chunk.ratchets.values():
                for ratchet in each:
                    found |= {key.key.reveal() for key in ratchet.skipped.values()}
                    found.add(ratchet.next(group.suite)[1].key.reveal())
                    found.add(ratchet.secret.reveal())
    return found


def test_a_used_key_is_in_no_record_afterwards() -> None:
    party = Party("alice", "bob")
    party.take(party.send("alice"), "bob")
    said = [party.send("alice") for _ in range(3)]
    party.take(said[2], "bob")
    disk = Disk(party["bob"])
    kept = message_keys(party["bob"])
    skipped = {key for key in kept if any(key in record for record in disk.records.values())}
    assert len(skipped) >= 3, "two that were skipped, and the chain"
    party.take(said[0], "bob")
    first = kept - message_keys(party["bob"])
    assert len(first) == 1
    party.commit("alice")
    party.take(said[1], "bob")
    party.take(party.send("alice"), "bob")
    disk.keep(party["bob"])
    gone = kept - message_keys(party["bob"])
    assert first < gone
    for used in gone:
        assert not any(used in record for record in disk.records.values())
        assert used not in secrets_in(disk.load().state)


def test_keys_of_an_epoch_go_with_it() -> None:
    class Brief(Open):
        past_epochs = 1

    party = Party("alice", "bob", policy=Brief())
    disk = Disk(party["bob"])
    old = party["bob"].state.epoch.secrets
    private = {key.seed.reveal() for key in party["bob"].state.keys.values()}
    party.commit("alice")
    party.commit("bob")
    party.commit("alice")
    disk.keep(party["bob"])
    everything = b"".join(disk.records.values())
    for name in ("init_secret", "sender_data_secret", "exporter_secret", "external_secret", "membership_key"):
        assert getattr(old, name).reveal() not in everything, name
    assert not any(seed in everything for seed in private)
    assert old.resumption_psk.reveal() in everything, "it is kept on purpose"
    assert {name.split("/")[1] for name in disk.records if "/" in name} == {"4", "3"}


# --- commits on their way, and key packages ----------------------------------------------


@pytest.mark.parametrize("what", ["with everybody", "with what was received", "reinit"])
def test_a_commit_on_its_way_comes_back(what: str) -> None:
    party, by = rich(), "alice"
    match what:
        case "with everybody":
            pending = party.pending(by, Add(party.keys("erin").package), Remove(2), changes=LeafChanges())
        case "with what was received":
            pending = party.pending(by)
        case _:
            pending = party.pending(by, reinit(b"next", suite_of(3)), received=False)
    record = save_pending(pending)
    loaded = load_pending(record)
    assert save_pending(loaded) == record
    assert loaded.effects == pending.effects
    assert (loaded.commit, loaded.welcome) == (pending.commit, pending.welcome)
    assert (loaded.welcome is None) == (what != "with everybody")
    disk = Disk(party[by])
    party.groups[by] = disk.load()
    party.took(by, loaded)
    assert party.agree()
    assert (party[by].state.reinit is not None) == (what == "reinit")
    assert secrets_in(party[by].state) & secrets_in(pending.transition)


def test_an_own_commit_that_came_back_is_merged_after_a_crash() -> None:
    party = Party("alice", "bob")
    pending = party.pending("alice")
    records, record = party["alice"].records(), save_pending(pending)
    alice = Group.load(records, OPEN)
    alice, outcome = alice.process(pending.commit, NOW)
    assert outcome == Own(ContentType.COMMIT, 1)
    party.groups["alice"] = alice.merge(load_pending(record), NOW)
    party.follow(pending.commit, "alice")
    assert party.agree()


@pytest.mark.parametrize("suite_id", SUITES)
def test_a_key_package_comes_back_with_its_keys(suite_id: int) -> None:
    party = Party("alice", suite=suite_of(suite_id))
    keys = party.keys("bob")
    record = save_keys(keys)
    loaded = load_keys(record)
    assert loaded.package == keys.package
    assert save_keys(loaded) == record
    party.groups["bob"] = party.welcomed(party.commit("alice", Add(keys.package)), loaded)
    assert party.agree()
    for secret in (keys.init_key, keys.leaf_key, keys.signer):
        assert secret.seed.reveal() in record


# --- records that are wrong --------------------------------------------------------------


def test_a_record_that_is_missing_or_of_another_format_is_refused() -> None:
    records = rich()["alice"].records()
    needed = [name for name in records if not name.startswith("keys/")]
    for name in needed:
        without = {each: record for each, record in records.items() if each != name}
        with pytest.raises(errors.Malformed, match=f"the record {name} is missing"):
            Group.load(without, OPEN)
    for name in records:
        with pytest.raises(errors.UnknownVersion, match=f"the record {name} has another format"):
            Group.load({**records, name: b"\0\2" + records[name][2:]}, OPEN)
        with pytest.raises(errors.PeerError):
            Group.load({**records, name: records[name] + b"\0"}, OPEN)
        with pytest.raises(errors.PeerError):
            Group.load({**records, name: records[name][:-1]}, OPEN)
    for load, name in ((load_pending, "pending"), (load_keys, "key package")):
        with pytest.raises(errors.UnknownVersion, match=f"the record {name} has another format"):
            load(b"\0\0")


@pytest.mark.parametrize("number", [8, 0])
def test_an_epoch_with_another_number_of_secrets_is_refused(number: int) -> None:
    records = rich()["alice"].records()
    saved = decode(saved_structs.SavedGroup, records["group"][2:])
    epoch = dataclasses.replace(saved.epoch, secrets=saved.epoch.secrets[:number])
    damaged = records["group"][:2] + encode(dataclasses.replace(saved, epoch=epoch))
    with pytest.raises(errors.Malformed, match="another number of secrets"):
        Group.load({**records, "group": damaged}, OPEN)


def test_a_record_that_is_of_no_part_of_the_group_is_not_read() -> None:
    group = rich()["alice"]
    others = {"keys/4/1": b"", "keys/4/a": b"", "keys/9/0": b"", "tree/9": b"", "else": b""}
    assert deep_hash(Group.load({**group.records(), **others}, OPEN).state) == deep_hash(group.state)


@pytest.mark.parametrize("width", [0, 3, 1 << 17])
def test_a_tree_of_secrets_has_a_width_that_is_a_power_of_2(width: int) -> None:
    records = rich()["alice"].records()
    record = records["secrets/4"]
    assert record[2:6] == (4).to_bytes(4, "big")
    bent = record[:2] + width.to_bytes(4, "big") + record[6:]
    with pytest.raises(errors.Malformed, match="power of 2"):
        Group.load({**records, "secrets/4": bent}, OPEN)


def test_nothing_of_a_secret_shows_in_a_repr() -> None:
    party = rich()
    record = party["alice"].records()["group"]
    group = decode(saved_structs.SavedGroup, record[2:], 1 << 20)
    for value in (group, group.epoch, group.keys[0], group.resumption[0]):
        assert repr(value) == f"{type(value).__name__}(...)"
    for name, cls in vars(saved_structs).items():
        if name.startswith("Saved"):
            fields = {field.name: b"" for field in dataclasses.fields(cls)}
            assert repr(cls(**fields)) == f"{name}(...)"


def test_what_was_kept_is_read_even_where_it_is_longer_than_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    """Members' proposals add up, and a commit is kept together with its Welcome and the tree."""
    party = Party("alice")
    party.add("alice", *(f"member {number}" for number in range(32)))
    party.propose("alice", None)
    package = party.keys("more")
    pending = party.pending("alice", Add(package.package))
    records, waiting, keys = party["alice"].records(), save_pending(pending), save_keys(package)
    monkeypatch.setattr(limits, "MESSAGE_BYTES", 10)
    loaded = Group.load(records, OPEN)
    assert loaded.proposals
    assert len(list(loaded.members())) == 33
    assert deep_hash(load_pending(waiting)) == deep_hash(pending)
    assert load_keys(keys).package == package.package
