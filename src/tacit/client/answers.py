"""Reading what the server answers: strictly, integers within what the protocol has, fields equal to what was signed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tacit import errors
from tacit.api import accounts, conversations
from tacit.api.base import convert
from tacit.api.messages import RecordItem
from tacit.signed.account import AccountRecord, EncryptionKeys, account_hash
from tacit.signed.grant import Grant
from tacit.signed.record import ConversationRecord
from tacit.wire.codec import encode
from tacit.wire.text import from_json, to_base64


def read_answer(kind: Any, raw: bytes | str) -> Any:
    """A JSON answer or frame as a type of `api`; raises `UnexpectedAnswer`."""
    try:
        return convert(kind, from_json(raw))
    except errors.PeerError as error:
        raise errors.UnexpectedAnswer(error.detail) from None


def is_about_the_session(problem: errors.TacitError) -> bool:
    """Whether a refusal says nothing of what was sent, only of the session that sent it."""
    return isinstance(
        problem,
        errors.SessionExpired
        | errors.SignInRefused
        | errors.NotSignedIn
        | errors.ClockSkew
        | errors.RequestUnsigned
        | errors.RequestSignatureInvalid
        | errors.RequestReplayed,
    )


# --- fields beside a signed struct ---------------------------------------------------------


def check_version(served: accounts.AccountVersion, record: AccountRecord) -> None:
    """Raises `UnexpectedAnswer` unless the fields beside an account record are the record's."""
    check_beside("version", served.version, record.version)
    check_beside("keyId", served.key_id, account_hash(record).hex())
    check_beside("publicKey", served.public_key, to_base64(encode(EncryptionKeys(record.encryption_keys))))


def check_record(item: RecordItem, record: ConversationRecord) -> None:
    """Raises `UnexpectedAnswer` unless the fields beside a conversation record are the record's.

    Under `mls` the record has no key id: what counts there is that of the messages.
    """
    check_beside("epoch", item.epoch, record.epoch)
    check_beside("protocol", item.protocol, record.protocol.name.lower())
    if record.key_id:
        check_beside("keyId", item.key_id, record.key_id.hex())


def check_grant(served: conversations.Grant, grant: Grant) -> None:
    """Raises `UnexpectedAnswer` unless the fields beside a grant are the grant's."""
    check_beside("userId", served.user_id, grant.recipient)
    check_beside("grantedBy", served.granted_by, f"{grant.granter.user_id}/{grant.granter.device_id}")


def check_vault(answer: accounts.PrivateKeys, user_id: str, records: Sequence[AccountRecord]) -> None:
    """Raises `UnexpectedAnswer` unless the fields beside a vault name this account and one of its known records."""
    check_beside("userId", answer.user_id, user_id)
    named = next((record for record in records if record.version == answer.account_version), records[-1])
    check_beside("accountVersion", answer.account_version, named.version)
    check_beside("keyId", answer.key_id, account_hash(named).hex())


def check_beside(name: str, served: object, signed: object) -> None:
    """Raises `UnexpectedAnswer` where a field differs from what was signed."""
    if served != signed:
        raise errors.UnexpectedAnswer(f"{name} is not what the signed struct beside it says")
