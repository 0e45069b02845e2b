"""Sealing and opening messages under an epoch's key.

A message key is derived from the epoch's key, the device, the store's opening (`instance_id`) and a counter, so that
none is used twice; the iv is random besides. Everything outside the ciphertext is associated data and signed.
"""

from __future__ import annotations

import dataclasses
from typing import Annotated, Final, NamedTuple, final

from tacit import errors
from tacit.conversation.content import (
    FRANKING_KEY_BYTES,
    Body,
    Content,
    franking_tag,
    kind_and_bytes,
    pad,
    unpad,
)
from tacit.conversation.keys import ConversationKey, is_key_of
from tacit.crypto.aead import aes_gcm_open, aes_gcm_seal
from tacit.crypto.digest import equal
from tacit.crypto.kdf import hkdf_sha256
from tacit.crypto.secret import Randomness, Secret
from tacit.signed import labels, message
from tacit.signed.account import DeviceId
from tacit.signed.message import Message, MessageAad, aad_bytes, sign_and_hash
from tacit.signed.record import ConversationRecord, record_hash
from tacit.signed.verify import Signer, Verified, labelled, labelled_bytes
from tacit.wire import limits
from tacit.wire.codec import decode, encode, struct
from tacit.wire.encodings import U64, Fixed

IV_BYTES: Final = 12
INSTANCE_BYTES: Final = 16


@struct
class MessageKeyContext:
    """What a message key is derived over, besides the epoch's key."""

    device_id: DeviceId
    instance_id: Annotated[bytes, Fixed(INSTANCE_BYTES)]
    counter: U64


@final
class Epoch:
    """An epoch's record and the key that it commits to, together; raises `KeyIdMismatch` for any other key."""

    __slots__ = ("epoch", "key", "key_id", "record", "record_hash")

    def __init__(self, record: ConversationRecord, key: ConversationKey) -> None:
        if not is_key_of(key, record):
            raise errors.KeyIdMismatch()
        self.record: Final = record
        self.key: Final = key
        self.record_hash: Final = record_hash(record)
        self.key_id: Final = record.key_id
        self.epoch: Final = record.epoch

    def message_key(self, device_id: str, instance_id: bytes, counter: int) -> Secret:
        """The key of one message, 32 bytes."""
        context = MessageKeyContext(device_id, instance_id, counter)
        return hkdf_sha256(self.key.secret, labelled(labels.MESSAGE_KEY, context))


@dataclasses.dataclass(frozen=True, slots=True)
class Sender:
    """The device that seals: its user, its id, the random id of this opening of its store (16 bytes), its signature."""

    user_id: str
    device_id: str
    instance_id: bytes
    signer: Signer


class Sealed(NamedTuple):
    """A message ready to be sent, its signature, and the hash by which later messages name it."""

    message: Message
    signature: bytes
    message_hash: bytes


def make_content(
    body: Body, *, sent_at: int, seen: tuple[bytes, ...] = (), checkpoint: bytes = b"", random: Randomness
) -> Content:
    """A content with a fresh franking key; `seen` are at most 32 hashes of the last messages that the sender had."""
    kind, raw = kind_and_bytes(body)
    return Content(kind, sent_at, seen, checkpoint, random(FRANKING_KEY_BYTES), raw)


def seal(
    epoch: Epoch, sender: Sender, content: Content, *, counter: int, client_message_id: str, random: Randomness
) -> Sealed:
    """A content as a signed message of the epoch.

    `counter` is never used twice under one `instance_id`; `random` gives the iv. Raises `TooLarge` for a content
    over 64 KiB after padding.
    """
    plain = encode(content)
    aad = MessageAad(
        message.VERSION,
        epoch.record_hash,
        epoch.key_id,
        epoch.epoch,
        sender.user_id,
        sender.device_id,
        sender.instance_id,
        counter,
        client_message_id,
        message.CONTENT,
        franking_tag(plain, content.franking_key),
    )
    key = epoch.message_key(sender.device_id, sender.instance_id, counter)
    iv = random(IV_BYTES)
    encoded_aad = encode(aad)
    ciphertext = aes_gcm_seal(key, iv, pad(plain), labelled_bytes(labels.MESSAGE_AAD, encoded_aad))
    sealed = Message(aad, iv, ciphertext)
    return Sealed(sealed, *sign_and_hash(encoded_aad, sealed, sender.signer))


def open_message(verified: Verified[Message], epoch: Epoch) -> Content:
    """The content of a message whose signature was checked.

    Raises `MessageTampered` for a message of another epoch, for a content that is not one and for a franking tag that
    is not the content's; `DecryptionError` for what does not decrypt.
    """
    sealed = verified.value
    aad = sealed.aad
    check_epoch(aad, epoch)
    key = epoch.message_key(aad.device_id, aad.instance_id, aad.counter)
    padded = aes_gcm_open(key, sealed.iv, sealed.ciphertext, aad_bytes(aad))
    try:
        plain = unpad(padded)
        content = decode(Content, plain, limits.CONTENT_BYTES)
    except errors.PeerError as error:
        raise errors.MessageTampered(f"its content cannot be read: {error.detail}") from None
    check_franking(aad, plain, content)
    return content


def check_epoch(aad: MessageAad, epoch: Epoch) -> None:
    """Raises `MessageTampered` for a message that names another epoch."""
    if (aad.record_hash, aad.key_id, aad.epoch) != (epoch.record_hash, epoch.key_id, epoch.epoch):
        raise errors.MessageTampered("it belongs to another epoch")


def check_franking(aad: MessageAad, plain: bytes, content: Content) -> None:
    """Raises `MessageTampered` unless the tag outside is the content's: else nobody could report what it says."""
    if not equal(aad.franking_tag, franking_tag(plain, content.franking_key)):
        raise errors.MessageTampered("its franking tag is not its content's")
