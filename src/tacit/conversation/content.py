"""What is inside a message: one typed struct for all kinds, its padding and its franking tag.

A kind or a body that this program does not know is kept and shown as `Unknown`, never refused: it is as authentic
as any other.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Final

from tacit import errors
from tacit.crypto.digest import hmac_sha256
from tacit.signed import labels
from tacit.signed.account import DeviceId
from tacit.signed.verify import labelled_bytes
from tacit.wire import limits
from tacit.wire.codec import Many, decode, encode, struct
from tacit.wire.encodings import U16, U64, Fixed, Hash, Id, Text, Variable
from tacit.wire.reader import Reader, write_varint

FRANKING_KEY_BYTES: Final = 32
CHECKPOINT_BYTES: Final = 4096


class Kind(IntEnum):
    """What a content is; other numbers belong to programs that know more."""

    TEXT = 1
    REPLY = 2
    EDIT = 3
    DELETE = 4
    REACTION = 5
    RECEIPT = 6
    ATTACHMENT = 7
    NOTICE = 8
    VERIFICATION = 9


class NoticeKind(IntEnum):
    """What a notice says of its conversation."""

    NAME = 1
    TOPIC = 2
    PICTURE = 3


@struct
class Content:
    """The plaintext of a message before padding.

    `sent_at` is the sender's clock in Unix milliseconds; `seen` are hashes of the last messages that the sender had,
    at most 32; `checkpoint` is empty where there is no transparency; `franking_key` is 32 random bytes.
    """

    kind: U16
    sent_at: U64
    seen: Annotated[tuple[Hash, ...], Many(limits.SEEN_HASHES)]
    checkpoint: Annotated[bytes, Variable(CHECKPOINT_BYTES)]
    franking_key: Annotated[bytes, Fixed(FRANKING_KEY_BYTES)]
    body: Annotated[bytes, Variable(limits.CONTENT_BYTES)]


@struct
class Name:
    """A message's name: authenticated sender, and the id that the sender's program chose."""

    user_id: Id
    device_id: DeviceId
    client_message_id: Id


@struct
class TextBody:
    """A text, up to 64 KiB of UTF-8."""

    text: Annotated[str, Text(limits.CONTENT_BYTES)]


@struct
class EditBody:
    """A new text for an earlier message of the same user."""

    target: Name
    text: Annotated[str, Text(limits.CONTENT_BYTES)]


@struct
class DeleteBody:
    """The wish that an earlier message of the same user be taken away."""

    target: Name


@struct
class NoticeBody:
    """Something about the conversation itself; `value` is a struct that `what` names."""

    what: U16
    value: Annotated[bytes, Variable(limits.CONTENT_BYTES)]


@struct
class NameNotice:
    """The conversation's name, 1 to 255 bytes of UTF-8."""

    name: Annotated[str, Text(255, 1)]


@struct
class Unknown:
    """A content whose kind or body this program does not know; `body` is as it was sent."""

    kind: U16
    body: Annotated[bytes, Variable(limits.CONTENT_BYTES)]


Body = TextBody | EditBody | DeleteBody | NameNotice | Unknown

_BODIES: Final[dict[int, type[TextBody | EditBody | DeleteBody]]] = {
    Kind.TEXT: TextBody,
    Kind.EDIT: EditBody,
    Kind.DELETE: DeleteBody,
}
_KINDS: Final[dict[type, Kind]] = {cls: Kind(kind) for kind, cls in _BODIES.items()}


def kind_and_bytes(body: Body) -> tuple[int, bytes]:
    """A body as it stands in the content: its kind and its encoding."""
    if isinstance(body, Unknown):
        return body.kind, body.body
    if isinstance(body, NameNotice):
        return Kind.NOTICE, encode(NoticeBody(NoticeKind.NAME, encode(body)))
    return _KINDS[type(body)], encode(body)


def body_of(content: Content) -> Body:
    """The typed body; `Unknown` for whatever cannot be read."""
    raw = content.body
    try:
        if content.kind == Kind.NOTICE:
            notice = decode(NoticeBody, raw)
            if notice.what == NoticeKind.NAME:
                return decode(NameNotice, notice.value)
        elif cls := _BODIES.get(content.kind):
            return decode(cls, raw)
    except errors.PeerError:
        pass  # a later program may say more in a body; what it says is kept
    return Unknown(content.kind, raw)


def franking_tag(content: bytes, franking_key: bytes) -> bytes:
    """The tag over an encoded content before padding, 32 bytes: who has content and key can prove what was said."""
    return hmac_sha256(franking_key, labelled_bytes(labels.FRANKING, content))


def padded_size(size: int) -> int:
    """The Padmé size for `size` bytes: at most 12% more, and only O(log log n) bits of the size are left.

    Nikitin et al., Reducing Metadata Leakage from Encrypted Files and Communication with PURBs, §4.
    """
    if size < 2:
        return size
    exponent = size.bit_length() - 1
    mask = (1 << (exponent - exponent.bit_length())) - 1
    return (size + mask) & ~mask


def pad(content: bytes) -> bytes:
    """`content<V>` and zeros up to the Padmé size; raises `TooLarge` where that is over 64 KiB."""
    out = bytearray()
    write_varint(out, len(content))
    out += content
    size = padded_size(len(out))
    if size > limits.CONTENT_BYTES:
        raise errors.TooLarge(f"a content of {size} bytes where {limits.CONTENT_BYTES} are the most")
    return bytes(out.ljust(size, b"\0"))


def unpad(padded: bytes) -> bytes:
    """The content in its padding; raises `Malformed` for a padding that is not all zeros."""
    reader = Reader(padded)
    content = reader.take(reader.varint())
    if padded.count(0, reader.position) != len(padded) - reader.position:
        raise errors.Malformed("the padding is not zero")
    return content
