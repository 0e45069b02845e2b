"""Who may change what in a conversation: the *standing* rules over its chain of records.

They give the same verdict at any time; every client and the server check them. What holds at one moment is in `taking`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, NoReturn

from tacit import errors
from tacit.signed import labels
from tacit.signed.account import AccountRecord, aik_fingerprint, certificate
from tacit.signed.profiles import Profile, can_follow
from tacit.signed.record import (
    LEAST_AGE,
    LEAST_MESSAGES,
    Change,
    ConversationRecord,
    History,
    Protocol,
    RequestKind,
    Role,
    Roster,
    SignedLeave,
    conversation_id_of,
    fold,
    in_order,
    record_hash,
    roster_hash,
)
from tacit.signed.verify import ZERO_HASH, Verified, signature_holds, verify
from tacit.wire import limits
from tacit.wire.codec import Many, decode, struct
from tacit.wire.encodings import Hash

Accounts = Callable[[str, bytes], Verified[AccountRecord] | None]
"""The verified account record of a user with this hash, from that account's one chain; None where it is not known."""
Newest = Callable[[str], Verified[AccountRecord] | None]
"""The newest known verified account record of a user."""


@struct
class Member:
    """One member: the change that the roster holds, and the record in which the present stay began."""

    change: Change
    added: Hash


@struct
class ChainState:
    """What a chain of records amounts to at its head. It can be stored; it holds nothing secret."""

    head: ConversationRecord
    head_hash: Hash
    genesis_hash: Hash
    members: Annotated[tuple[Member, ...], Many(limits.MEMBERS)]

    def roster(self) -> Roster:
        """The members by user id."""
        return {member.change.user_id: member.change for member in self.members}

    def added(self) -> dict[str, bytes]:
        """By user id, the hash of the record in which the member's present stay began."""
        return {member.change.user_id: member.added for member in self.members}


def invalid(rule: str) -> NoReturn:
    """Refuse a record for good."""
    raise errors.InvalidRecord(rule)


def _require(holds: bool, rule: str) -> None:
    if not holds:
        invalid(rule)


def advance(before: ChainState | None, record: ConversationRecord) -> ChainState:
    """The state after a record whose rules were checked already (it comes from one's own store)."""
    own_hash = record_hash(record)
    roster_before: Roster = before.roster() if before else {}
    added_before = before.added() if before else {}
    after = fold(roster_before, record.changes)
    members = []
    for change in in_order(after.values()):
        earlier = roster_before.get(change.user_id)
        stays = earlier is not None and earlier.aik_fingerprint == change.aik_fingerprint
        members.append(Member(change, added_before[change.user_id] if stays else own_hash))
    return ChainState(record, own_hash, before.genesis_hash if before else own_hash, tuple(members))


def check_standing(
    before: ChainState | None, record: ConversationRecord, signature: bytes, accounts: Accounts
) -> tuple[Verified[ConversationRecord], ChainState]:
    """A record on its parent, by the rules that never change their verdict.

    Raises `InvalidRecord` or `BadSignature` for a breach, `RecordPending` for what cannot be judged yet.
    """
    if before is None:
        _check_genesis(record)
        roster_before: Roster = {}
    else:
        _check_link(before, record)
        roster_before = before.roster()
    _check_known(record)
    order = [change.user_id.encode() for change in record.changes]
    _require(order == sorted(order), "changes are not sorted by user id")
    after = fold(roster_before, record.changes)
    _require(len(after) <= limits.MEMBERS, "the roster is larger than the limit")
    _require(roster_hash(after) == record.roster_hash, "the roster's hash is another")
    opener = _check_opener(roster_before, record, after)
    _check_accounts_known(before, record, after, accounts)
    for change in record.changes:
        _check_change(roster_before.get(change.user_id), change, accounts, record.profile)
    if before is not None and record.profile is not before.head.profile:
        _check_all_follow(record, after, accounts)
    leaving = _check_requests(before, record, accounts)
    _check_rights(before, record, opener, leaving)
    account = _account(accounts, opener.user_id, record.opener.account_hash)
    device = certificate(account, record.opener.device_id)
    if device is None:
        invalid("the opener's device is not certified in the record that is named")
    checked = verify(labels.CONVERSATION_RECORD, record, device.request_key, signature, account.profile)
    return checked, advance(before, record)


def _check_genesis(record: ConversationRecord) -> None:
    _require(record.epoch == 1, "the first epoch is not 1")
    _require(record.previous_record_hash == ZERO_HASH, "the first record names an earlier one")
    _require(len(record.genesis_random) == 32, "the genesis has no 32 random bytes")
    expected = conversation_id_of(record.opener.user_id, record.genesis_random)
    _require(record.conversation_id == expected, "the conversation's id is not its founder's")
    _require(all(change.role is not Role.REMOVED for change in record.changes), "the genesis removes somebody")
    _require(len(record.predecessor) in (0, 32), "the predecessor is not a hash")


def _check_link(before: ChainState, record: ConversationRecord) -> None:
    head = before.head
    _require(record.conversation_id == head.conversation_id, "the record is another conversation's")
    _require(record.epoch == head.epoch + 1, "the epoch is not one more")
    _require(record.previous_record_hash == before.head_hash, "the record before it is another")
    _require(record.genesis_random == b"" and record.predecessor == b"", "a genesis field stands in a later record")
    _require(record.protocol >= head.protocol, "the protocol went down")
    same_family = (record.profile is Profile.FIPS) == (head.profile is Profile.FIPS)
    _require(same_family and record.profile >= head.profile, "the profile went down")
    _require(record.suite >= head.suite, "the suite went down")
    secret_before = head.policy.history is History.FORWARD_SECRET
    _require(not secret_before or record.policy.history is History.FORWARD_SECRET, "the history became recoverable")


def _check_known(record: ConversationRecord) -> None:
    _require(record.protocol is not Protocol.PLAINTEXT, "a record opens no plaintext epoch")
    if record.protocol is not Protocol.ENVELOPE:
        raise errors.RecordPending("this program does not know its protocol")
    _require(record.suite == 0 and record.group_id == b"" and record.mls_epoch == 0, "envelope has no MLS group")
    _require(len(record.key_id) == 32, "the key id is not 32 bytes")
    _require(record.policy.history is History.RECOVERABLE, "envelope has no forward-secret history")
    rotation = record.policy.rotation
    _require(rotation.max_age >= LEAST_AGE, "the rotation by age is under an hour")
    _require(rotation.max_messages >= LEAST_MESSAGES, "the rotation by number is under 100 messages")


def _check_opener(roster_before: Roster, record: ConversationRecord, after: Roster) -> Change:
    opener = after.get(record.opener.user_id)
    if opener is None:
        invalid("the opener is not a member")
    _require(opener.account_hash == record.opener.account_hash, "the opener acts under another account record")
    if record.epoch > 1:
        earlier = roster_before.get(opener.user_id)
        if earlier is None:
            invalid("the opener was not a member before")
        _require(earlier.aik_fingerprint == opener.aik_fingerprint, "the opener names a new identity key for itself")
    return opener


def _check_accounts_known(
    before: ChainState | None, record: ConversationRecord, after: Roster, accounts: Accounts
) -> None:
    """All that is not known at once: else a record of many newcomers is judged again for each of them."""
    roster_before: Roster = before.roster() if before is not None else {}
    named = {change.user_id: change.account_hash for change in record.changes if _needs_account(roster_before, change)}
    if before is not None and record.profile is not before.head.profile:
        named |= {change.user_id: change.account_hash for change in after.values()}
    named[record.opener.user_id] = record.opener.account_hash
    unknown = [user_id for user_id, hash_named in named.items() if accounts(user_id, hash_named) is None]
    if unknown:
        raise errors.RecordPending("an account record that it names is not known", accounts=sorted(unknown))


def _needs_account(roster_before: Roster, change: Change) -> bool:
    """A removal that names what the roster names needs no lookup."""
    earlier = roster_before.get(change.user_id)
    return change.role is not Role.REMOVED or earlier is None or not _names_the_same(earlier, change)


def _account(accounts: Accounts, user_id: str, hash_named: bytes) -> AccountRecord:
    found = accounts(user_id, hash_named)
    if found is None:
        raise errors.RecordPending("an account record that it names is not known", accounts=[user_id])
    _require(found.value.user_id == user_id, "an account record is another user's")
    return found.value


def _check_all_follow(record: ConversationRecord, after: Roster, accounts: Accounts) -> None:
    """A profile is raised only where the named record of every member that remains can follow."""
    for member in after.values():
        account = _account(accounts, member.user_id, member.account_hash)
        _require(can_follow(account.profile, record.profile), "the profile was raised above what a member has")


def _check_change(earlier: Change | None, change: Change, accounts: Accounts, profile: Profile) -> None:
    if change.role is Role.REMOVED and earlier is not None and _names_the_same(earlier, change):
        return  # without a lookup
    account = _account(accounts, change.user_id, change.account_hash)
    _require(account.version == change.account_version, "a change names another version than its hash")
    fingerprint = aik_fingerprint(account.profile, account.aik)
    if change.role is Role.REMOVED:
        assert earlier is not None  # else `fold` refused it
        _require(change.aik_fingerprint == earlier.aik_fingerprint, "a removal names another identity key")
        ended = fingerprint != earlier.aik_fingerprint or is_ended(account)
        _require(ended and account.version > earlier.account_version, "a removal names a version that ends nothing")
        return
    _require(fingerprint == change.aik_fingerprint, "a change names another identity key than its account record")
    _require(not is_ended(account), "a member's account has ended")
    _require(can_follow(account.profile, profile), "a member's account cannot follow the conversation's profile")
    if earlier is not None:
        _require(change.account_version >= earlier.account_version, "a named account version went back")
        same = change.account_version == earlier.account_version
        _require(not same or change.account_hash == earlier.account_hash, "one account version has two hashes")


def _names_the_same(earlier: Change, change: Change) -> bool:
    return (earlier.aik_fingerprint, earlier.account_version, earlier.account_hash) == (
        change.aik_fingerprint,
        change.account_version,
        change.account_hash,
    )


def is_ended(account: AccountRecord) -> bool:
    """Whether an account's last record says that it has neither devices nor keys any more."""
    return not account.devices and not account.encryption_keys


def _check_requests(before: ChainState | None, record: ConversationRecord, accounts: Accounts) -> set[str]:
    changes = {change.user_id: change for change in record.changes}
    leaving: set[str] = set()
    if not record.requests:
        return leaving
    if before is None:
        invalid("the genesis carries out a request")
    roster, added = before.roster(), before.added()  # once: both cost as much as the roster is long
    for request in record.requests:
        _require(request.kind is RequestKind.LEAVE, "envelope has no re-adds")
        try:
            signed = decode(SignedLeave, request.body)
        except errors.PeerError:
            invalid("a leave cannot be read")
        user_id = signed.leave.user_id
        _require(user_id not in leaving, "two leaves of one user")
        _check_leave(record.conversation_id, roster, added, signed, accounts)
        change = changes.get(user_id)
        _require(change is not None and change.role is Role.REMOVED, "a leave is named and not carried out")
        leaving.add(user_id)
    return leaving


def check_leave(state: ChainState, signed: SignedLeave, accounts: Accounts) -> None:
    """A leave on the state that it would be carried out on; raises `InvalidRecord` or `RecordPending`."""
    _check_leave(state.head.conversation_id, state.roster(), state.added(), signed, accounts)


def _check_leave(
    conversation_id: str, roster: Roster, added: Mapping[str, bytes], signed: SignedLeave, accounts: Accounts
) -> None:
    leave = signed.leave
    member = roster.get(leave.user_id)
    _require(leave.conversation_id == conversation_id, "a leave is another conversation's")
    if member is None:
        invalid("a leave of somebody who is not a member")
    _require(leave.adding_record_hash == added[leave.user_id], "a leave is of an earlier stay")
    account = _account(accounts, leave.user_id, leave.account_hash)
    _require(account.version == leave.account_version, "a leave names another version than its hash")
    _require(account.version >= member.account_version, "a leave is of an older account version")
    _require(aik_fingerprint(account.profile, account.aik) == member.aik_fingerprint, "a leave is by another identity")
    device = certificate(account, leave.device_id)
    if device is None:
        invalid("a leave is by a device that is not certified")
    if not signature_holds(labels.LEAVE, leave, device.request_key, signed.signature, account.profile):
        invalid("a leave's signature does not verify")


def _check_rights(before: ChainState | None, record: ConversationRecord, opener: Change, leaving: set[str]) -> None:
    """What the opener may do by the roster before this record; a genesis makes its founder an admin."""
    if before is None:
        _require(opener.role is Role.ADMIN, "the founder is not an admin")
        return
    earlier = before.roster().get(opener.user_id)
    if earlier is None or earlier.role is not Role.ADMIN:
        _check_member_rights(before, record, leaving)


def _check_member_rights(before: ChainState, record: ConversationRecord, leaving: set[str]) -> None:
    """What somebody who is not an admin may do: rotate, name newer versions, remove who left or ended."""
    head = before.head
    _require(record.policy == head.policy, "only an admin changes the policy")
    same = (record.protocol, record.profile, record.suite) == (head.protocol, head.profile, head.suite)
    _require(same, "only an admin raises protocol, profile or suite")
    roster = before.roster()
    for change in record.changes:
        earlier = roster.get(change.user_id)
        if earlier is None:
            invalid("only an admin adds a member")
        if change.role is Role.REMOVED:
            ended = not _names_the_same(earlier, change)  # then _check_change saw that the account had ended
            _require(change.user_id in leaving or ended, "only an admin removes a member")
            continue
        _require(change.role is earlier.role, "only an admin changes a role")
        _require(change.aik_fingerprint == earlier.aik_fingerprint, "only an admin lets a new identity in")


def could_open(before: ChainState | None, record: ConversationRecord, user_id: str, accounts: Accounts) -> bool:
    """Whether a member, by the roster before a record that meets the standing rules, had the right to do the same.

    Of a genesis that is its opener alone. Raises `RecordPending` where an account record is not known.
    """
    if before is None:
        return user_id == record.opener.user_id
    member = before.roster().get(user_id)
    if member is None or any(each.user_id == user_id and each.role is Role.REMOVED for each in record.changes):
        return False  # no record removes its opener
    if member.role is Role.ADMIN:
        return True
    try:
        _check_member_rights(before, record, _check_requests(before, record, accounts))
    except errors.InvalidRecord:
        return False
    return True
