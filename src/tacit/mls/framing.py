"""Framing (RFC 9420 §6): content, who sends it, and the two forms in which it travels."""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Any, Final

from tacit import errors
from tacit.mls import limits
from tacit.mls.commit import Commit
from tacit.mls.group_context import GroupContext
from tacit.mls.key_package import MLS10, KeyPackage
from tacit.mls.proposals import Proposal
from tacit.mls.suites import CipherSuite, vector
from tacit.mls.welcome import GroupInfo, Welcome
from tacit.wire.codec import EncodedOnce, Variant, decode, encode, functions_of, own_functions, struct
from tacit.wire.encodings import U16, U32, U64, Enum, Fixed, Variable
from tacit.wire.reader import Reader, write_varint


class WireFormat(IntEnum):
    """The wire formats that the RFC defines (§17.2)."""

    PUBLIC_MESSAGE = 1
    PRIVATE_MESSAGE = 2
    WELCOME = 3
    GROUP_INFO = 4
    KEY_PACKAGE = 5


class ContentType(IntEnum):
    """What a message carries."""

    APPLICATION = 1
    PROPOSAL = 2
    COMMIT = 3


KINDS: Final = {kind: bytes((kind,)) for kind in ContentType}

VERSION_AND_FORM: Final = {form: MLS10.to_bytes(2, "big") + form.to_bytes(2, "big") for form in WireFormat}
"""What an MLSMessage begins with, and FramedContentTBS too."""


# --- senders -----------------------------------------------------------------------------


@struct
class Member:
    """A member, by its leaf."""

    leaf_index: U32


@struct
class External:
    """Somebody of the external_senders extension, by index."""

    sender_index: U32


@struct
class NewMemberProposal:
    """Somebody who proposes to be added."""


@struct
class NewMemberCommit:
    """Somebody who adds itself by an external commit."""


AnySender = Member | External | NewMemberProposal | NewMemberCommit
Sender = Annotated[AnySender, Variant(1, {1: Member, 2: External, 3: NewMemberProposal, 4: NewMemberCommit})]


# --- content -----------------------------------------------------------------------------


@struct
class ApplicationData:
    """A message of the application."""

    application_data: Annotated[bytes, Variable(limits.CONTENT_BYTES)]


@struct
class ProposalContent(EncodedOnce):
    """A proposal that is sent by itself."""

    proposal: Proposal


AnyContent = ApplicationData | ProposalContent | Commit
Content = Annotated[
    AnyContent,
    Variant(
        1,
        {ContentType.APPLICATION: ApplicationData, ContentType.PROPOSAL: ProposalContent, ContentType.COMMIT: Commit},
    ),
]
_CONTENT_TYPES = {
    ApplicationData: ContentType.APPLICATION,
    ProposalContent: ContentType.PROPOSAL,
    Commit: ContentType.COMMIT,
}


@struct
class FramedContent(EncodedOnce):
    """A message before it is protected: group, epoch, sender, authenticated data, content."""

    group_id: Annotated[bytes, Variable(limits.GROUP_ID_BYTES)]
    epoch: U64
    sender: Sender
    authenticated_data: Annotated[bytes, Variable(limits.AAD_BYTES)]
    content: Content

    @property
    def content_type(self) -> ContentType:
        """Which of the three it carries."""
        return _CONTENT_TYPES[type(self.content)]

    def to_be_signed(self, wire_format: WireFormat, context: GroupContext | None) -> bytes:
        """FramedContentTBS; the context only counts for members and for those who join by a commit (§6.1)."""
        signed = VERSION_AND_FORM[wire_format] + encode(self)
        if isinstance(self.sender, Member | NewMemberCommit):
            if context is None:
                raise errors.InvalidArgument("what this sender signs holds the group's context")
            signed += encode(context)
        return signed


@struct
class AuthenticatedContent:
    """Content, the signature of its sender and, of a commit, the tag of the epoch that it begins."""

    wire_format: Annotated[WireFormat, Enum(2)]
    content: FramedContent
    signature: Annotated[bytes, Variable(limits.SIGNATURE_BYTES)]
    confirmation_tag: Annotated[bytes, Variable(limits.SECRET_BYTES)] | None

    def auth_data(self) -> bytes:
        """FramedContentAuthData."""
        return vector(self.signature) + (b"" if self.confirmation_tag is None else vector(self.confirmation_tag))

    def confirmed_transcript_input(self) -> bytes:
        """ConfirmedTranscriptHashInput (§8.2)."""
        return self.wire_format.to_bytes(2, "big") + encode(self.content) + vector(self.signature)

    def reference(self, suite: CipherSuite) -> bytes:
        """ProposalRef (§5.2)."""
        return suite.ref_hash("MLS 1.0 Proposal Reference", encode(self))


@struct
class PublicMessage:
    """Content in the clear, signed, and by a member MACed (§6.2)."""

    content: FramedContent
    signature: Annotated[bytes, Variable(limits.SIGNATURE_BYTES)]
    confirmation_tag: Annotated[bytes, Variable(limits.SECRET_BYTES)] | None
    membership_tag: Annotated[bytes, Variable(limits.SECRET_BYTES)] | None

    def authenticated(self) -> AuthenticatedContent:
        """The content as it was signed."""
        return AuthenticatedContent(WireFormat.PUBLIC_MESSAGE, self.content, self.signature, self.confirmation_tag)


@struct
class PrivateMessage:
    """Encrypted content: who sends it is encrypted too (§6.3)."""

    group_id: Annotated[bytes, Variable(limits.GROUP_ID_BYTES)]
    epoch: U64
    content_type: Annotated[ContentType, Enum(1)]
    authenticated_data: Annotated[bytes, Variable(limits.AAD_BYTES)]
    encrypted_sender_data: Annotated[bytes, Variable(limits.SECRET_BYTES)]
    ciphertext: Annotated[bytes, Variable(limits.CONTENT_BYTES)]

    def sender_data_aad(self) -> bytes:
        """SenderDataAAD (§6.3.2)."""
        return where(self.group_id, self.epoch) + KINDS[self.content_type]

    def content_aad(self) -> bytes:
        """PrivateContentAAD (§6.3.1)."""
        return self.sender_data_aad() + vector(self.authenticated_data)


# What is written most, put together without the structs: the tests hold it to them.


def where(group_id: bytes, epoch: int) -> bytes:
    """The group and the epoch, as all that is framed begins."""
    return vector(group_id) + epoch.to_bytes(8, "big")


def members_to_be_signed(begin: bytes, leaf: int, aad: bytes, body: bytes, context: GroupContext) -> bytes:
    """FramedContentTBS of what a member encrypts (§6.1): `where`, and its content type and body encoded already."""
    head = VERSION_AND_FORM[WireFormat.PRIVATE_MESSAGE] + begin + b"\x01" + leaf.to_bytes(4, "big")
    return head + vector(aad) + body + encode(context)


def private_to_wire(content_aad: bytes, encrypted_sender_data: bytes, ciphertext: bytes) -> bytes:
    """A PrivateMessage as an MLSMessage: it begins with its own PrivateContentAAD (§6.3, §6.3.1).

    Raises `TooLarge` for what no decoder takes.
    """
    if len(ciphertext) > limits.CONTENT_BYTES:
        raise errors.TooLarge(f"{len(ciphertext)} bytes where {limits.CONTENT_BYTES} are the most")
    head = VERSION_AND_FORM[WireFormat.PRIVATE_MESSAGE] + content_aad
    return head + vector(encrypted_sender_data) + vector(ciphertext)


@struct
class SenderData:
    """Which key of whom a private message is encrypted with (§6.3.2)."""

    leaf_index: U32
    generation: U32
    reuse_guard: Annotated[bytes, Fixed(4)]


AnyMessage = PublicMessage | PrivateMessage | Welcome | GroupInfo | KeyPackage


@struct
class MLSMessage:
    """Everything that travels (§6)."""

    version: U16
    body: Annotated[
        AnyMessage,
        Variant(
            2,
            {
                WireFormat.PUBLIC_MESSAGE: PublicMessage,
                WireFormat.PRIVATE_MESSAGE: PrivateMessage,
                WireFormat.WELCOME: Welcome,
                WireFormat.GROUP_INFO: GroupInfo,
                WireFormat.KEY_PACKAGE: KeyPackage,
            },
        ),
    ]


def to_wire(body: AnyMessage) -> bytes:
    """A message's bytes as an MLSMessage."""
    return encode(MLSMessage(MLS10, body))


def from_wire(data: bytes) -> AnyMessage:
    """What an MLSMessage carries; raises as `decode`, and `UnknownVersion` for another version of the protocol.

    A key package of another version than its message (§10) is an `InvalidGroupMessage`.
    """
    message = decode(MLSMessage, data, limits.MESSAGE_BYTES)
    if message.version != MLS10:
        raise errors.UnknownVersion(f"MLS version {message.version}")
    if isinstance(message.body, KeyPackage) and message.body.version != message.version:
        raise errors.InvalidGroupMessage("§10: a key package of another version than its message")
    return message.body


# --- fields whose presence hangs on others ------------------------------------------------

_write_content, _read_content = functions_of(FramedContent)
_read_signature = functions_of(Annotated[bytes, Variable(limits.SIGNATURE_BYTES)])[1]
_read_tag = functions_of(Annotated[bytes, Variable(limits.SECRET_BYTES)])[1]


def _write_vector(out: bytearray, value: bytes) -> None:
    write_varint(out, len(value))
    out += value


def _write_signed(out: bytearray, value: AuthenticatedContent | PublicMessage) -> None:
    if (value.confirmation_tag is None) == isinstance(value.content.content, Commit):
        raise errors.InvalidArgument("a commit has a confirmation tag, and nothing else has one")
    _write_content(out, value.content)
    _write_vector(out, value.signature)
    if value.confirmation_tag is not None:
        _write_vector(out, value.confirmation_tag)


def _read_signed(reader: Reader) -> tuple[Any, bytes, bytes | None]:
    content = _read_content(reader)
    signature = _read_signature(reader)
    return content, signature, _read_tag(reader) if isinstance(content.content, Commit) else None


def _write_authenticated(out: bytearray, value: AuthenticatedContent) -> None:
    out += value.wire_format.to_bytes(2, "big")
    _write_signed(out, value)


def _read_authenticated(reader: Reader) -> AuthenticatedContent:
    number = reader.uint(2)
    if number not in (WireFormat.PUBLIC_MESSAGE, WireFormat.PRIVATE_MESSAGE):
        raise errors.Malformed("no content travels in this wire format")
    return AuthenticatedContent(WireFormat(number), *_read_signed(reader))


def _write_public(out: bytearray, value: PublicMessage) -> None:
    if (value.membership_tag is None) == isinstance(value.content.sender, Member):
        raise errors.InvalidArgument("a member's message has a membership tag, and no other has one")
    _write_signed(out, value)
    if value.membership_tag is not None:
        _write_vector(out, value.membership_tag)


def _read_public(reader: Reader) -> PublicMessage:
    content, signature, tag = _read_signed(reader)
    membership = _read_tag(reader) if isinstance(content.sender, Member) else None
    return PublicMessage(content, signature, tag, membership)


own_functions(AuthenticatedContent, _write_authenticated, _read_authenticated)
own_functions(PublicMessage, _write_public, _read_public)
