"""What a guard is when it guards nothing. Nothing in `src` knows of these."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from adversary.bending import wraps_original
from tacit.client import openings
from tacit.client.books import Books, Held
from tacit.client.inbox import Place
from tacit.client.openings import Opening
from tacit.conversation import judging_records
from tacit.conversation.content import Name
from tacit.conversation.judging import Known
from tacit.conversation.judging_records import Judgement, Received, Standpoint
from tacit.conversation.keys import ConversationKey, finish_record
from tacit.conversation.sealing import Epoch
from tacit.conversation.timeline import Gaps
from tacit.crypto.secret import Randomness, Secret
from tacit.signed import labels
from tacit.signed.account import DeviceCertificate
from tacit.signed.message import Message, MessageAad
from tacit.signed.profiles import Profile
from tacit.signed.record import DEFAULT_POLICY, Change, ConversationRecord, Opener, Protocol, Roster, SignedLeave
from tacit.signed.rights import ChainState
from tacit.signed.verify import _CHECKED, ZERO_HASH, Verified


def nothing(*_: Any, **__: Any) -> None:
    """A check that never refuses."""


def yes(*_: Any, **__: Any) -> bool:
    """A question that is always answered with yes."""
    return True


def trusting_anybody(*_: Any, **__: Any) -> ssl.SSLContext:
    """TLS that asks for nothing."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def none(*_: Any, **__: Any) -> list[Any]:
    """A list of nothing."""
    return []


def _holding(*trusted: str) -> Any:
    """Signatures under these labels always hold; all others are checked."""

    @wraps_original
    def make(original: Any) -> Any:
        def signature_holds(label: str, *rest: Any) -> bool:
            return label in trusted or original(label, *rest)

        return signature_holds

    return make


any_record = _holding(labels.CONVERSATION_RECORD)
any_leave = _holding(labels.LEAVE)
any_account = _holding(labels.ACCOUNT_RECORD, labels.DEVICE_POSSESSION)


# --- an epoch without a record: what a client sends under that trusts the server's word -------------------------

CLEAR_KEY: Final = bytes(32)
"""Everybody knows it: sealed under it a message is as good as in the clear."""


@wraps_original
def sends_anyway(original: Any) -> Any:
    """Sending is always allowed; where there is no epoch, in the clear."""

    def check_sendable(books: Books, held: Held) -> Epoch:
        head = held.head()
        if head is not None and head.opened is not None:
            return head.opened
        key = ConversationKey(Secret(CLEAR_KEY))
        own = Opener(books.me.user_id, books.me.device_id, bytes(32))
        nobody = ConversationRecord(
            held.id, 1, ZERO_HASH, Protocol.PLAINTEXT, Profile.STANDARD, 0, b"", 0, b"", ZERO_HASH, (), (),
            DEFAULT_POLICY, b"", b"", "", 0, own,
        )  # fmt: skip
        return Epoch(finish_record(nobody, key), key)

    return check_sendable


# --- judging --------------------------------------------------------------------------------------------------


def nothing_is_late(*_: Any) -> bool:
    """A message is never marked for when it came."""
    return False


def no_gaps(*_: Any) -> Gaps:
    """Nothing is ever missed."""
    return Gaps({}, frozenset())


def nothing_is_misplaced(_: object) -> frozenset[bytes]:
    """Every order is as good as another."""
    return frozenset()


def by_anybody(message: Message, signature: bytes, device: DeviceCertificate, _: Profile) -> Verified[Message]:
    """A message is by the device that it names, whoever signed it."""
    return Verified(message, device.request_key, signature, _CHECKED)


def any_device(aad: MessageAad, member: Change, known: Known) -> tuple[DeviceCertificate, Profile]:
    """A message is by some device of its account, whichever it names."""
    account = known.versions(member.user_id)[-1].value
    return account.devices[0], account.profile


def found_by_id_alone(books: Books, conversation_id: str, name: Name) -> Place | None:
    """A message's name is the id that its sender chose, whoever that was."""
    query = """SELECT seq, epoch FROM messages WHERE conversation_id = ? AND client_message_id = ?
        AND verdict = 'shown' ORDER BY seq LIMIT 1"""
    row = books.connection.execute(query, (conversation_id, name.client_message_id)).fetchone()
    return Place(*row) if row is not None else None


# --- records and keys -----------------------------------------------------------------------------------------


def the_same_key(_: Randomness) -> ConversationKey:
    """One key for every epoch."""
    return ConversationKey(Secret(b"one key for every epoch, for ever"[:32]))


def opener_after(_: Roster, record: ConversationRecord, after: Roster) -> Change:
    """Whoever is a member after a record may have opened it."""
    return after[record.opener.user_id]


@wraps_original
def of_any_stay(original: Any) -> Any:
    """A leave is good for ever, whichever stay it was of."""

    def check_leave(conversation_id: str, roster: Roster, added: Any, signed: SignedLeave, accounts: Any) -> None:
        own = {signed.leave.user_id: signed.leave.adding_record_hash}
        original(conversation_id, roster, {**added, **own}, signed, accounts)

    return check_leave


def on_its_word(books: Books, made: Opening, seq: int, now: int) -> str:
    """What the server says that it took is done."""
    openings.drop(books, made.conversation_id)
    return ""


def the_later_counts(received: Received, states: Mapping[int, ChainState], by: Standpoint) -> Judgement:
    """Of two valid records on one parent the later takes the earlier's place."""
    judgement = judging_records.judge_standing(received, states, by)
    return replace(judgement, place=judging_records.Place.ACCEPTED) if judgement.state is not None else judgement


# --- what keeps secrets out of a database -----------------------------------------------------------------------

OVERHEAD: Final = 72
"""What sealing adds, so that a length gives nothing away."""


def the_token_itself(token: str) -> str:
    """A session is known by its token, not by a hash."""
    return token


def sealed_in_the_clear(_: Secret, __: bytes, plaintext: bytes) -> bytes:
    """What is sealed can be read."""
    return plaintext + bytes(OVERHEAD)


def opened_in_the_clear(_: Secret, __: bytes, sealed: bytes) -> bytes:
    """The other half of it."""
    return sealed[:-OVERHEAD]


def encrypted_in_the_clear(_: Secret, __: bytes, plaintext: bytes, ___: bytes) -> bytes:
    """What is encrypted can be read."""
    return plaintext + bytes(16)


def decrypted_in_the_clear(_: Secret, __: bytes, ciphertext: bytes, ___: bytes) -> bytes:
    """The other half of it."""
    return ciphertext[:-16]
