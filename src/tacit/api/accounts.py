"""Account records, public keys and the vault."""

from __future__ import annotations

from msgspec import UNSET, UnsetType

from tacit.api.base import Base64, Body, Hex


class GenerateKeys(Body, frozen=True):
    """`POST /api/encryption/keys/generate`: a new version of one's account.

    `record`: struct AccountRecord; `signature`: struct AccountSignatures; `publicKey`: struct EncryptionKeys, equal to
    the record's; `encryptedPrivateKey`: struct Vault; `keyId`: the record's hash.
    """

    user_id: str
    key_id: Hex
    public_key: Base64
    record: Base64
    signature: Base64
    encrypted_private_key: Base64


class StoreOuter(Body, frozen=True):
    """`POST /api/encryption/keys/private`: struct Outer under the account record whose hash is `keyId`."""

    user_id: str
    key_id: Hex
    encrypted_private_key: Base64


class Written(Body, frozen=True):
    """The answer of a write."""

    success: bool
    key_id: Hex


class Published(Body, frozen=True):
    """The answer to an account version; `waitsUntil` is there where a reset has to wait: Unix milliseconds.

    Then it is posted again, byte for byte, from that time on.
    """

    success: bool
    key_id: Hex
    waits_until: int | UnsetType = UNSET


class AccountVersion(Body, frozen=True):
    """One version of an account."""

    version: int
    key_id: Hex
    public_key: Base64
    record: Base64
    signature: Base64


class AccountVersions(Body, frozen=True):
    """The versions of one account after the one asked for, oldest first; `more`: there are others after these."""

    user_id: str
    versions: list[AccountVersion]
    more: bool


class PublicKeys(Body, frozen=True):
    """`GET /api/encryption/keys/public?userId=..&after=N`: one entry a user, in the order asked for."""

    accounts: list[AccountVersions]


class SignedHeader(Body, frozen=True):
    """A signed header of the vault's outer part: struct OuterHeader and its signature."""

    header: Base64
    signature: Base64


class PrivateKeys(Body, frozen=True):
    """`GET /api/encryption/keys/private`: what a session may have of its vault.

    `inner`: struct Inner, only in a provisional session, which an unlocker's proof opened; `boxes`: struct Boxes;
    `outer`: struct Outer; `outerHeaders` from the version that the account record names.
    """

    user_id: str
    key_id: Hex
    account_version: int
    boxes: Base64
    outer: Base64
    outer_headers: list[SignedHeader]
    inner: Base64 | UnsetType = UNSET
