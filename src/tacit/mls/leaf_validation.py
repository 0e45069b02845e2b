"""What a leaf has to be (RFC 9420 §7.3), and a key package (§10.1)."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

from tacit import errors
from tacit.crypto import kem, verify
from tacit.crypto.x509 import public_key
from tacit.mls import extensions as ext
from tacit.mls.credential import X509Credential
from tacit.mls.extensions import DEFAULT_EXTENSIONS, Extension, RequiredCapabilities
from tacit.mls.key_package import MLS10, KeyPackage
from tacit.mls.leaf_node import LeafNode, Lifetime
from tacit.mls.proposals import ProposalType
from tacit.mls.suites import CipherSuite

DEFAULT_PROPOSALS: Final = frozenset(ProposalType)
"""What every implementation supports, so that no leaf lists it (§7.2)."""
_ALGORITHMS: Final = {
    kem.X25519.ID: verify.X25519,
    kem.X448.ID: verify.X448,
    kem.P256.ID: verify.P256,
    kem.P384.ID: verify.P384,
    kem.P521.ID: verify.P521,
    kem.XWing.ID: verify.X_WING,
}


def check_signature(suite: CipherSuite, leaf: LeafNode, group_id: bytes, index: int) -> None:
    """The leaf is signed by its own key, for this place unless it is of a key package (§7.3)."""
    signed = leaf.to_be_signed(group_id, index)
    if not suite.verify_with_label(leaf.signature_key, "LeafNodeTBS", signed, leaf.signature):
        raise errors.InvalidGroupMessage("§7.3: the leaf's signature does not verify")


def check_lifetime(leaf: LeafNode, now: int) -> None:
    """A leaf of a key package is used within its lifetime (§7.3); `now` in Unix seconds."""
    if isinstance(leaf.source, Lifetime) and not leaf.source.not_before <= now <= leaf.source.not_after:
        raise errors.InvalidGroupMessage("§7.3: the key package is not valid at this time")


def check_duration(leaf: LeafNode, longest: int) -> None:
    """A key package is not valid for more seconds in all than the application takes (§7.2)."""
    if isinstance(leaf.source, Lifetime) and leaf.source.not_after - leaf.source.not_before > longest:
        raise errors.InvalidGroupMessage("§7.2: the key package is valid for too long")


def check_form(suite: CipherSuite, leaf: LeafNode) -> None:
    """The leaf supports what it is made of: version, suite, credential, and its own extensions (§7.2, §7.3)."""
    can = leaf.capabilities
    if MLS10 not in can.versions or suite.id not in can.cipher_suites:
        raise errors.InvalidGroupMessage("§7.2: the leaf does not support the group's version and cipher suite")
    if leaf.credential.credential_type not in can.credentials:
        raise errors.InvalidGroupMessage("§7.2: the leaf does not list its own credential's type")
    if leaf.extensions and not ext.types_of(leaf.extensions) <= DEFAULT_EXTENSIONS | set(can.extensions):
        raise errors.InvalidGroupMessage("§7.3: the leaf has an extension that it does not list")
    check_size(suite, leaf.encryption_key)
    _check_certificate(leaf)


def _check_certificate(leaf: LeafNode) -> None:
    """The leaf's key is that of its end entity's certificate, if it has one (§5.3); the chain is the application's."""
    if isinstance(leaf.credential, X509Credential):
        chain = leaf.credential.certificates
        if not chain or public_key(chain[0].cert_data) != leaf.signature_key:
            raise errors.InvalidGroupMessage("§5.3: the leaf's signature key is not that of its certificate")


def check_size(suite: CipherSuite, public: bytes) -> None:
    """A public key has the size of the suite's (§7.3): all that is asked of a tree of thousands."""
    if len(public) != suite.hpke.kem.PUBLIC_BYTES:
        raise errors.InvalidGroupMessage("§7.3: an encryption key is none of the cipher suite's")


def check_key(suite: CipherSuite, public: bytes) -> None:
    """A public key that is new is one of the suite's (§7.3, §10): nobody could encrypt to another."""
    try:
        verify.check_form(_ALGORITHMS[suite.hpke.kem.ID], public)
    except errors.PeerError:
        raise errors.InvalidGroupMessage("§7.3: an encryption key is none of the cipher suite's") from None


def check_supports(leaf: LeafNode, context_extensions: Iterable[Extension]) -> None:
    """The leaf supports every extension of the group's context, and what it requires (§7.3, §11.1)."""
    can, present = leaf.capabilities, tuple(context_extensions)
    if not ext.types_of(present) <= DEFAULT_EXTENSIONS | set(can.extensions):
        raise errors.InvalidGroupMessage("§7.3: the leaf does not support an extension of the group")
    required = ext.find(RequiredCapabilities, present)
    if required is None:
        return
    if not (
        set(required.extension_types) <= DEFAULT_EXTENSIONS | set(can.extensions)
        and set(required.proposal_types) <= DEFAULT_PROPOSALS | set(can.proposals)
        and set(required.credential_types) <= set(can.credentials)
    ):
        raise errors.InvalidGroupMessage("§11.1: the leaf lacks a required capability")


def check_key_package(suite: CipherSuite, package: KeyPackage, now: int) -> None:
    """A key package is of this version and suite, signed, in time, and its two keys differ (§10.1)."""
    if package.version != MLS10 or package.cipher_suite != suite.id:
        raise errors.InvalidGroupMessage("§10.1: the key package is for another version or cipher suite")
    leaf = package.leaf_node
    if not isinstance(leaf.source, Lifetime):
        raise errors.InvalidGroupMessage("§10.1: the leaf of a key package has another source")
    check_form(suite, leaf)
    check_lifetime(leaf, now)
    check_signature(suite, leaf, b"", 0)
    signed = package.to_be_signed()
    if not suite.verify_with_label(leaf.signature_key, "KeyPackageTBS", signed, package.signature):
        raise errors.InvalidGroupMessage("§10.1: the key package's signature does not verify")
    if leaf.encryption_key == package.init_key:
        raise errors.InvalidGroupMessage("§10.1: the leaf's key is the init key")
    check_key(suite, leaf.encryption_key)
    check_key(suite, package.init_key)
    ext.types_of(package.extensions)


def one_for_each(leaves: Iterable[LeafNode]) -> Iterable[LeafNode]:
    """One leaf for each capabilities that were read: most members have the same."""
    return {id(leaf.capabilities): leaf for leaf in leaves}.values()


def check_credentials(leaves: Collection[LeafNode]) -> None:
    """Every member supports the credential type of every other (§7.3)."""
    used = {leaf.credential.credential_type for leaf in leaves}
    if any(not used <= set(leaf.capabilities.credentials) for leaf in one_for_each(leaves)):
        raise errors.InvalidGroupMessage("§7.3: a credential's type is not supported by every member")
