"""Pre-shared keys (RFC 9420 §8.4): their names, and the one secret that several of them make."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Annotated

from tacit.crypto.secret import Secret
from tacit.mls import limits
from tacit.mls.suites import CipherSuite
from tacit.wire.codec import Variant, encode, struct
from tacit.wire.encodings import U16, U64, Enum, Variable


class ResumptionPskUsage(IntEnum):
    """What a group's own secret is used for (§8.6)."""

    APPLICATION = 1
    REINIT = 2
    BRANCH = 3


@struct
class ExternalPsk:
    """A key that the application gives."""

    psk_id: Annotated[bytes, Variable(limits.CREDENTIAL_BYTES)]


@struct
class ResumptionPsk:
    """The resumption_psk of an epoch of a group."""

    usage: Annotated[ResumptionPskUsage, Enum(1)]
    psk_group_id: Annotated[bytes, Variable(limits.GROUP_ID_BYTES)]
    psk_epoch: U64


@struct
class PreSharedKeyID:
    """The name of a key, and a fresh nonce of the hash's size."""

    psk: Annotated[ExternalPsk | ResumptionPsk, Variant(1, {1: ExternalPsk, 2: ResumptionPsk})]
    psk_nonce: Annotated[bytes, Variable(limits.SECRET_BYTES)]


@struct
class PSKLabel:
    """What one key of several is bound to."""

    id: PreSharedKeyID
    index: U16
    count: U16


def psk_secret(suite: CipherSuite, psks: Sequence[tuple[PreSharedKeyID, Secret]]) -> Secret:
    """All keys in one, in their order; zeros for none (§8.4)."""
    zeros = bytes(suite.hash_bytes)
    secret = Secret(zeros)
    for index, (name, psk) in enumerate(psks):
        extracted = suite.extract(zeros, psk)
        label = encode(PSKLabel(name, index, len(psks)))
        secret = suite.extract(
            suite.expand_with_label(extracted, "derived psk", label, suite.hash_bytes).reveal(), secret
        )
    return secret
