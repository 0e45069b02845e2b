"""Leaves and key packages that are not valid (§5.3, §7.2, §7.3, §10.1): added, updated, committed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from adversary.bending import bent
from mls.illegal.case import Attempt, case
from mls.illegal.members import (
    CUSTOM,
    LIFETIME,
    NOW,
    SUITE,
    UNKNOWN,
    capabilities,
    client,
    committed,
    delivered,
    draws,
    leaf_bent,
    people,
    repackaged,
    taken,
)
from tacit import errors
from tacit.mls import framing
from tacit.mls.committing import LeafChanges
from tacit.mls.credential import BasicCredential, Certificate, CustomCredential, X509Credential
from tacit.mls.extensions import Extension, RequiredCapabilities, as_extension
from tacit.mls.joining import KeyPackageKeys
from tacit.mls.key_package import KeyPackage
from tacit.mls.leaf_node import Committed, LeafNode, Lifetime, Updated
from tacit.mls.proposals import Add, GroupContextExtensions
from tacit.mls.suites import SignatureKey

NOBODY = "§5.3.1: nobody knows mallory"
WHOEVER = {"mls.illegal.members:Rules.authenticate": lambda *_: None}
TWO_OF_A_TYPE = (Extension(CUSTOM, b"1"), Extension(CUSTOM, b"2"))


def added(package: KeyPackage) -> Attempt:
    """A commit of alice's that adds somebody; nobody is welcomed, as what is wrong may make that impossible."""
    four = people()
    with bent({"tacit.mls.committing:_welcome": lambda *_: None}):
        return delivered(four.carol, committed(four.alice, Add(package))[1].commit)


def erin(leaf: dict[str, Any] | None = None, **changes: Any) -> KeyPackageKeys:
    """Somebody new, whose key package was changed and signed again."""
    return repackaged(client("erin"), leaf, **changes)


# --- key packages ------------------------------------------------------------------------


@case("§10.1: the key package is for another version or cipher suite")
def a_key_package_of_another_suite(bend: bool) -> Attempt:
    return added(erin(cipher_suite=3 if bend else 1).package)


@case("§10.1: the key package is for another version or cipher suite")
def a_key_package_of_another_version(bend: bool) -> Attempt:
    return added(erin(version=2 if bend else 1).package)


@case("§10: a key package of another version than its message")
def a_key_package_whose_message_is_of_another_version(bend: bool) -> Attempt:
    message = framing.to_wire(erin(version=2 if bend else 1).package)
    return Attempt(None, lambda: framing.from_wire(message))


@case("§10.1: the leaf of a key package has another source")
def a_key_package_with_a_leaf_of_an_update(bend: bool) -> Attempt:
    return added(erin({"source": Updated()} if bend else {}).package)


@case("§10.1: the key package's signature does not verify")
def a_key_package_that_another_signed(bend: bool) -> Attempt:
    package = erin().package
    signature = SUITE.sign_with_label(client("frank").signer, "KeyPackageTBS", package.to_be_signed())
    return added(dataclasses.replace(package, signature=signature if bend else package.signature))


@case("§7.3: the leaf's signature does not verify")
def a_key_package_with_a_leaf_that_another_signed(bend: bool) -> Attempt:
    leaf = client("frank").package.leaf_node
    return added(
        erin(leaf_node=dataclasses.replace(erin().package.leaf_node, signature=leaf.signature)).package
        if bend
        else erin().package
    )


@case("§10.1: the leaf's key is the init key")
def a_key_package_with_one_key_for_both(bend: bool) -> Attempt:
    return added(erin({"encryption_key": client("erin").init_key.public} if bend else {}).package)


@case("§7.3: an encryption key is none of the cipher suite's")
def a_key_package_with_an_init_key_of_another_size(bend: bool) -> Attempt:
    return added(erin(init_key=bytes(range(1, 66 if bend else 33))).package)


@case("two extensions of one type", error=errors.Malformed)
def a_key_package_with_two_extensions_of_one_type(bend: bool) -> Attempt:
    return added(erin(extensions=TWO_OF_A_TYPE[: 2 if bend else 1]).package)


@case("§7.3: the key package is not valid at this time")
def a_key_package_that_is_over(bend: bool) -> Attempt:
    return added(erin({"source": Lifetime(NOW - 3600, NOW - 1 if bend else NOW)}).package)


@case("§7.3: the key package is not valid at this time")
def a_key_package_for_later(bend: bool) -> Attempt:
    return added(erin({"source": Lifetime(NOW + 1 if bend else NOW, NOW + 3600)}).package)


@case("§7.2: the key package is valid for too long")
def a_key_package_that_is_valid_for_ever(bend: bool) -> Attempt:
    return added(erin({"source": Lifetime(0, 1 << 63) if bend else LIFETIME}).package)


@case(NOBODY, instead=WHOEVER)
def a_key_package_of_somebody_whom_the_application_does_not_know(bend: bool) -> Attempt:
    return added(client("mallory" if bend else "erin").package)


def certified(signer: SignatureKey) -> X509Credential:
    """A certificate of a signing key, which it signs itself."""
    key = Ed25519PrivateKey.from_private_bytes(signer.seed.reveal())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "erin")])
    start = datetime.fromtimestamp(NOW, UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, start, start + timedelta(days=1))
    return X509Credential((Certificate(builder.sign(key, None).public_bytes(Encoding.DER)),))


@case("§5.3: the leaf's signature key is not that of its certificate")
def a_leaf_with_the_certificate_of_another_key(bend: bool) -> Attempt:
    return added(erin({"credential": certified(client("frank" if bend else "erin").signer)}).package)


# --- any leaf, here of a key package -----------------------------------------------------

NOT_LISTED = "§7.2: the leaf does not support the group's version and cipher suite"


@case(NOT_LISTED)
def a_leaf_that_does_not_list_the_suite(bend: bool) -> Attempt:
    return added(erin({"capabilities": capabilities(cipher_suites=(3,) if bend else (1,))}).package)


@case(NOT_LISTED)
def a_leaf_that_does_not_list_the_version(bend: bool) -> Attempt:
    return added(erin({"capabilities": capabilities(versions=(2,) if bend else (1, 2))}).package)


@case(
    "§7.2: the leaf does not list its own credential's type",
    also=("§7.3: a credential's type is not supported by every member",),
)
def a_leaf_that_does_not_list_its_own_credential(bend: bool) -> Attempt:
    return added(erin({"capabilities": capabilities(credentials=(CUSTOM,) if bend else (1,))}).package)


@case("§7.3: a credential's type is not supported by every member")
def a_credential_that_not_everybody_knows(bend: bool) -> Attempt:
    number = UNKNOWN if bend else CUSTOM
    leaf = {
        "credential": CustomCredential(number, b"erin"),
        "capabilities": capabilities(credentials=(1, number, CUSTOM)),
    }
    return added(erin(leaf).package)


@case("§7.3: a credential's type is not supported by every member")
def a_leaf_that_does_not_know_another_members_credential(bend: bool) -> Attempt:
    """The group has somebody with a credential of the application's own."""
    four = people()
    other = repackaged(client("other"), {"credential": CustomCredential(CUSTOM, b"other")})
    alice, first = committed(four.alice, Add(other.package))
    supports = capabilities(credentials=(1,) if bend else (1, CUSTOM))
    _, second = committed(alice, Add(erin({"capabilities": supports}).package))
    return delivered(four.carol, first.commit, second.commit)


@case("§7.3: the leaf has an extension that it does not list")
def a_leaf_with_an_extension_that_it_does_not_list(bend: bool) -> Attempt:
    return added(erin({"extensions": (Extension(UNKNOWN if bend else CUSTOM, b""),)}).package)


@case("two extensions of one type", error=errors.Malformed)
def a_leaf_with_two_extensions_of_one_type(bend: bool) -> Attempt:
    return added(erin({"extensions": TWO_OF_A_TYPE[: 2 if bend else 1]}).package)


@case("§7.3: an encryption key is none of the cipher suite's")
def a_leaf_with_a_key_of_another_size(bend: bool) -> Attempt:
    return added(erin({"encryption_key": bytes(range(1, 66 if bend else 33))}).package)


@case("§7.3: an encryption key is none of the cipher suite's")
def a_leaf_with_a_key_of_low_order(bend: bool) -> Attempt:
    """Nobody could encrypt to it, so that nobody could commit."""
    return added(erin({"encryption_key": bytes(32)} if bend else {}).package)


@case("§7.3: the leaf does not support an extension of the group")
def somebody_new_who_does_not_know_an_extension_of_the_group(bend: bool) -> Attempt:
    four = people()
    alice, first = committed(four.alice, GroupContextExtensions((Extension(CUSTOM, b""),)))
    supports = capabilities(extensions=() if bend else (CUSTOM,))
    _, second = committed(alice, Add(erin({"capabilities": supports}).package))
    return delivered(four.carol, first.commit, second.commit)


@case("§11.1: the leaf lacks a required capability")
def somebody_new_who_lacks_a_required_capability(bend: bool) -> Attempt:
    four = people()
    required = as_extension(RequiredCapabilities((CUSTOM,), (CUSTOM,), (1,)))
    alice, first = committed(four.alice, GroupContextExtensions((required,)))
    supports = capabilities(proposals=() if bend else (CUSTOM,))
    _, second = committed(alice, Add(erin({"capabilities": supports}).package))
    return delivered(four.carol, first.commit, second.commit)


@case("§7.3: an encryption key is there twice")
def somebody_new_with_a_members_key(bend: bool) -> Attempt:
    bob = people().bob.state.epoch.tree.leaf(1)
    assert bob is not None
    return added(erin({"encryption_key": bob.encryption_key} if bend else {}).package)


# --- leaves of Updates -------------------------------------------------------------------


def updated(change: Callable[[LeafNode], LeafNode], changes: LeafChanges | None = None, signer: Any = None) -> Attempt:
    """An Update of bob's, committed by alice."""
    four = people()
    with leaf_bent(change, signer):
        _, message = four.bob.propose_update(draws("update"), changes)
    alice = taken(four.alice, message)
    return delivered(four.carol, message, committed(alice)[1].commit)


def changing(**changes: Any) -> Callable[[LeafNode], LeafNode]:
    """Something else in a leaf."""
    return lambda leaf: dataclasses.replace(leaf, **changes)


def _former(leaf: int) -> LeafNode:
    found = people().alice.state.epoch.tree.leaf(leaf)
    assert found is not None
    return found


@case("§12.1.2: the leaf of an Update has another source")
def an_update_with_a_leaf_of_a_commit(bend: bool) -> Attempt:
    return updated(changing(source=Committed(b"") if bend else Updated()))


@case("§7.3: the leaf's encryption key is the former one")
def an_update_with_the_former_key(bend: bool) -> Attempt:
    return updated(changing(**({"encryption_key": _former(1).encryption_key} if bend else {})))


@case("§5.3.1: the new credential is not of the same member")
def an_update_to_another_identity(bend: bool) -> Attempt:
    return updated(changing(credential=BasicCredential(b"carol" if bend else b"bob")))


@case(NOBODY, instead=WHOEVER, also=("§5.3.1: the new credential is not of the same member",))
def an_update_of_somebody_whom_the_application_does_not_know(bend: bool) -> Attempt:
    return updated(changing(credential=BasicCredential(b"mallory" if bend else b"bob")))


@case("§7.3: the leaf's signature does not verify")
def an_update_that_another_signed(bend: bool) -> Attempt:
    four = people()
    return updated(changing(), signer=(four.carol if bend else four.bob).state.signer)


@case("§7.3: a signature key is there twice")
def an_update_to_another_members_signature_key(bend: bool) -> Attempt:
    return updated(lambda leaf: leaf, LeafChanges(signer=people().carol.state.signer) if bend else None)


@case(
    "§7.2: the leaf does not list its own credential's type",
    also=("§7.3: a credential's type is not supported by every member",),
)
def an_update_that_lists_no_credential(bend: bool) -> Attempt:
    return updated(changing(capabilities=capabilities(credentials=(CUSTOM,) if bend else (1,))))


# --- leaves of commits -------------------------------------------------------------------


def renewed(change: Callable[[LeafNode], LeafNode], signer: Any = None) -> Attempt:
    """An empty commit of alice's, whose own leaf was changed before it was signed."""
    four = people()
    with leaf_bent(change, signer):
        return delivered(four.carol, committed(four.alice)[1].commit)


@case(
    "§12.4.2: the leaf of a path has another source",
    also=("§7.9.2: the leaf's parent hash is not that of its path",),
)
def a_commit_with_a_leaf_of_an_update(bend: bool) -> Attempt:
    return renewed(changing(source=Updated()) if bend else changing())


@case("§7.9.2: the leaf's parent hash is not that of its path")
def a_commit_with_another_parent_hash(bend: bool) -> Attempt:
    return renewed(changing(source=Committed(bytes(32))) if bend else changing())


@case("§7.9.2: the leaf's parent hash is not that of its path")
def a_commit_with_a_truncated_parent_hash(bend: bool) -> Attempt:
    def change(leaf: LeafNode) -> LeafNode:
        assert isinstance(leaf.source, Committed)
        return dataclasses.replace(leaf, source=Committed(leaf.source.parent_hash[: 16 if bend else None]))

    return renewed(change)


@case(
    "§7.3: the leaf's encryption key is the former one",
    also=("§12.4.2: a key of the path is in the tree already",),
)
def a_commit_with_the_former_key(bend: bool) -> Attempt:
    return renewed(changing(**({"encryption_key": _former(0).encryption_key} if bend else {})))


@case("§7.3: an encryption key is none of the cipher suite's")
def a_commit_with_a_leaf_of_low_order(bend: bool) -> Attempt:
    return renewed(changing(**({"encryption_key": bytes(32)} if bend else {})))


@case("§5.3.1: the new credential is not of the same member")
def a_commit_to_another_identity(bend: bool) -> Attempt:
    return renewed(changing(credential=BasicCredential(b"bob" if bend else b"alice")))


@case(NOBODY, instead=WHOEVER, also=("§5.3.1: the new credential is not of the same member",))
def a_commit_of_somebody_whom_the_application_does_not_know(bend: bool) -> Attempt:
    return renewed(changing(credential=BasicCredential(b"mallory" if bend else b"alice")))


@case("§7.3: the leaf's signature does not verify")
def a_commit_with_a_leaf_that_another_signed(bend: bool) -> Attempt:
    four = people()
    return renewed(changing(), (four.bob if bend else four.alice).state.signer)


@case("§7.3: the leaf has an extension that it does not list")
def a_commit_with_a_leaf_that_does_not_list_its_extension(bend: bool) -> Attempt:
    return renewed(changing(extensions=(Extension(UNKNOWN if bend else CUSTOM, b""),)))


@case("§7.3: the leaf does not support an extension of the group")
def a_commit_with_a_leaf_that_no_longer_knows_an_extension_of_the_group(bend: bool) -> Attempt:
    four = people()
    alice, first = committed(four.alice, GroupContextExtensions((Extension(CUSTOM, b""),)))
    with leaf_bent(changing(capabilities=capabilities(extensions=() if bend else (CUSTOM,)))):
        return delivered(four.carol, first.commit, committed(alice)[1].commit)
