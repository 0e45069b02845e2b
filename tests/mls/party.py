"""Groups whose members all follow each other, for tests of what a `Group` does."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from mls.making import GROUP_ID, LIFETIME, NOW, SUITE, draws
from tacit import errors
from tacit.crypto.secret import Secret
from tacit.mls import (
    Add,
    Application,
    BasicCredential,
    CipherSuite,
    CommitChecked,
    Extension,
    Group,
    KeyPackageKeys,
    LeafNode,
    PendingCommit,
    Policy,
    PreSharedKey,
    PreSharedKeyID,
    ProposalTaken,
    ReInit,
    Remove,
    ResumptionPsk,
    ResumptionPskUsage,
    new_key_package,
)
from tacit.mls.processing import Outcome


class Open(Policy):
    """Everybody is who they say, and may do everything; keys are those that it was given."""

    external_joins = True
    new_member_proposals = True

    def __init__(self, keys: dict[object, bytes] | None = None) -> None:
        self.keys = keys or {}

    def authenticate(self, leaf: LeafNode) -> None:
        pass

    def authenticate_external(self, sender: Any) -> None:
        pass

    def external_psk(self, psk_id: bytes) -> Secret | None:
        return Secret(self.keys[psk_id]) if psk_id in self.keys else None

    def resumption_psk(self, group_id: bytes, epoch: int) -> Secret | None:
        found = self.keys.get((group_id, epoch))
        return None if found is None else Secret(found)


class Plain(Open):
    """Proposals and commits travel in the clear, so that tests can look into them."""

    private_handshakes = False


class Closed(Policy):
    """The defaults."""

    def authenticate(self, leaf: LeafNode) -> None:
        pass

    def authenticate_external(self, sender: Any) -> None:
        pass


OPEN: Final = Open()
PLAIN: Final = Plain()
CLOSED: Final = Closed()


class Party:
    """A group by its members' names: whatever one does, the others follow. Who was removed stays, as it ended."""

    def __init__(
        self,
        *names: str,
        policy: Policy = OPEN,
        suite: CipherSuite = SUITE,
        extensions: tuple[Extension, ...] = (),
        group_id: bytes = GROUP_ID,
        **options: Any,
    ) -> None:
        self.policy, self.suite, self.options, self.now = policy, suite, options, NOW
        self.random = draws(f"{group_id!r} {names}")
        self.groups: dict[str, Group] = {}
        self.packages: dict[str, KeyPackageKeys] = {}
        first, *others = names
        self.groups[first] = Group.create(group_id, self.keys(first), policy, self.random, extensions)
        if others:
            self.add(first, *others)

    def __getitem__(self, name: str) -> Group:
        return self.groups[name]

    def keys(self, name: str, **options: Any) -> KeyPackageKeys:
        """A new key package of somebody, with new keys."""
        signer, credential = self.suite.new_signature_key(self.random), BasicCredential(name.encode())
        made = new_key_package(self.suite, signer, credential, LIFETIME, self.random, **{**self.options, **options})
        self.packages[name] = made
        return made

    def active(self) -> dict[str, Group]:
        """The members."""
        return {name: group for name, group in self.groups.items() if group.is_active}

    def pending(self, by: str, *proposals: Any, **options: Any) -> PendingCommit:
        """A commit that is kept back; whoever makes it has the keys used."""
        self.groups[by], pending = self[by].commit(*proposals, now=self.now, random=self.random, **options)
        return pending

    def commit(self, by: str, *proposals: Any, **options: Any) -> PendingCommit:
        """A commit that everybody follows."""
        pending = self.pending(by, *proposals, **options)
        self.took(by, pending)
        return pending

    def took(self, by: str, pending: PendingCommit) -> None:
        """The delivery service takes a commit."""
        self.groups[by] = self[by].merge(pending, self.now)
        self.follow(pending.commit, by)

    def follow(self, commit: bytes, *without: str) -> None:
        """A commit comes to everybody but these."""
        for name in self.active():
            if name not in without:
                group, checked = self[name].process(commit, self.now)
                assert isinstance(checked, CommitChecked)
                self.groups[name] = group.merge(checked, self.now)

    def add(self, by: str, *names: str, **options: Any) -> PendingCommit:
        """New members, with new key packages."""
        keys = {name: self.keys(name) for name in names}
        pending = self.commit(by, *(Add(each.package) for each in keys.values()), **options)
        for name, each in keys.items():
            self.groups[name] = self.welcomed(pending, each)
        return pending

    def welcomed(self, pending: PendingCommit, keys: KeyPackageKeys, **options: Any) -> Group:
        """The group of somebody whom a commit added."""
        assert pending.welcome is not None
        return Group.join(pending.welcome, keys, self.policy, **options)

    def remove(self, by: str, *names: str) -> PendingCommit:
        """Members go."""
        return self.commit(by, *(Remove(self[name].me) for name in names))

    def send(self, by: str, data: bytes = b"text", authenticated_data: bytes = b"") -> bytes:
        """A message that nobody gets yet."""
        self.groups[by], message = self[by].protect(data, self.random, authenticated_data)
        return message

    def take(self, message: bytes, *names: str) -> Outcome:
        """A message comes to these, or to everybody; what the last of them makes of it."""
        outcome: Outcome | None = None
        for name in names or self.active():
            self.groups[name], outcome = self[name].process(message, self.now)
        assert outcome is not None
        return outcome

    def read(self, message: bytes, *names: str) -> Application:
        """A message of the application comes."""
        outcome = self.take(message, *names)
        assert isinstance(outcome, Application)
        return outcome

    def propose(self, by: str, proposal: Any) -> bytes:
        """A proposal that everybody takes; an own Update for None."""
        if proposal is None:
            self.groups[by], message = self[by].propose_update(self.random)
        else:
            self.groups[by], message = self[by].propose(proposal, self.random)
        for name in self.active():
            if name != by:
                assert isinstance(self.take(message, name), ProposalTaken)
        return message

    def agree(self) -> bool:
        """Whether the members have one epoch, one tree and one secret."""
        groups = [group for group in self.groups.values() if not group.state.removed]
        return len({(group.context, group.epoch_authenticator.reveal()) for group in groups}) == 1


def names_in(group: Group) -> list[str]:
    """The members of a group, by their leaves."""
    found = []
    for _, leaf in group.members():
        assert isinstance(leaf.credential, BasicCredential)
        found.append(leaf.credential.identity.decode())
    return found


def resumption(former: Group, usage: ResumptionPskUsage, suite: CipherSuite = SUITE) -> PreSharedKey:
    """The key of a group's present epoch, for another group or for its own next epoch."""
    psk = ResumptionPsk(usage, former.group_id, former.epoch)
    return PreSharedKey(PreSharedKeyID(psk, bytes(suite.hash_bytes)))


def knowing(*groups: Group) -> Open:
    """A policy that has the resumption keys of these groups' present epochs."""
    return Open({(group.group_id, group.epoch): group.resumption_psk.reveal() for group in groups})


def reinit(group_id: bytes, suite: CipherSuite, extensions: Iterable[Extension] = ()) -> ReInit:
    """What follows a group."""
    return ReInit(group_id, 1, suite.id, tuple(extensions))


def ended(call: Any) -> bool:
    """Whether a call is refused because the group ended."""
    try:
        call()
    except errors.GroupEnded:
        return True
    return False
