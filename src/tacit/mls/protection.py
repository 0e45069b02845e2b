"""Protecting messages (RFC 9420 §6.1 to §6.3): signed, and MACed or encrypted.

What comes from somebody is `Unverified` until its signature was checked with the key of whoever it says that it is of.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Final, NamedTuple, final

from tacit import errors
from tacit.crypto.digest import equal
from tacit.crypto.secret import Randomness, Secret
from tacit.mls import limits
from tacit.mls.commit import Commit
from tacit.mls.framing import (
    KINDS,
    AnyContent,
    ApplicationData,
    AuthenticatedContent,
    ContentType,
    FramedContent,
    Member,
    PrivateMessage,
    ProposalContent,
    PublicMessage,
    SenderData,
    WireFormat,
    members_to_be_signed,
    where,
)
from tacit.mls.group_context import GroupContext
from tacit.mls.secret_tree import MessageKey, SecretTree, Window
from tacit.mls.suites import CipherSuite, SignatureKey, vector
from tacit.wire.codec import decode, encode, functions_of
from tacit.wire.encodings import Variable
from tacit.wire.reader import Reader

LABEL: Final = "FramedContentTBS"
Padding = Callable[[int], int]
"""How many zero bytes follow a content of so many bytes."""


@final
@dataclass(frozen=True, slots=True)
class Unverified:
    """Content whose signature nobody checked yet."""

    claimed: AuthenticatedContent

    def verified(self, suite: CipherSuite, public: bytes, context: GroupContext | None) -> AuthenticatedContent:
        """The content, signed by this key (§6.1); raises `BadSignature`."""
        content = self.claimed
        signed = content.content.to_be_signed(content.wire_format, context)
        if not suite.verify_with_label(public, LABEL, signed, content.signature):
            raise errors.BadSignature("§6.1")
        return content


def signature(
    suite: CipherSuite,
    key: SignatureKey,
    wire_format: WireFormat,
    content: FramedContent,
    context: GroupContext | None,
) -> bytes:
    """The signature of content that is to travel in that form (§6.1)."""
    return suite.sign_with_label(key, LABEL, content.to_be_signed(wire_format, context))


# --- PublicMessage -----------------------------------------------------------------------


def _membership_tag(
    suite: CipherSuite, membership_key: Secret, message: AuthenticatedContent, context: GroupContext
) -> bytes:
    """MAC over AuthenticatedContentTBM (§6.2)."""
    tbm = message.content.to_be_signed(WireFormat.PUBLIC_MESSAGE, context) + message.auth_data()
    return suite.mac(membership_key, tbm)


def public_message(
    suite: CipherSuite, membership_key: Secret, message: AuthenticatedContent, context: GroupContext
) -> PublicMessage:
    """A message in the clear; of a member with the tag that only members can make (§6.2)."""
    tag = None
    if isinstance(message.content.sender, Member):
        tag = _membership_tag(suite, membership_key, message, context)
    return PublicMessage(message.content, message.signature, message.confirmation_tag, tag)


def open_public(
    suite: CipherSuite, membership_key: Secret, message: PublicMessage, context: GroupContext
) -> Unverified:
    """What is in a public message (§6.2); raises `InvalidGroupMessage` for a wrong tag."""
    found = message.authenticated()
    if isinstance(found.content.content, ApplicationData):
        raise errors.InvalidGroupMessage("§6: an application message has to be encrypted")
    if message.membership_tag is not None:
        tag = _membership_tag(suite, membership_key, found, context)
        if not equal(tag, message.membership_tag):
            raise errors.InvalidGroupMessage("§6.2: the membership tag is not right")
    return Unverified(found)


# --- PrivateMessage ----------------------------------------------------------------------


@final
@dataclass(frozen=True, slots=True)
class Decrypted:
    """What was in a private message, by whoever has that leaf: nobody checked the signature yet."""

    message: PrivateMessage
    leaf_index: int
    body: AnyContent
    encoded: bytes
    """The body as it came."""
    signature: bytes
    confirmation_tag: bytes | None

    def verify(self, suite: CipherSuite, public: bytes, context: GroupContext) -> None:
        """Raises `BadSignature` unless the content is signed by this key, for this epoch (§6.1)."""
        begin, body = where(context.group_id, context.epoch), KINDS[self.message.content_type] + self.encoded
        signed = members_to_be_signed(begin, self.leaf_index, self.message.authenticated_data, body, context)
        if not suite.verify_with_label(public, LABEL, signed, self.signature):
            raise errors.BadSignature("§6.1")

    def claimed(self) -> AuthenticatedContent:
        """The content as it is said to be."""
        message, sender = self.message, Member(self.leaf_index)
        content = FramedContent(message.group_id, message.epoch, sender, message.authenticated_data, self.body)
        return AuthenticatedContent(WireFormat.PRIVATE_MESSAGE, content, self.signature, self.confirmation_tag)


class Opened(NamedTuple):
    """What was in a private message, and the secret tree without its key."""

    content: Decrypted
    tree: SecretTree


def private_message(
    suite: CipherSuite,
    tree: SecretTree,
    sender_data_secret: Secret,
    message: AuthenticatedContent,
    padding: Padding,
    random: Randomness,
) -> tuple[SecretTree, PrivateMessage]:
    """A message encrypted with the sender's next key, and the secret tree without that key (§6.3)."""
    content = message.content
    assert isinstance(content.sender, Member)
    leaf, kind, aad = content.sender.leaf_index, content.content_type, content.authenticated_data
    plaintext = encode(content.content) + message.auth_data()
    head = where(content.group_id, content.epoch) + KINDS[kind]
    tree, data, ciphertext = sealed_content(
        suite, tree, sender_data_secret, leaf, kind, plaintext, head, head + vector(aad), padding, random
    )
    return tree, PrivateMessage(content.group_id, content.epoch, kind, aad, data, ciphertext)


def sealed_content(
    suite: CipherSuite,
    tree: SecretTree,
    sender_data_secret: Secret,
    leaf: int,
    kind: ContentType,
    plaintext: bytes,
    sender_data_aad: bytes,
    content_aad: bytes,
    padding: Padding,
    random: Randomness,
) -> tuple[SecretTree, bytes, bytes]:
    """The secret tree without the next key, SenderData encrypted, and PrivateMessageContent (§6.3.2, §6.3.1)."""
    tree, key = tree.next(suite, leaf, kind is not ContentType.APPLICATION)
    guard = random(4)
    plaintext += bytes(padding(len(plaintext)))
    ciphertext = suite.seal(key.key, _guarded(key, guard), plaintext, content_aad)
    data_key, data_nonce = sender_data_key(suite, sender_data_secret, ciphertext)
    data = leaf.to_bytes(4, "big") + key.generation.to_bytes(4, "big") + guard
    return tree, suite.seal(data_key, data_nonce, data, sender_data_aad), ciphertext


def open_private(
    suite: CipherSuite, tree: SecretTree, sender_data_secret: Secret, message: PrivateMessage, window: Window
) -> Opened:
    """What is in a private message (§6.3): `sender_data` and `open_content` in one."""
    return open_content(suite, tree, sender_data(suite, sender_data_secret, message), message, window)


def open_content(
    suite: CipherSuite, tree: SecretTree, data: SenderData, message: PrivateMessage, window: Window
) -> Opened:
    """What is in a private message of that sender (§6.3.1).

    Raises `DecryptionError`, `KeyConsumed`, `Malformed`, and `InvalidGroupMessage` for padding that is not zero.
    """
    leaf, kind = data.leaf_index, message.content_type
    tree, key = tree.at(suite, leaf, kind is not ContentType.APPLICATION, data.generation, window)
    plaintext = suite.open(key.key, _guarded(key, data.reuse_guard), message.ciphertext, message.content_aad())
    reader = Reader(plaintext)
    body = _READ_BODY[kind](reader)
    encoded = plaintext[: reader.position]
    signature = _read_signature(reader)
    tag = _read_tag(reader) if kind is ContentType.COMMIT else None
    if any(plaintext[reader.position :]):
        raise errors.InvalidGroupMessage("§6.3.1: the padding is not zero")
    return Opened(Decrypted(message, leaf, body, encoded, signature, tag), tree)


def sender_data(suite: CipherSuite, sender_data_secret: Secret, message: PrivateMessage) -> SenderData:
    """Who sent a private message, and with which key (§6.3.2); raises `DecryptionError`, `Malformed`."""
    key, nonce = sender_data_key(suite, sender_data_secret, message.ciphertext)
    return decode(SenderData, suite.open(key, nonce, message.encrypted_sender_data, message.sender_data_aad()))


def sender_data_key(suite: CipherSuite, secret: Secret, ciphertext: bytes) -> tuple[Secret, bytes]:
    """The key and nonce of a message's sender data, from a sample of its ciphertext (§6.3.2)."""
    key, nonce = suite.key_and_nonce(secret, ciphertext[: suite.hash_bytes])
    return key, nonce.reveal()


def _guarded(key: MessageKey, guard: bytes) -> bytes:
    """The nonce, its first four bytes mixed with the reuse guard (§6.3.1)."""
    nonce = key.nonce.reveal()
    mixed = int.from_bytes(nonce[:4], "big") ^ int.from_bytes(guard, "big")
    return mixed.to_bytes(4, "big") + nonce[4:]


_READ_BODY: Final = {
    ContentType.APPLICATION: functions_of(ApplicationData)[1],
    ContentType.PROPOSAL: functions_of(ProposalContent)[1],
    ContentType.COMMIT: functions_of(Commit)[1],
}
_read_signature = functions_of(Annotated[bytes, Variable(limits.SIGNATURE_BYTES)])[1]
_read_tag = functions_of(Annotated[bytes, Variable(limits.SECRET_BYTES)])[1]
