"""Building the next epoch: what is to change, the record, its key and grants, kept before they are sent.

Runs inside a transaction of the store. Every attempt makes a fresh key; what is to change is kept beside it, so that
an attempt that lost its race is followed by another, also after a crash.
"""

from __future__ import annotations

import dataclasses
from typing import Annotated, Final

import msgspec

from tacit import errors
from tacit.client import queue
from tacit.client.books import Books, Held
from tacit.client.collecting import uncollected
from tacit.client.ownwords import known_as
from tacit.conversation.content import NameNotice
from tacit.conversation.envelope import make_grants
from tacit.conversation.keys import ConversationKey, finish_record
from tacit.crypto.secret import Randomness, Secret
from tacit.signed.account import AccountRecord, account_hash, aik_fingerprint, certificate
from tacit.signed.grant import Granter, SignedGrant
from tacit.signed.profiles import Profile, can_follow, name_of, profile_of
from tacit.signed.record import (
    DEFAULT_POLICY,
    Change,
    ConversationRecord,
    Opener,
    Policy,
    Protocol,
    Request,
    RequestKind,
    Role,
    Roster,
    SignedLeave,
    fold,
    in_order,
    record_hash,
    roster_hash,
    sign_record,
)
from tacit.signed.rights import ChainState, check_leave, check_standing, is_ended
from tacit.signed.taking import check_taking
from tacit.signed.verify import ZERO_HASH, Verified
from tacit.wire import limits
from tacit.wire.codec import Many, decode, encode, struct
from tacit.wire.text import to_base64

CREATE: Final = "create"
ADD: Final = "add"
REMOVE: Final = "remove"
SET_ROLE: Final = "role"
ROTATE: Final = "rotate"
RAISE: Final = "profile"

ADVICE: Final = {
    Profile.COMPAT: "A conversation of the profile compat takes accounts of the profiles compat and standard",
    Profile.STANDARD: "A conversation of the profile standard takes accounts of that profile alone: found one of the"
    " profile compat to talk with accounts of the profile compat",
    Profile.FIPS: "A conversation of the profile fips takes accounts of that profile alone",
}
"""What to do where somebody cannot follow."""


class Intent(msgspec.Struct, frozen=True):
    """What a person wants to change.

    `genesis` is the hex of a new conversation's random bytes; `profile` the name of its profile (empty: the founder's
    own), or of the one to raise it to.
    """

    op: str
    users: tuple[str, ...] = ()
    role: int = int(Role.MEMBER)
    name: str = ""
    genesis: str = ""
    profile: str = ""


@struct
class Grants:
    """The grants of an epoch as they are kept."""

    grants: Annotated[tuple[SignedGrant, ...], Many(limits.MEMBERS)]


@dataclasses.dataclass(frozen=True, slots=True)
class Opening:
    """An epoch that is being opened: exactly what is sent until its outcome is known."""

    conversation_id: str
    intent: Intent
    record: ConversationRecord
    signature: bytes
    grants: tuple[SignedGrant, ...]
    member_ids: tuple[str, ...]

    @property
    def record_hash(self) -> bytes:
        """The record's hash."""
        return record_hash(self.record)


def users_concerned(books: Books, conversation_id: str, intent: Intent) -> set[str]:
    """Everybody whose newest account record the next epoch has to name."""
    held = books.find(conversation_id)
    return {books.me.user_id, *intent.users, *(held.roster() if held is not None else ())}


@uncollected()
def prepare(books: Books, conversation_id: str, intent: Intent, now: int, random: Randomness) -> Opening | None:
    """Build and keep the next epoch; None where what is wanted is so already.

    Raises `NoRight`, `NoSuchAccount`, `CannotFollow`, `InvalidArgument`, `TooLarge` for more members than an epoch can
    grant its key to in one request, and what the standing and taking rules raise: they are checked here before anything
    is sent.
    """
    held = books.add(conversation_id, intent.name or None)
    before = held.state()
    requests, leaving = due_leaves(books, before) if before is not None else ((), {})
    roster: Roster = before.roster() if before is not None else {}
    profile = profile_after(books, before, intent)
    wanted = wanted_changes(books, roster, intent)
    raised = before is not None and profile is not before.head.profile
    if before is not None and intent.op != ROTATE and not wanted and not raised:
        return None
    changes = {**newer_versions(books, roster), **wanted, **leaving}
    after = fold(roster, changes.values())
    check_followers(books, after, profile)
    ordered = tuple(in_order(changes.values()))
    bare = _record(books, before, conversation_id, intent, profile, ordered, requests, after, now)
    key = ConversationKey.generate(random)
    record = finish_record(bare, key)
    me = books.me
    signature = sign_record(record, me.request_key.sign)
    check_standing(before, record, signature, books.accounts.named)
    check_taking(before, record, books.accounts.newest, valid_leaves(books, before))
    granter = Granter(me.user_id, me.device_id, record.opener.account_hash)
    recipients = [_named(books, change) for change in in_order(after.values())]
    if len(after) > limits.GRANTS:
        raise errors.TooLarge(f"a conversation has at most {limits.GRANTS} members under the protocol envelope")
    grants = make_grants(record, key, granter, me.request_key.sign, recipients, after)
    made = Opening(conversation_id, intent, record, signature, tuple(grants), _ids(after))
    _keep(books, made, key)
    return made


def _record(
    books: Books,
    before: ChainState | None,
    conversation_id: str,
    intent: Intent,
    profile: Profile,
    changes: tuple[Change, ...],
    requests: tuple[Request, ...],
    after: Roster,
    now: int,
) -> ConversationRecord:
    me = books.me
    policy: Policy = before.head.policy if before is not None else DEFAULT_POLICY
    return ConversationRecord(
        conversation_id,
        before.head.epoch + 1 if before is not None else 1,
        before.head_hash if before is not None else ZERO_HASH,
        Protocol.ENVELOPE,
        profile,
        0,
        b"",
        0,
        b"",
        roster_hash(after),
        changes,
        requests,
        policy,
        b"" if before is not None else bytes.fromhex(intent.genesis),
        b"",
        "",
        now,
        Opener(me.user_id, me.device_id, account_hash(books.own_account().value)),
    )


def wanted_changes(books: Books, roster: Roster, intent: Intent) -> dict[str, Change]:
    """What the person asked for, as changes to the roster; raises `NoRight` and the like."""
    me = books.me.user_id
    check_known(books, intent)
    if intent.op == CREATE:
        members = {user: place(newest(books, user), Role.MEMBER) for user in intent.users}
        return members | {me: place(newest(books, me), Role.ADMIN)}
    own = roster.get(me)
    if own is None:
        raise errors.NoRight("you are not a member")
    if intent.op != ROTATE and own.role is not Role.ADMIN:
        raise errors.NoRight("only an admin does that")
    changes: dict[str, Change] = {}
    for user in intent.users:
        earlier = roster.get(user)
        if user == me and intent.op in (REMOVE, SET_ROLE):
            check_own(roster, me, intent)
        match intent.op:
            case "add" if earlier is None:
                changes[user] = place(newest(books, user), Role.MEMBER)
            case "remove" if earlier is not None:
                changes[user] = dataclasses.replace(earlier, role=Role.REMOVED)
            case "role":
                if earlier is None:
                    raise errors.InvalidArgument(f"{user} is not a member")
                if earlier.role != intent.role:
                    changes[user] = place(newest(books, user), Role(intent.role))
            case _:
                pass
    return changes


def check_known(books: Books, intent: Intent) -> None:
    """Raises `IdentityChanged` where somebody who was reset is to be brought in and no person confirmed them."""
    if intent.op in (CREATE, ADD, SET_ROLE):
        for user in intent.users:
            known, account = known_as(books, user), books.accounts.newest(user)
            if known is None or account is None:
                continue
            if known.aik_fingerprint != aik_fingerprint(account.value.profile, account.value.aik):
                raise errors.IdentityChanged(user)


def check_own(roster: Roster, me: str, intent: Intent) -> None:
    """Raises `InvalidArgument` for removing oneself, and for the last admin's stepping down."""
    if intent.op == REMOVE:
        raise errors.InvalidArgument("nobody removes themselves: leave instead")
    if is_last_admin(roster, me) and intent.role != Role.ADMIN:
        raise errors.InvalidArgument("the last admin appoints another first")


def is_last_admin(roster: Roster, user_id: str) -> bool:
    """Whether a member is the only admin among several members."""
    admins = [change.user_id for change in roster.values() if change.role is Role.ADMIN]
    return admins == [user_id] and len(roster) > 1


def newer_versions(books: Books, roster: Roster) -> dict[str, Change]:
    """The newest known account version of each member where the roster names an older one; ended accounts go."""
    changes: dict[str, Change] = {}
    for user, earlier in roster.items():
        account = newest(books, user)
        hash_now = account_hash(account)
        if hash_now == earlier.account_hash:
            continue
        same_identity = aik_fingerprint(account.profile, account.aik) == earlier.aik_fingerprint
        if same_identity and not is_ended(account):
            changes[user] = place(account, earlier.role)
        else:
            changes[user] = Change(user, earlier.aik_fingerprint, Role.REMOVED, account.version, hash_now)
    return changes


def profile_after(books: Books, before: ChainState | None, intent: Intent) -> Profile:
    """The profile of the next epoch; raises `InvalidArgument` for one that this conversation never goes to."""
    if before is None:
        return profile_of(intent.profile) if intent.profile else books.own_account().value.profile
    present = before.head.profile
    if intent.op != RAISE:
        return present
    wanted = profile_of(intent.profile)
    if wanted is present or (present, wanted) == (Profile.COMPAT, Profile.STANDARD):
        return wanted
    names = f"from {name_of(present)} to {name_of(wanted)}"
    raise errors.InvalidArgument(f"a conversation's profile goes from compat to standard, not {names}: found another")


def check_followers(books: Books, roster: Roster, profile: Profile) -> None:
    """Raises `CannotFollow` that names the members whose accounts cannot follow a conversation's profile."""
    others: dict[Profile, list[str]] = {}
    for user_id in sorted(roster):
        account = newest(books, user_id)
        if not can_follow(account.profile, profile):
            others.setdefault(account.profile, []).append(user_id)
    if others:
        who = "; ".join(f"{', '.join(users)}: profile {name_of(each)}" for each, users in sorted(others.items()))
        raise errors.CannotFollow(f"{who}. {ADVICE[profile]}")


def newest(books: Books, user_id: str) -> AccountRecord:
    """The newest known account record of a user; raises `NoSuchAccount`."""
    found = books.accounts.newest(user_id)
    if found is None:
        raise errors.NoSuchAccount(user_id)
    return found.value


def place(account: AccountRecord, role: Role) -> Change:
    """An account's place in a roster; raises `CannotFollow` for one that has ended."""
    if is_ended(account):
        raise errors.CannotFollow(f"{account.user_id}'s account has ended")
    fingerprint = aik_fingerprint(account.profile, account.aik)
    return Change(account.user_id, fingerprint, role, account.version, account_hash(account))


def pending_leaves(books: Books, conversation_id: str) -> list[SignedLeave]:
    """The leaves that were received and not carried out."""
    query = "SELECT leave FROM leaves WHERE conversation_id = ? ORDER BY user_id"
    return [decode(SignedLeave, row[0]) for row in books.connection.execute(query, (conversation_id,)).fetchall()]


def keep_leave(books: Books, conversation_id: str, raw: bytes) -> None:
    """Keep a leave as it was received; it is judged where it is used. Raises `Malformed` for what is none."""
    leave = decode(SignedLeave, raw).leave
    if leave.conversation_id == conversation_id:
        row = (conversation_id, leave.user_id, raw)
        books.connection.execute("INSERT OR IGNORE INTO leaves VALUES (?, ?, ?)", row)


def due_leaves(books: Books, state: ChainState) -> tuple[tuple[Request, ...], dict[str, Change]]:
    """The valid leaves of others that the next epoch carries out, and the removals that do."""
    roster = state.roster()
    requests: list[Request] = []
    removals: dict[str, Change] = {}
    for signed in valid_leaves(books, state):
        user = signed.leave.user_id
        if user == books.me.user_id or user in removals:
            continue
        requests.append(Request(RequestKind.LEAVE, encode(signed)))
        removals[user] = dataclasses.replace(roster[user], role=Role.REMOVED)
    return tuple(requests), removals


def valid_leaves(books: Books, state: ChainState | None) -> list[SignedLeave]:
    """The leaves that were received and can be carried out on this state."""
    if state is None:
        return []
    return [each for each in pending_leaves(books, state.head.conversation_id) if is_valid_leave(books, state, each)]


def is_valid_leave(books: Books, state: ChainState, signed: SignedLeave) -> bool:
    """Whether a leave can be carried out on this state, by a device that still stands in its account."""
    try:
        check_leave(state, signed, books.accounts.named)
    except errors.PeerError:
        return False
    account = books.accounts.newest(signed.leave.user_id)
    return account is not None and certificate(account.value, signed.leave.device_id) is not None


def _named(books: Books, change: Change) -> Verified[AccountRecord]:
    account = books.accounts.named(change.user_id, change.account_hash)
    if account is None:
        raise errors.RecordPending("an account record is not known", accounts=[change.user_id])
    return account


def _ids(roster: Roster) -> tuple[str, ...]:
    return tuple(change.user_id for change in in_order(roster.values()))


# --- kept until the outcome is known -------------------------------------------------------


def _keep(books: Books, made: Opening, key: ConversationKey) -> None:
    row = (
        made.conversation_id,
        msgspec.json.encode(made.intent).decode(),
        made.record_hash,
        encode(made.record),
        made.signature,
        key.secret.reveal(),
        encode(Grants(made.grants)),
    )
    books.connection.execute("INSERT OR REPLACE INTO openings VALUES (?, ?, ?, ?, ?, ?, ?)", row)


def find(books: Books, conversation_id: str) -> Opening | None:
    """The epoch of this conversation that is being opened, or None."""
    query = "SELECT intent, record, signature, grants FROM openings WHERE conversation_id = ?"
    row = books.connection.execute(query, (conversation_id,)).fetchone()
    if row is None:
        return None
    intent, raw, signature, grants = row
    record = decode(ConversationRecord, raw)
    held = books.add(conversation_id)
    after = fold(held.states[record.epoch - 1].roster() if record.epoch > 1 else {}, record.changes)
    kept = decode(Grants, grants, limits.BODY_BYTES).grants
    return Opening(
        conversation_id, msgspec.json.decode(intent, type=Intent), record, bytes(signature), kept, _ids(after)
    )


def unsettled(books: Books) -> list[str]:
    """The conversations in which an epoch is being opened."""
    query = "SELECT conversation_id FROM openings ORDER BY conversation_id"
    return [row[0] for row in books.connection.execute(query)]


def settle(books: Books, held: Held, own_hash: bytes, now: int, random: Randomness) -> None:
    """A record counts now: if it is the one being opened, keep its key, and let its first message name it.

    The opener repeats the conversation's name in every epoch, so that who joins has it.
    """
    query = "SELECT key, intent FROM openings WHERE conversation_id = ? AND record_hash = ?"
    row = books.connection.execute(query, (held.id, own_hash)).fetchone()
    if row is None:
        return
    books.keep_key(held, held.epoch, ConversationKey(Secret(bytes(row[0]))))
    if held.name:
        queue.enqueue(books, held.id, NameNotice(held.name), now, random, first=True)
    drop(books, held.id)


def drop(books: Books, conversation_id: str) -> None:
    """Forget the epoch that was being opened; a conversation that never came to be goes with it."""
    books.connection.execute("DELETE FROM openings WHERE conversation_id = ?", (conversation_id,))
    held = books.find(conversation_id)
    if held is not None and held.epoch == 0 and held.cursor == 0 and not held.stopped:
        books.forget(conversation_id)


def grants_for_request(made: Opening) -> list[tuple[str, str]]:
    """The grants as they travel: recipient and base64 struct SignedGrant."""
    return [(each.grant.recipient, to_base64(encode(each))) for each in made.grants]
