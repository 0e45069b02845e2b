"""Grants: "this account can open this epoch", signed by the device that grants."""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Final

from tacit.signed import labels
from tacit.signed.account import DeviceId
from tacit.signed.profiles import KeyAlgorithm, Profile
from tacit.signed.verify import Signer, Verified, sign, verify
from tacit.wire import limits
from tacit.wire.codec import EncodedOnce, struct
from tacit.wire.encodings import Enum, Hash, Id, Signature, Variable


class WrapAlgorithm(IntEnum):
    """How a grant's ciphertext is made."""

    HPKE_X_WING = 1
    RSA_OAEP_SHA256 = 2
    SEALED = 3


WRAPS: Final = {
    KeyAlgorithm.X_WING: WrapAlgorithm.HPKE_X_WING,
    KeyAlgorithm.RSA: WrapAlgorithm.RSA_OAEP_SHA256,
}
"""How something is wrapped to a key."""


@struct
class Granter(EncodedOnce):
    """The device that grants, under the account record of its user that it acted under."""

    user_id: Id
    device_id: DeviceId
    account_hash: Hash


@struct
class Grant(EncodedOnce):
    """An epoch's key for one account, wrapped to the encryption key in the account record `account_hash`."""

    record_hash: Hash
    granter: Granter
    recipient: Id
    account_hash: Hash
    algorithm: Annotated[WrapAlgorithm, Enum(2)]
    ciphertext: Annotated[bytes, Variable(limits.WRAPPED_KEY_BYTES)]


@struct
class SignedGrant:
    """A grant with its signature: `encryptedKey` and `encrypted_key`."""

    grant: Grant
    signature: Signature


@struct
class GrantContext:
    """HPKE info of a grant: the epoch's record, the recipient and the account record wrapped to."""

    record_hash: Hash
    recipient: Id
    account_hash: Hash


def sign_grant(grant: Grant, device: Signer) -> SignedGrant:
    """The grant as it travels."""
    return SignedGrant(grant, sign(labels.GRANT, grant, device))


def verify_grant(signed: SignedGrant, request_key: bytes, profile: Profile) -> Verified[Grant]:
    """A grant by the device that has `request_key`; raises `BadSignature`."""
    return verify(labels.GRANT, signed.grant, request_key, signed.signature, profile)
