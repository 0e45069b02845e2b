"""Fields that carry keys: each has one exact public struct, and what looks like a secret key is refused by name.

A secret in one of these fields is a client's mistake that must not go unnoticed: the answer says so, so that the person
treats the key as compromised. The struct is tried first, because a grant's random bytes can look like anything.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterable
from typing import Any, Final, TypeVar

from tacit import errors
from tacit.api import base
from tacit.crypto.verify import check_public, looks_secret
from tacit.signed.grant import SignedGrant
from tacit.signed.profiles import ED25519_BYTES, P256_BYTES, KeyAlgorithm
from tacit.signed.vault import Boxes, Vault
from tacit.wire import limits
from tacit.wire.codec import decode

T = TypeVar("T")

KEY_FIELDS: Final = frozenset({"publicKey", "encryptedPrivateKey", "encryptedKey", "requestKey"})
BARE: Final = (32, 64)
"""The lengths of bare secret keys and seeds; nothing sealed or wrapped is so short, or just so long."""
_HEX: Final = re.compile(r"(?:[0-9a-fA-F]{64}|[0-9a-fA-F]{128})\Z")


def refuse_key_objects(value: Any) -> None:
    """Refuse a JSON object (a JWK) where a key field has to be text; raises `SecretKeyRefused`."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            if any(isinstance(item.get(name), dict) for name in KEY_FIELDS & item.keys()):
                raise errors.SecretKeyRefused
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)


def key_struct(kind: type[T], text: str, most: int = limits.RECORD_BYTES) -> T:
    """The struct in a key field; raises `SecretKeyRefused` for what looks like a secret, else as `decode` does."""
    try:
        return decode(kind, base.binary(text, most), most)
    except errors.PeerError:
        if _text_looks_secret(text):
            raise errors.SecretKeyRefused from None
        raise


def request_key(text: str) -> bytes:
    """A raw Ed25519 public key of 32 bytes (a seed of the same length cannot be told from it), or a point of P-256.

    Raises `SecretKeyRefused` for anything else that looks like a secret, `Base64NotCanonical`, `WrongLength`, or
    `Malformed` for no point of the curve.
    """
    try:
        key = base.binary(text, limits.KEY_BYTES)
    except errors.PeerError:
        if _text_looks_secret(text):
            raise errors.SecretKeyRefused from None
        raise
    if len(key) == ED25519_BYTES:
        return key
    if len(key) == P256_BYTES:
        check_public(KeyAlgorithm.P256, key)
        return key
    if _text_looks_secret(text):
        raise errors.SecretKeyRefused
    raise errors.WrongLength("a request key has 32 bytes, or 65 for P-256")


def check_vault_wrapped(vault: Vault) -> None:
    """Refuse a vault in which a key stands bare where a wrapped one belongs."""
    wrapped = [vault.inner.wrapped_aik, vault.inner.wrapped_outer_key]
    wrapped += [unlocker.wrapped_amk for unlocker in vault.inner.unlockers]
    _refuse_bare(wrapped)
    check_boxes_wrapped(vault.boxes)


def check_boxes_wrapped(boxes: Boxes) -> None:
    """Refuse boxes in which a key stands bare."""
    _refuse_bare(box.wrapped_outer_key for box in boxes.boxes)


def read_grant(text: str) -> SignedGrant:
    """A grant; raises `SecretKeyRefused` for a bare key in its place or inside it, else as `decode` does."""
    signed = key_struct(SignedGrant, text)
    _refuse_bare([signed.grant.ciphertext])
    return signed


def _refuse_bare(wrapped: Iterable[bytes]) -> None:
    if any(len(value) <= BARE[0] or len(value) == BARE[1] for value in wrapped):
        raise errors.SecretKeyRefused


def _text_looks_secret(text: str) -> bool:
    stripped = text.strip()
    if _HEX.match(stripped) or looks_secret(stripped.encode(errors="replace")):
        return True
    try:
        data = binascii.a2b_base64(stripped.replace("-", "+").replace("_", "/").encode() + b"==")
    except (ValueError, UnicodeEncodeError):
        return False
    return len(data) in BARE or looks_secret(data)
