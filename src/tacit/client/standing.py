"""Whether something may be sent in a conversation, and whether the next epoch comes first.

These are the client's own guards: they ask nothing of the server.
"""

from __future__ import annotations

from tacit import errors
from tacit.client import inbox, lost
from tacit.client.books import OWN_RESET, Books, Held
from tacit.client.comparing import why_contradicted
from tacit.client.grants import grant_failure
from tacit.client.openings import due_leaves
from tacit.conversation.judging_records import Place
from tacit.conversation.sealing import Epoch
from tacit.signed.account import account_hash, aik_fingerprint
from tacit.signed.record import Change, SignedLeave
from tacit.wire.codec import decode


def why_blocked(books: Books, held: Held) -> str:
    """What has to be settled before anything is sent; the empty text where nothing has.

    An epoch without a key blocks sending and not the next epoch, which mends it.
    """
    return held.stopped or _why_waiting(books, held) or _why_without_key(books, held)


def why_unconfirmed(books: Books) -> str:
    """Why nothing is said under one's own new identity yet; the empty text where nothing hinders it."""
    by = books.text(OWN_RESET)
    return f"your account was reset by device {by[:16]}: confirm that it was you, or leave it" if by else ""


def check_own_identity(books: Books) -> None:
    """Raises `IdentityChanged` where one's own account was reset and its owner did not confirm that here."""
    reason = why_unconfirmed(books)
    if reason:
        raise errors.IdentityChanged(reason)


def _why_waiting(books: Books, held: Held) -> str:
    unconfirmed = why_unconfirmed(books)
    if unconfirmed:
        return unconfirmed
    head = held.head()
    if head is None:
        return _why_pending(held) or "no record of this conversation has been accepted"
    place = head.roster.get(books.me.user_id)
    if place is None:
        return "you are not a member any more"
    if is_another_identity(books, place):
        return "your account was reset: an admin has to add you again"
    contradicted = why_contradicted(books, held)
    if contradicted:
        return contradicted
    if is_leaving(books, held):
        return "you asked to leave"
    alarmed = books.alarmed_accounts()
    for user in head.roster:
        if user in alarmed:
            return f"the account of {user} contradicts what is known of it: {alarmed[user]}"
    return _why_pending(held) or _why_missing(books, held)


def _why_pending(held: Held) -> str:
    waiting = [number for number in held.pending if number > held.epoch]
    return f"record_pending: epoch {min(waiting)}: {held.pending[min(waiting)]}" if waiting else ""


def _why_missing(books: Books, held: Held) -> str:
    """Messages of an epoch whose record did not come: it may remove somebody, and was kept back."""
    beyond = inbox.first_beyond(books, held)
    return f"record_missing: epoch {beyond}" if beyond is not None else ""


def is_another_identity(books: Books, place: Change) -> bool:
    """Whether one's own place in a roster is under another identity key than the account has now."""
    own = books.own_account().value
    return place.aik_fingerprint != aik_fingerprint(own.profile, own.aik)


def is_leaving(books: Books, held: Held) -> bool:
    """Whether one's own leave is of the present stay: who was added again since is not leaving."""
    state = held.state()
    if held.leaving is None or state is None:
        return False
    return decode(SignedLeave, held.leaving).leave.adding_record_hash == state.added().get(books.me.user_id)


def _why_without_key(books: Books, held: Held) -> str:
    head = held.head()
    if head is None or head.opened is not None:
        return ""
    return grant_failure(books, held, held.epoch) or f"no_grant: nobody gave you the key of epoch {held.epoch}"


def check_not_stopped(held: Held) -> None:
    """Raises `SendingBlocked` where nothing is sent any more, whatever may still come."""
    if held.stopped:
        raise errors.SendingBlocked(held.stopped)


def check_may_open(books: Books, held: Held) -> None:
    """Raises `SendingBlocked` where not even the next epoch may be opened."""
    reason = held.stopped or _why_waiting(books, held)
    if reason:
        raise errors.SendingBlocked(reason)


def check_sendable(books: Books, held: Held) -> Epoch:
    """The epoch to seal for: accepted, with its key. Raises `SendingBlocked`.

    There is no other way to a message that is sent: without an accepted record and its key nothing goes out, whatever
    the server says of the conversation.
    """
    reason = why_blocked(books, held)
    head = held.head()
    if reason or head is None or head.opened is None:
        raise errors.SendingBlocked(reason)
    return head.opened


def why_next_epoch(books: Books, held: Held, now: int) -> str:
    """Why the next epoch has to be opened before the next message; the empty text where it has not."""
    state, head = held.state(), held.head()
    if state is None or head is None:
        return ""
    if held.places[held.epoch] is Place.READING:
        return "a device that was revoked since opened the epoch"
    if due_leaves(books, state)[0]:
        return "a member asked to leave"
    if is_outdated(books, held):
        return "a member has a newer account record that ends a device or identity"
    rotation = head.record.policy.rotation
    # The opener's clock is only a claim: a time to come must not keep a key in use for ever.
    since = min(head.record.created_at, held.received_at[held.epoch])
    if now - since > rotation.max_age:
        return "the key has reached its age"
    if held.highest - head.seq - lost.number(books, held.id, head.seq) >= rotation.max_messages:
        return "the key has protected its number of messages"
    return ""


def is_outdated(books: Books, held: Held) -> bool:
    """Whether the epoch names an account version that has since revoked a device, or was reset."""
    for user, change in held.roster().items():
        newest, named = books.accounts.newest(user), books.accounts.named(user, change.account_hash)
        if newest is None or named is None or account_hash(newest.value) == change.account_hash:
            continue
        if aik_fingerprint(newest.value.profile, newest.value.aik) != change.aik_fingerprint:
            return True
        present = {device.device_id for device in newest.value.devices}
        if any(device.device_id not in present for device in named.value.devices):
            return True
    return False
