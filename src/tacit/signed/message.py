"""The struct behind a message's JSON: what the device signs and what the ciphertext is bound to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

from tacit import errors
from tacit.crypto.digest import sha256
from tacit.signed import labels
from tacit.signed.account import DeviceId
from tacit.signed.profiles import Profile
from tacit.signed.verify import Signer, Verified, labelled, labelled_bytes, sign, struct_hash, verify
from tacit.wire import limits
from tacit.wire.codec import encode, struct
from tacit.wire.encodings import U16, U64, Fixed, Hash, Id, Variable
from tacit.wire.text import from_base64, from_hex, to_base64

VERSION: Final = 1
CONTENT: Final = 1
"""The one content type: the kind of a message is inside the ciphertext, so that the server does not see it."""


@struct
class MessageAad:
    """The authenticated fields, in the order of the specification."""

    version: U16
    record_hash: Hash
    key_id: Hash
    epoch: U64
    user_id: Id
    device_id: DeviceId
    instance_id: Annotated[bytes, Fixed(16)]
    counter: U64
    client_message_id: Id
    content_type: U16
    franking_tag: Hash


@struct
class Message:
    """A sealed message: authenticated fields, 96-bit iv, ciphertext with GCM's tag as its last 16 bytes."""

    aad: MessageAad
    iv: Annotated[bytes, Fixed(12)]
    ciphertext: Annotated[bytes, Variable(limits.CIPHERTEXT_BYTES, 16)]


@struct
class _Sealed:
    """What stands in a message behind its authenticated fields."""

    iv: Annotated[bytes, Fixed(12)]
    ciphertext: Annotated[bytes, Variable(limits.CIPHERTEXT_BYTES, 16)]


FIELDS: Final = {
    "version": int,
    "encryptedText": str,
    "iv": str,
    "tag": str,
    "keyId": str,
    "recordHash": str,
    "epoch": int,
    "senderId": str,
    "deviceId": str,
    "instanceId": str,
    "counter": int,
    "clientMessageId": str,
    "contentType": int,
    "frankingTag": str,
    "signature": str,
}
"""The JSON fields of `encryptedPayload` and their types."""
_TYPES: Final = tuple(FIELDS.values())


def aad_bytes(aad: MessageAad) -> bytes:
    """The AEAD's associated data."""
    return labelled(labels.MESSAGE_AAD, aad)


def message_hash(message: Message) -> bytes:
    """The hash by which later messages say that they saw this one, 32 bytes."""
    return struct_hash(labels.MESSAGE_HASH, message)


def sign_message(message: Message, device: Signer) -> bytes:
    """The sending device's signature."""
    return sign(labels.MESSAGE, message, device)


def sign_and_hash(encoded_aad: bytes, message: Message, device: Signer) -> tuple[bytes, bytes]:
    """`sign_message` and `message_hash` of a message whose authenticated fields are encoded already."""
    encoded = encoded_aad + encode(_Sealed(message.iv, message.ciphertext))
    signature = device(labelled_bytes(labels.MESSAGE, encoded))
    return signature, sha256(labelled_bytes(labels.MESSAGE_HASH, encoded))


def verify_message(message: Message, signature: bytes, request_key: bytes, profile: Profile) -> Verified[Message]:
    """A message by the device that has `request_key`; raises `BadSignature`."""
    return verify(labels.MESSAGE, message, request_key, signature, profile)


def to_fields(message: Message, signature: bytes) -> dict[str, Any]:
    """The JSON object `encryptedPayload`."""
    aad = message.aad
    return {
        "version": aad.version,
        "encryptedText": to_base64(message.ciphertext),
        "iv": to_base64(message.iv),
        "tag": "",
        "keyId": aad.key_id.hex(),
        "recordHash": aad.record_hash.hex(),
        "epoch": aad.epoch,
        "senderId": aad.user_id,
        "deviceId": aad.device_id,
        "instanceId": to_base64(aad.instance_id),
        "counter": aad.counter,
        "clientMessageId": aad.client_message_id,
        "contentType": aad.content_type,
        "frankingTag": to_base64(aad.franking_tag),
        "signature": to_base64(signature),
    }


def from_fields(fields: Mapping[str, Any]) -> tuple[Message, bytes]:
    """The message and its signature out of the JSON object.

    Raises `MalformedJson` for a missing or ill-typed field, `UnknownField`, `UnknownVersion`, `Base64NotCanonical`,
    `WrongLength`, `TooLarge` or `Malformed`.
    """
    _check_types(fields)
    if fields["version"] != VERSION:
        raise errors.UnknownVersion("message")
    if fields["tag"] != "":
        raise errors.WrongLength("tag is not empty: it is the end of encryptedText")
    for name in ("epoch", "counter"):
        if not 0 <= fields[name] < 1 << 53:
            raise errors.Malformed(f"{name} is not an integer from 0 to 2^53 - 1")
    if not 0 <= fields["contentType"] < 1 << 16:
        raise errors.Malformed("contentType is not an integer from 0 to 65535")
    for name in ("senderId", "clientMessageId"):
        _check_id(name, fields[name])
    from_hex(fields["deviceId"])
    iv = _exactly(fields, "iv", 12)
    ciphertext = from_base64(fields["encryptedText"], limits.CIPHERTEXT_BYTES)
    if len(ciphertext) < 16:
        raise errors.WrongLength("encryptedText is at least 16 bytes")
    aad = MessageAad(
        VERSION,
        from_hex(fields["recordHash"]),
        from_hex(fields["keyId"]),
        fields["epoch"],
        fields["senderId"],
        fields["deviceId"],
        _exactly(fields, "instanceId", 16),
        fields["counter"],
        fields["clientMessageId"],
        fields["contentType"],
        _exactly(fields, "frankingTag", 32),
    )
    return Message(aad, iv, ciphertext), from_base64(fields["signature"], limits.SIGNATURE_BYTES)


def _check_types(fields: Mapping[str, Any]) -> None:
    if len(fields) == len(FIELDS) and tuple(map(type, map(fields.get, FIELDS))) == _TYPES:
        return
    for name, value in fields.items():
        if name not in FIELDS:
            raise errors.UnknownField(name[:64])
        if type(value) is not FIELDS[name]:
            raise errors.MalformedJson(f"{name} has the wrong type")
    raise errors.MalformedJson(f"{min(FIELDS.keys() - fields.keys())} is missing")


def _exactly(fields: Mapping[str, Any], name: str, size: int) -> bytes:
    data = from_base64(fields[name], size)
    if len(data) != size:
        raise errors.WrongLength(f"{name} is {size} bytes")
    return data


def _check_id(name: str, value: str) -> None:
    try:
        length = len(value.encode())
    except UnicodeEncodeError:
        raise errors.Malformed(f"{name} is not Unicode") from None
    if not 1 <= length <= limits.ID_BYTES:
        raise errors.WrongLength(f"{name} is 1 to {limits.ID_BYTES} bytes of UTF-8")
