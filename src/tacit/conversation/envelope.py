"""The protocol `envelope`: the opener makes the epoch's key and grants it to each member's account.

A grant is judged by the key that it holds: whoever made it, only the key that the epoch's record commits to is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tacit import errors
from tacit.conversation.keys import KEY_BYTES, ConversationKey, is_key_of
from tacit.crypto.secret import Secret
from tacit.identity.keys import PrivateKey, unwrap, wrap
from tacit.signed import labels
from tacit.signed.account import AccountRecord, account_hash, aik_fingerprint, certificate
from tacit.signed.grant import WRAPS, Grant, GrantContext, Granter, SignedGrant, sign_grant, verify_grant
from tacit.signed.profiles import ALGORITHMS, KeyAlgorithm
from tacit.signed.record import ConversationRecord, Roster, record_hash
from tacit.signed.rights import Accounts
from tacit.signed.verify import Signer, Verified, labelled

PrivateKeys = Callable[[bytes, KeyAlgorithm], PrivateKey | None]
"""One's account's private key of an algorithm, by the hash of the account record that names its public half."""


def make_grants(
    record: ConversationRecord,
    key: ConversationKey,
    granter: Granter,
    signer: Signer,
    recipients: Iterable[Verified[AccountRecord]],
    roster: Roster,
) -> list[SignedGrant]:
    """The epoch's key for each recipient that has a device, wrapped to a key of its verified account record.

    The conversation's profile says to which one. `roster` is the epoch's own. Raises `KeyIdMismatch` for a key that is
    not this record's, and `InvalidArgument` for a recipient who is not in the roster under the same identity key:
    nobody else is ever wrapped to.
    """
    if not is_key_of(key, record):
        raise errors.KeyIdMismatch()
    hash_of_record, algorithm = record_hash(record), ALGORITHMS[record.profile].kem
    grants: list[SignedGrant] = []
    for recipient in recipients:
        account = recipient.value
        check_recipient(account, roster)
        if account.devices:
            grants.append(_make_grant(hash_of_record, algorithm, key, granter, signer, account))
    return grants


def check_recipient(account: AccountRecord, roster: Roster) -> None:
    """Raises `InvalidArgument` unless the account is in the roster under the identity key that it has."""
    member = roster.get(account.user_id)
    if member is None or member.aik_fingerprint != aik_fingerprint(account.profile, account.aik):
        raise errors.InvalidArgument(f"{account.user_id} is not a member under this identity key")


def _make_grant(
    hash_of_record: bytes,
    algorithm: KeyAlgorithm,
    key: ConversationKey,
    granter: Granter,
    signer: Signer,
    account: AccountRecord,
) -> SignedGrant:
    public = next(each.public_key for each in account.encryption_keys if each.algorithm is algorithm)
    context = GrantContext(hash_of_record, account.user_id, account_hash(account))
    ciphertext = wrap(algorithm, public, labelled(labels.GRANT_WRAP, context), key.secret.reveal())
    grant = Grant(hash_of_record, granter, account.user_id, context.account_hash, WRAPS[algorithm], ciphertext)
    return sign_grant(grant, signer)


def open_grant(
    signed: SignedGrant,
    *,
    record: ConversationRecord,
    roster: Roster,
    user_id: str,
    private_keys: PrivateKeys,
    accounts: Accounts,
) -> ConversationKey:
    """The epoch's key out of a grant to `user_id`.

    `roster` is the epoch's own; `private_keys` gives one's account's by the hash of the account record that names
    them and their algorithm. Raises `InvalidGrant` for a grant of another epoch, by or to somebody else, wrapped in
    another way than the conversation's profile has it, or with another key, and for one's own in an epoch of others
    whose policy does not open the history; `BadSignature`, and `RecordPending` where the granter's account record or
    the private key is not known.
    """
    grant = signed.grant
    if grant.record_hash != record_hash(record):
        raise errors.InvalidGrant("it is for another epoch")
    if grant.recipient != user_id:
        raise errors.InvalidGrant("it is for another account")
    check_history(record, roster, user_id)
    check_granter(signed, roster, accounts)
    algorithm = ALGORITHMS[record.profile].kem
    if grant.algorithm is not WRAPS[algorithm]:
        raise errors.InvalidGrant("it is not wrapped as the conversation's profile has it")
    private = private_keys(grant.account_hash, algorithm)
    if private is None:
        # A new version of one's own account, made on another device, may come before the vault with its keys.
        raise errors.RecordPending("it is wrapped to a key that is not here", accounts=[user_id])
    context = labelled(labels.GRANT_WRAP, GrantContext(grant.record_hash, grant.recipient, grant.account_hash))
    try:
        opened = unwrap(private, context, grant.ciphertext).reveal()
    except errors.DecryptionError:
        opened = b""
    return check_granted(opened, record)


def check_history(record: ConversationRecord, roster: Roster, user_id: str) -> None:
    """Raises `InvalidGrant` for the key of an epoch of others that was not to be handed on."""
    if user_id not in roster and not record.policy.member_history:
        raise errors.InvalidGrant("its epoch is closed to who was not in it")


def check_granter(signed: SignedGrant, roster: Roster, accounts: Accounts) -> Verified[Grant]:
    """The grant as signed by a device of a member of the epoch, certified in the account record that it names.

    Raises `InvalidGrant`, `BadSignature`, or `RecordPending` where that account record is not known.
    """
    granter = signed.grant.granter
    member = roster.get(granter.user_id)
    if member is None:
        raise errors.InvalidGrant("who granted it was not in the epoch")
    account = accounts(granter.user_id, granter.account_hash)
    if account is None:
        raise errors.RecordPending("the granter's account record is not known", accounts=[granter.user_id])
    if aik_fingerprint(account.value.profile, account.value.aik) != member.aik_fingerprint:
        raise errors.InvalidGrant("who granted it has another identity key than the member")
    device = certificate(account.value, granter.device_id)
    if device is None:
        raise errors.InvalidGrant("the granting device is not certified in the record that is named")
    return verify_grant(signed, device.request_key, account.value.profile)


def check_granted(opened: bytes, record: ConversationRecord) -> ConversationKey:
    """What a grant held, as the epoch's key; `InvalidGrant` unless it is the one that the record commits to."""
    if len(opened) == KEY_BYTES:
        key = ConversationKey(Secret(opened))
        if is_key_of(key, record):
            return key
    raise errors.InvalidGrant("it does not hold the key of this epoch")
