"""A member by tacit's own engine, as a `Person`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from typing import Final

from interop.person import Commit, Received, Refused, View
from tacit import errors
from tacit.mls import (
    Add,
    Application,
    BasicCredential,
    CommitChecked,
    Group,
    KeyPackage,
    KeyPackageKeys,
    LeafNode,
    Lifetime,
    Member,
    PendingCommit,
    Policy,
    ProposalTaken,
    Remove,
    load_keys,
    load_pending,
    new_key_package,
    save_keys,
    save_pending,
    suite_of,
)
from tacit.mls.committing import reference
from tacit.mls.framing import from_wire, to_wire
from tacit.mls.nodes import RatchetTree
from tacit.mls.tree_math import LeafIndex
from tacit.mls.welcome import Welcome
from tacit.wire.codec import decode, encode

NOW: Final = 1_800_000_000
FOREVER: Final = Lifetime(0, 2**63 - 1)


class Introduced(Policy):
    """Lets in whoever was introduced; handshakes are sent as `private` says, and taken either way."""

    lifetime_seconds = FOREVER.not_after

    def __init__(self, known: set[tuple[bytes, bytes]], *, private: bool) -> None:
        self.known = known
        self.private_handshakes = private  # type: ignore[misc]

    def authenticate(self, leaf: LeafNode) -> None:
        credential = leaf.credential
        if not isinstance(credential, BasicCredential) or (credential.identity, leaf.signature_key) not in self.known:
            raise errors.InvalidGroupMessage("nobody was introduced with this name and this key")


@dataclass(slots=True)
class Kept:
    """What a crash leaves: the group's records, the commit that waits, and the key packages."""

    records: dict[str, bytes]
    pending: bytes | None
    packages: list[bytes]


@contextmanager
def refusing(what: str) -> Iterator[None]:
    """What tacit refuses becomes `Refused`; all else is a defect and stays what it is."""
    try:
        yield
    except errors.TacitError as error:
        raise Refused(f"{what}: {type(error).__name__}: {error}") from error


def name_of(leaf: LeafNode) -> str:
    assert isinstance(leaf.credential, BasicCredential)
    return leaf.credential.identity.decode()


class TacitPerson:
    """A member by `tacit.mls`; after each change it writes down what changed, and `reload` has nothing else."""

    kind = "tacit"

    def __init__(self, name: str, suite: int, seed: int) -> None:
        self.name = name
        self._random: Callable[[int], bytes] = Random(f"{seed} {name}").randbytes
        self._suite = suite_of(suite)
        self._signer = self._suite.new_signature_key(self._random)
        self.signature_key = self._signer.public
        known: set[tuple[bytes, bytes]] = set()
        self._policies = {public: Introduced(known, private=not public) for public in (False, True)}
        self._packages: list[KeyPackageKeys] = []
        self._group: Group | None = None
        self._pending: PendingCommit | None = None
        self._kept = Kept({}, None, [])

    def know(self, name: str, signature_key: bytes) -> None:
        self._policies[False].known.add((name.encode(), signature_key))

    @property
    def group(self) -> Group:
        if self._group is None:
            raise Refused(f"{self.name} is in no group")
        return self._group

    def _keep(self, group: Group, pending: PendingCommit | None) -> None:
        """The next state, and what a program would have to write for it."""
        if self._group is None:
            self._kept.records = group.records()
        else:
            for key, value in group.changed(self._group).items():
                if value is None:
                    self._kept.records.pop(key, None)
                else:
                    self._kept.records[key] = value
        self._kept.pending = None if pending is None else save_pending(pending)
        self._kept.packages = [save_keys(each) for each in self._packages]
        self._group, self._pending = group, pending

    def key_package(self) -> bytes:
        keys = new_key_package(self._suite, self._signer, BasicCredential(self.name.encode()), FOREVER, self._random)
        self._packages.append(keys)
        self._kept.packages.append(save_keys(keys))
        return to_wire(keys.package)

    def create(self, group_id: bytes) -> None:
        self.key_package()
        with refusing("create"):
            self._begin(Group.create(group_id, self._packages.pop(), self._policies[False], self._random))

    def join(self, welcome: bytes, tree: bytes | None) -> None:
        with refusing("join"):
            message = from_wire(welcome)
            assert isinstance(message, Welcome)
            for_whom = {each.new_member for each in message.secrets}
            keys = next((each for each in self._packages if reference(self._suite, each.package) in for_whom), None)
            if keys is None:
                raise Refused("this Welcome is for nobody here")
            beside = None if tree is None else decode(RatchetTree, tree, len(tree))
            group = Group.join(welcome, keys, self._policies[False], tree=beside)
        self._packages.remove(keys)
        self._begin(group)

    def _begin(self, group: Group) -> None:
        self._group = None
        self._keep(group, None)

    def _leaf(self, name: str) -> LeafIndex:
        found = next((index for index, leaf in self.group.members() if name_of(leaf) == name), None)
        if found is None:
            raise Refused(f"{name} is no member")
        return found

    def _sending(self, *, public: bool) -> Group:
        return Group(self.group.state, self._policies[public])

    def commit(
        self, *, add: Sequence[bytes] = (), remove: Sequence[str] = (), public: bool = False, tree_inside: bool = True
    ) -> Commit:
        if self._pending is not None:
            raise Refused("a commit is waiting for its delivery")
        with refusing("commit"):
            changes: list[Remove | Add] = [
                *(Remove(self._leaf(name)) for name in remove),
                *(self._addition(each) for each in add),
            ]
            group, pending = self._sending(public=public).commit(
                *changes, now=NOW, random=self._random, with_tree=tree_inside
            )
        self._keep(group, pending)
        epoch = pending.transition.epoch
        assert epoch is not None
        return Commit(pending.commit, pending.welcome, None if tree_inside else encode(epoch.tree.to_nodes()))

    @staticmethod
    def _addition(key_package: bytes) -> Add:
        package = from_wire(key_package)
        assert isinstance(package, KeyPackage)
        return Add(package)

    def accept(self) -> None:
        if self._pending is None:
            raise Refused("no commit is waiting")
        with refusing("accept"):
            self._keep(self.group.merge(self._pending, NOW), None)

    def drop(self) -> None:
        if self._pending is None:
            raise Refused("no commit is waiting")
        self._keep(self.group, None)

    def propose_add(self, key_package: bytes, *, public: bool = False) -> bytes:
        with refusing("propose"):
            return self._sent(*self._sending(public=public).propose(self._addition(key_package), self._random))

    def propose_update(self, *, public: bool = False) -> bytes:
        with refusing("propose"):
            return self._sent(*self._sending(public=public).propose_update(self._random))

    def propose_remove(self, name: str, *, public: bool = False) -> bytes:
        with refusing("propose"):
            return self._sent(*self._sending(public=public).propose(Remove(self._leaf(name)), self._random))

    def send(self, data: bytes, aad: bytes = b"") -> bytes:
        with refusing("send"):
            return self._sent(*self.group.protect(data, self._random, aad))

    def _sent(self, group: Group, message: bytes) -> bytes:
        self._keep(group, self._pending)
        return message

    def receive(self, message: bytes) -> Received:
        before = self.group
        names = {index: name_of(leaf) for index, leaf in before.members()}
        with refusing("receive"):
            group, outcome = before.process(message, NOW)
            match outcome:
                case Application():
                    self._keep(group, self._pending)
                    return Received(
                        "application",
                        name_of(outcome.leaf),
                        outcome.epoch,
                        outcome.data,
                        outcome.authenticated_data,
                    )
                case ProposalTaken():
                    sender = outcome.proposed.sender
                    assert isinstance(sender, Member)
                    self._keep(group, self._pending)
                    return Received("proposal", names[LeafIndex(sender.leaf_index)], before.epoch)
                case CommitChecked():
                    committer = names[outcome.transition.effects.committer]
                    self._keep(group.merge(outcome, NOW), None)
                    return Received("commit", committer, before.epoch, removed=outcome.transition.epoch is None)
                case _:
                    raise Refused("this message is one's own")

    def view(self) -> View:
        group = self.group
        members = tuple((int(index), name_of(leaf)) for index, leaf in group.members())
        return View(group.epoch, group.epoch_authenticator.reveal(), members)

    def export(self, label: str, context: bytes, length: int) -> bytes:
        with refusing("export"):
            return self.group.exporter(label, context, length).reveal()

    def reload(self) -> None:
        """Loads what was written after each change, record by record; it has to be all of the group."""
        if self._kept.records != self.group.records():
            raise AssertionError("the records that were written one by one are not the group's")
        self._group = Group.load(self._kept.records, self._policies[False])
        self._pending = None if self._kept.pending is None else load_pending(self._kept.pending)
        self._packages = [load_keys(each) for each in self._kept.packages]
