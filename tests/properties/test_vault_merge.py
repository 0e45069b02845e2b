"""Two devices and more write the vault at once: whatever came first, they end with the same entries.

The devices, the entries and the vault are the real ones; the server is a version that is compared and swapped.
"""

from __future__ import annotations

import itertools

from hypothesis import example, given
from hypothesis import strategies as st

from signed.chains import Device, Person, seeded
from tacit.crypto.kem import XWing
from tacit.crypto.secret import Secret
from tacit.identity.vault import (
    ConversationHead,
    NewEntry,
    Writer,
    archive_key_entry,
    combine,
    conversation_entry,
    merge,
    open_outer,
    private_key_entry,
    seal_outer,
    writers_of,
)
from tacit.signed import labels
from tacit.signed.profiles import KeyAlgorithm
from tacit.signed.vault import Entry, EntryKind, Outer, SignedEntry
from tacit.signed.verify import sign

ALICE = Person("alice")
DEVICES = [ALICE.device, ALICE.add_device(), ALICE.add_device()]
GONE = DEVICES[2]
ALICE.revoke(GONE)
RECORD = ALICE.newest
CERTIFIED = {each.device_id for each in RECORD.devices}
WRITERS = writers_of([each.value for each in ALICE.versions])
KEY = Secret(b"o" * 32)

HEAD = EntryKind.CONVERSATION_HEAD
ARCHIVE = archive_key_entry(Secret(b"a" * 32))
X_WING = [XWing.generate(seeded(f"x-wing {number}")) for number in range(2)]
TRUE = [private_key_entry(KeyAlgorithm.X_WING, key.public, key.seed) for key in X_WING]
KEYS = (ARCHIVE, *TRUE)
"""The true keys; all else in their places is none."""


def new_entries() -> st.SearchStrategy[NewEntry]:
    """Few places, so that they meet; an empty value is a tombstone, and of the keys some are none."""
    heads = st.builds(
        lambda talk, epoch, fork: conversation_entry(HEAD, ConversationHead(talk, epoch, fork * 32)),
        st.sampled_from(["one", "two"]),
        st.integers(1, 4),
        st.sampled_from([b"a", b"b"]),
    )
    others = st.builds(
        NewEntry,
        st.sampled_from([EntryKind.CONTACT_PIN, EntryKind.CONVERSATION_PIN, EntryKind.DEVICE_NAME]),
        st.sampled_from([b"one", b"two"]),
        st.sampled_from([b"", b"x", b"y"]),
    )
    archive = st.builds(
        NewEntry,
        st.just(ARCHIVE.kind),
        st.sampled_from([ARCHIVE.key, b"another"]),
        st.sampled_from([b"", ARCHIVE.value, b"x" * 32]),
    )
    encryption = st.builds(
        NewEntry,
        st.just(EntryKind.ENCRYPTION_KEY),
        st.sampled_from([each.key for each in TRUE]),
        st.sampled_from([b"", b"x", *(each.value for each in TRUE)]),
    )
    return st.one_of(heads, others, archive, encryption)


def signed(new: NewEntry, clock: int, device: Device) -> SignedEntry:
    entry = Entry(new.kind, new.key, new.value, clock, device.device_id)
    return SignedEntry(entry, sign(labels.ENTRY, entry, device.sign))


entries = st.builds(signed, new_entries(), st.integers(1, 4), st.sampled_from(DEVICES))
sets = st.lists(entries, max_size=6).map(lambda every: combine(every, (), CERTIFIED))


@given(st.lists(sets, min_size=1, max_size=4))
def test_any_order_gives_the_same(parts: list[tuple[SignedEntry, ...]]) -> None:
    expected = None
    for order in itertools.permutations(parts):
        found: tuple[SignedEntry, ...] = ()
        for part in order:
            found = combine(found, part, CERTIFIED)
        assert expected is None or found == expected
        expected = found
    assert expected is not None
    assert combine(expected, expected, CERTIFIED) == expected


@given(sets, sets, sets)
def test_any_grouping_gives_the_same(
    one: tuple[SignedEntry, ...], two: tuple[SignedEntry, ...], three: tuple[SignedEntry, ...]
) -> None:
    left = combine(combine(one, two, CERTIFIED), three, CERTIFIED)
    assert left == combine(one, combine(two, three, CERTIFIED), CERTIFIED)


@given(sets, sets)
def test_a_key_is_only_ever_added(one: tuple[SignedEntry, ...], two: tuple[SignedEntry, ...]) -> None:
    both = {(each.entry.kind, each.entry.key): each.entry.value for each in combine(one, two, CERTIFIED)}
    for each in (*one, *two):
        if NewEntry(each.entry.kind, each.entry.key, each.entry.value) in KEYS:
            assert both[each.entry.kind, each.entry.key] == each.entry.value


class Server:
    """Keeps the newest outer part; a write has to name the version before it."""

    def __init__(self) -> None:
        self.outer: Outer | None = None

    @property
    def version(self) -> int:
        return self.outer.header.version if self.outer is not None else 0

    def put(self, outer: Outer) -> bool:
        if outer.header.version != self.version + 1:
            return False
        self.outer = outer
        return True


class Writing:
    """One device: what it holds, and what it wants to be in the vault."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.held: tuple[SignedEntry, ...] = ()
        self.wanted: list[NewEntry] = []
        self.read: Outer | None = None

    def fetch(self, server: Server) -> None:
        self.read = server.outer
        if server.outer is not None:
            served = open_outer(RECORD, server.outer, KEY, WRITERS)
            self.held = combine(self.held, served, CERTIFIED)

    def write(self, server: Server) -> bool:
        """On what was fetched last; whether it was taken."""
        before = self.read.header if self.read is not None else None
        version = before.version + 1 if before is not None else 1
        writer = Writer(self.device.device_id, self.device.sign)
        made = merge(self.held, self.wanted, version, writer, CERTIFIED)
        made = combine(made, self.held, CERTIFIED)
        outer = seal_outer("chat.example", "alice", RECORD.version, before, made, KEY, writer, 1)
        if not server.put(outer):
            return False
        self.held, self.read, self.wanted = made, outer, []
        return True


steps = st.lists(
    st.tuples(st.sampled_from([0, 1]), st.one_of(st.just("fetch"), st.just("write"), new_entries())), max_size=16
)


@given(steps)
@example([(0, ARCHIVE), (0, NewEntry(ARCHIVE.kind, ARCHIVE.key, b""))])
@example([(1, NewEntry(ARCHIVE.kind, ARCHIVE.key, b"x" * 32)), (1, "write"), (0, ARCHIVE)])
def test_any_interleaving_ends_in_the_same(schedule: list[tuple[int, str | NewEntry]]) -> None:
    server = Server()
    both = [Writing(DEVICES[0]), Writing(DEVICES[1])]
    said: list[NewEntry] = []
    for who, step in schedule:
        device = both[who]
        if step == "fetch":
            device.fetch(server)
        elif step == "write":
            device.write(server)
        elif isinstance(step, NewEntry):
            device.wanted.append(step)
            said.append(step)
    for device in both:
        while device.wanted or not device.held:
            device.fetch(server)
            if device.write(server):
                break
    for device in both:
        device.fetch(server)
    assert both[0].held == both[1].held
    held = {(each.entry.kind, each.entry.key): each.entry.value for each in both[0].held}
    for new in said:
        assert (new.kind, new.key) in held
        if new in KEYS:
            assert held[new.kind, new.key] == new.value
