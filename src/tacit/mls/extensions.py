"""Extensions (RFC 9420 §13) and those that the RFC defines (§5.3.3, §11.1, §12.1.8.1, §12.4.3.2, §12.4.3.3)."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import Annotated, Any, Final, TypeVar

from tacit import errors
from tacit.mls import limits
from tacit.mls.credential import Credential
from tacit.wire.codec import Many, decode, encode, struct
from tacit.wire.encodings import U16, Variable

T = TypeVar("T")


class ExtensionType(IntEnum):
    """The extension types that the RFC defines (§17.3)."""

    APPLICATION_ID = 1
    RATCHET_TREE = 2
    REQUIRED_CAPABILITIES = 3
    EXTERNAL_PUB = 4
    EXTERNAL_SENDERS = 5


DEFAULT_EXTENSIONS: Final = frozenset(ExtensionType)
"""What every implementation supports, so that no leaf lists it (§7.2)."""


@struct
class Extension:
    """One extension: its type and its data."""

    extension_type: U16
    extension_data: Annotated[bytes, Variable(limits.EXTENSION_BYTES)]


Extensions = Annotated[tuple[Extension, ...], Many(limits.EXTENSIONS)]
"""A list of extensions, each type at most once (§13.4)."""


@struct
class ApplicationId:
    """An identifier that the application gives a client (§5.3.3)."""

    application_id: Annotated[bytes, Variable(limits.CREDENTIAL_BYTES)]


@struct
class RequiredCapabilities:
    """What every member of a group has to support (§11.1)."""

    extension_types: Annotated[tuple[U16, ...], Many(limits.CAPABILITIES)] = ()
    proposal_types: Annotated[tuple[U16, ...], Many(limits.CAPABILITIES)] = ()
    credential_types: Annotated[tuple[U16, ...], Many(limits.CAPABILITIES)] = ()


@struct
class ExternalPub:
    """The public key by which anybody can join by an external commit (§12.4.3.2)."""

    external_pub: Annotated[bytes, Variable(limits.KEY_BYTES)]


@struct
class ExternalSender:
    """Somebody outside of the group who may propose (§12.1.8.1)."""

    signature_key: Annotated[bytes, Variable(limits.KEY_BYTES)]
    credential: Credential


@struct
class ExternalSenders:
    """Everybody outside of the group who may propose, by index (§12.1.8.1)."""

    senders: Annotated[tuple[ExternalSender, ...], Many(limits.CAPABILITIES)]


_STRUCTS: Final[dict[type, int]] = {
    ApplicationId: ExtensionType.APPLICATION_ID,
    RequiredCapabilities: ExtensionType.REQUIRED_CAPABILITIES,
    ExternalPub: ExtensionType.EXTERNAL_PUB,
    ExternalSenders: ExtensionType.EXTERNAL_SENDERS,
}
# An ExternalSender<V> is the extension's data itself, and not a struct around it: the same bytes.


def as_extension(value: Any) -> Extension:
    """The extension that carries one of the RFC's structs."""
    return Extension(_STRUCTS[type(value)], encode(value))


def data_of(extensions: Iterable[Extension], extension_type: int) -> bytes | None:
    """The data of the extension of that type, if there is one."""
    return next((each.extension_data for each in extensions if each.extension_type == extension_type), None)


def find(cls: type[T], extensions: Iterable[Extension]) -> T | None:
    """The RFC's struct of that kind among the extensions; raises as `decode` for data that is none."""
    data = data_of(extensions, _STRUCTS[cls])
    return None if data is None else decode(cls, data, limits.EXTENSION_BYTES)


def types_of(extensions: Iterable[Extension]) -> frozenset[int]:
    """The types; raises `Malformed` for two of one type, which is invalid in every list (§13.4)."""
    listed = [each.extension_type for each in extensions]
    types = frozenset(listed)
    if len(types) != len(listed):
        raise errors.Malformed("two extensions of one type")
    return types
