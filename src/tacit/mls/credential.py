"""Credentials (RFC 9420 §5.3): who a leaf says that it is. Whether that is so, the application's policy decides."""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated

from tacit.mls import limits
from tacit.wire.codec import Many, Variant, struct
from tacit.wire.encodings import U16, Variable


class CredentialType(IntEnum):
    """The credential types that the RFC defines (§17.5)."""

    BASIC = 1
    X509 = 2


@struct
class BasicCredential:
    """A bare identity, to be authenticated by other means."""

    identity: Annotated[bytes, Variable(limits.CREDENTIAL_BYTES)]

    @property
    def credential_type(self) -> int:
        """1."""
        return CredentialType.BASIC


@struct
class Certificate:
    """A DER-encoded X.509 certificate (RFC 5280)."""

    cert_data: Annotated[bytes, Variable(limits.CREDENTIAL_BYTES)]


@struct
class X509Credential:
    """A chain of certificates, the end entity's first; each certifies the one before it."""

    certificates: Annotated[tuple[Certificate, ...], Many(limits.CERTIFICATES)]

    @property
    def credential_type(self) -> int:
        """2."""
        return CredentialType.X509


@struct
class CustomCredential:
    """A credential of a type that the application knows, GREASE among them: its data is one vector."""

    credential_type: U16
    data: Annotated[bytes, Variable(limits.CREDENTIAL_BYTES)]


Credential = Annotated[
    BasicCredential | X509Credential | CustomCredential,
    Variant(2, {CredentialType.BASIC: BasicCredential, CredentialType.X509: X509Credential}, CustomCredential),
]
AnyCredential = BasicCredential | X509Credential | CustomCredential
