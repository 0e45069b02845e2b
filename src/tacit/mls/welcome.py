"""GroupInfo, Welcome and the secrets in it (RFC 9420 §12.4.3)."""

from __future__ import annotations

from typing import Annotated

from tacit.mls import limits
from tacit.mls.extensions import Extensions
from tacit.mls.group_context import GroupContext
from tacit.mls.psk import PreSharedKeyID
from tacit.mls.signed_part import without_signature
from tacit.mls.suites import HPKECiphertext
from tacit.wire.codec import Many, struct
from tacit.wire.encodings import U16, U32, Variable


@struct
class GroupInfo:
    """An epoch as a joiner sees it, signed by a member."""

    group_context: GroupContext
    extensions: Extensions
    confirmation_tag: Annotated[bytes, Variable(limits.SECRET_BYTES)]
    signer: U32
    signature: Annotated[bytes, Variable(limits.SIGNATURE_BYTES)]

    def to_be_signed(self) -> bytes:
        """GroupInfoTBS."""
        return without_signature(self)


@struct
class PathSecret:
    """The path secret of the lowest node that a joiner and the committer share."""

    path_secret: Annotated[bytes, Variable(limits.SECRET_BYTES)]

    def __repr__(self) -> str:
        return "PathSecret(...)"


@struct
class GroupSecrets:
    """What one joiner gets; only ever on the wire encrypted."""

    joiner_secret: Annotated[bytes, Variable(limits.SECRET_BYTES)]
    path_secret: PathSecret | None
    psks: Annotated[tuple[PreSharedKeyID, ...], Many(limits.PSKS)]

    def __repr__(self) -> str:
        return "GroupSecrets(...)"


@struct
class EncryptedGroupSecrets:
    """The secrets for the key package of that reference."""

    new_member: Annotated[bytes, Variable(limits.SECRET_BYTES)]
    encrypted_group_secrets: HPKECiphertext


@struct
class Welcome:
    """What everybody who was added in one commit gets."""

    cipher_suite: U16
    secrets: Annotated[tuple[EncryptedGroupSecrets, ...], Many(limits.LEAVES)]
    encrypted_group_info: Annotated[bytes, Variable(limits.CONTENT_BYTES)]
