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
    sender_data_aad,
)
from tacit.mls.group_context import GroupContext
from tacit.mls.secret_tree import MessageKey, SecretTree, Window
from tacit.mls.suites import CipherSuite, SignatureKey, vector
from tacit.wire.codec import decode, encode, functions_of
from tacit.wire.encodings import Variable
from tacit.wire.reader import Reader

_LABEL: Final = "FramedContentTBS"
_BODIES: Final = {
    ContentType.APPLICATION: ApplicationData,
    ContentType.PROPOSAL: ProposalContent,
    ContentType.COMMIT: Commit,
}
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
        if not suite.verify_with_label(public, _LABEL, signed, content.signature):
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
    return suite.sign_with_label(key, _LABEL, content.to_be_signed(wire_format, context))


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


class Opened(NamedTuple):
    """What was in a private message, and the secret tree without its key."""

    message: Unverified
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
    leaf = content.sender.leaf_index
    handshake = content.content_type is not ContentType.APPLICATION
    tree, key = tree.next(suite, leaf, handshake)
    guard = random(4)
    plaintext = encode(content.content) + message.auth_data()
    plaintext += bytes(padding(len(plaintext)))
    kind, aad = content.content_type, content.authenticated_data
    head = sender_data_aad(content.group_id, content.epoch, kind)
    ciphertext = suite.seal(key.key, _guarded(key, guard), plaintext, head + vector(aad))
    data_key, data_nonce = sender_data_key(suite, sender_data_secret, ciphertext)
    sealed = suite.seal(data_key, data_nonce, encode(SenderData(leaf, key.generation, guard)), head)
    return tree, PrivateMessage(content.group_id, content.epoch, kind, aad, sealed, ciphertext)


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
    handshake = message.content_type is not ContentType.APPLICATION
    tree, key = tree.at(suite, data.leaf_index, handshake, data.generation, window)
    plaintext = suite.open(key.key, _guarded(key, data.reuse_guard), message.ciphertext, message.content_aad())
    body, signed, tag = _parsed(message.content_type, plaintext)
    content = FramedContent(message.group_id, message.epoch, Member(data.leaf_index), message.authenticated_data, body)
    return Opened(Unverified(AuthenticatedContent(WireFormat.PRIVATE_MESSAGE, content, signed, tag)), tree)


def sender_data(suite: CipherSuite, sender_data_secret: Secret, message: PrivateMessage) -> SenderData:
    """Who sent a private message, and with which key (§6.3.2); raises `DecryptionError`, `Malformed`."""
    key, nonce = sender_data_key(suite, sender_data_secret, message.ciphertext)
    return decode(SenderData, suite.open(key, nonce, message.encrypted_sender_data, message.sender_data_aad()))


def sender_data_key(suite: CipherSuite, secret: Secret, ciphertext: bytes) -> tuple[Secret, bytes]:
    """The key and nonce of a message's sender data, from a sample of its ciphertext (§6.3.2)."""
    sample = ciphertext[: suite.hash_bytes]
    key = suite.expand_with_label(secret, "key", sample, suite.key_bytes)
    return key, suite.expand_with_label(secret, "nonce", sample, suite.nonce_bytes).reveal()


def _guarded(key: MessageKey, guard: bytes) -> bytes:
    """The nonce, its first four bytes mixed with the reuse guard (§6.3.1)."""
    nonce = key.nonce.reveal()
    mixed = int.from_bytes(nonce[:4], "big") ^ int.from_bytes(guard, "big")
    return mixed.to_bytes(4, "big") + nonce[4:]


_read_signature = functions_of(Annotated[bytes, Variable(limits.SIGNATURE_BYTES)])[1]
_read_tag = functions_of(Annotated[bytes, Variable(limits.SECRET_BYTES)])[1]


def _parsed(content_type: ContentType, plaintext: bytes) -> tuple[AnyContent, bytes, bytes | None]:
    """PrivateMessageContent (§6.3.1)."""
    reader = Reader(plaintext)
    body = functions_of(_BODIES[content_type])[1](reader)
    signed = _read_signature(reader)
    tag = _read_tag(reader) if content_type is ContentType.COMMIT else None
    if any(plaintext[reader.position :]):
        raise errors.InvalidGroupMessage("§6.3.1: the padding is not zero")
    return body, signed, tag
