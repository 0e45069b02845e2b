"""The *taking* rules of a conversation's records, which hold at one moment.

The opener checks them before posting and the server in its transaction, both besides the standing ones (`rights`).
"""

from __future__ import annotations

from collections.abc import Iterable

from tacit import errors
from tacit.signed.account import account_hash, aik_fingerprint, certificate
from tacit.signed.record import Change, ConversationRecord, SignedLeave
from tacit.signed.rights import ChainState, Newest, advance, is_ended
from tacit.wire import limits
from tacit.wire.codec import decode, encode
from tacit.wire.text import to_base64


def check_taking(
    before: ChainState | None, record: ConversationRecord, newest: Newest, pending: Iterable[SignedLeave] = ()
) -> None:
    """Whether a record that meets the standing rules may be taken now.

    `pending` are leaves that met `check_leave` when they came. Raises `RecordOutdated` with the facts `accounts` (user
    ids whose newest version is not named, that have ended, or whose device does not count any more) and `leaves`
    (base64 of leaves that have to be carried out).
    """
    opener = record.opener
    if not _device_is_current(newest, opener.user_id, opener.device_id):
        raise errors.RecordOutdated("the opener's device is revoked", accounts=[opener.user_id], leaves=[])
    after = advance(before, record)
    behind = [member.change.user_id for member in after.members if not _is_current(member.change, newest)]
    for request in record.requests:
        leave = decode(SignedLeave, request.body).leave
        if not _device_is_current(newest, leave.user_id, leave.device_id):
            behind.append(leave.user_id)
    leaves = [to_base64(encode(signed)) for signed in _due(before, after, opener.user_id, newest, pending)]
    if len(record.requests) == limits.REQUESTS:  # more do not fit; the next record carries them out
        leaves = []
    if behind or leaves:
        detail = "newer account versions" if behind else "pending leaves"
        raise errors.RecordOutdated(f"it does not name {detail}", accounts=sorted(set(behind)), leaves=leaves)


def _due(
    before: ChainState | None, after: ChainState, opener: str, newest: Newest, pending: Iterable[SignedLeave]
) -> Iterable[SignedLeave]:
    """The leaves of the present stay that could have been carried out and were not."""
    if before is None:
        return
    roster, added = before.roster(), after.added()
    for signed in pending:
        leave = signed.leave
        member = roster.get(leave.user_id)
        if member is None or added.get(leave.user_id) != leave.adding_record_hash or leave.user_id == opener:
            continue
        # One below the version named is stale: no record may carry it out, so that to ask for it would stop the chain.
        stale = leave.account_version < member.account_version
        if not stale and _device_is_current(newest, leave.user_id, leave.device_id):
            yield signed


def _is_current(change: Change, newest: Newest) -> bool:
    found = newest(change.user_id)
    if found is None:
        return False
    account = found.value
    same_identity = aik_fingerprint(account.profile, account.aik) == change.aik_fingerprint
    return same_identity and not is_ended(account) and account_hash(account) == change.account_hash


def _device_is_current(newest: Newest, user_id: str, device_id: str) -> bool:
    found = newest(user_id)
    return found is not None and certificate(found.value, device_id) is not None
