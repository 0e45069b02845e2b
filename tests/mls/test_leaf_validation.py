"""Leaves and key packages: each rule refuses what only it can refuse, signed by real keys."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from mls.making import GROUP_ID, LIFETIME, NOW, SUITE, client
from mls.making import capabilities as caps
from tacit import errors
from tacit.mls import leaf_validation
from tacit.mls.credential import BasicCredential, Certificate, CustomCredential, X509Credential
from tacit.mls.extensions import ApplicationId, Extension, RequiredCapabilities, as_extension
from tacit.mls.leaf_node import Committed, LeafNode, Lifetime, Updated
from tacit.mls.suites import SUITES

ALICE = client("alice")
BOB = client("bob")
ODD = Extension(0xF000, b"")


def refused(section: str) -> Any:
    return pytest.raises(errors.InvalidGroupMessage, match=f"§{section}: ")


# --- signatures --------------------------------------------------------------------------


@pytest.mark.parametrize("source", [Updated(), Committed(b"hash")])
def test_a_leafs_signature_is_of_its_group_and_place(source: Updated | Committed) -> None:
    leaf = ALICE.leaf(3, source=source)
    leaf_validation.check_signature(SUITE, leaf, GROUP_ID, 3)
    for group_id, index in ((b"another", 3), (GROUP_ID, 4)):
        with refused("7.3"):
            leaf_validation.check_signature(SUITE, leaf, group_id, index)


def test_the_signature_of_a_key_packages_leaf_is_of_no_place() -> None:
    leaf_validation.check_signature(SUITE, ALICE.leaf(), b"any", 9)


def test_a_leaf_that_another_key_signed_is_refused() -> None:
    forged = BOB.signed(ALICE.leaf())
    with refused("7.3"):
        leaf_validation.check_signature(SUITE, forged, GROUP_ID, 0)
    changed = dataclasses.replace(ALICE.leaf(), encryption_key=BOB.leaf_key.public)
    with refused("7.3"):
        leaf_validation.check_signature(SUITE, changed, GROUP_ID, 0)


# --- time --------------------------------------------------------------------------------


def test_a_lifetime_has_a_first_and_a_last_second() -> None:
    leaf = ALICE.leaf()
    for now in (LIFETIME.not_before, NOW, LIFETIME.not_after):
        leaf_validation.check_lifetime(leaf, now)
    for now in (LIFETIME.not_before - 1, LIFETIME.not_after + 1):
        with refused("7.3"):
            leaf_validation.check_lifetime(leaf, now)


def test_a_lifetime_is_no_longer_than_the_application_takes() -> None:
    leaf_validation.check_duration(ALICE.leaf(), 7200)
    with refused("7.2"):
        leaf_validation.check_duration(ALICE.leaf(), 7199)
    leaf_validation.check_duration(ALICE.leaf(source=Lifetime(0, (1 << 64) - 1)), (1 << 64) - 1)
    # One that ends before it begins is never valid, and not too long.
    leaf_validation.check_duration(ALICE.leaf(source=Lifetime(NOW, 0)), 0)
    leaf_validation.check_duration(ALICE.leaf(source=Updated()), 0)


def test_a_leaf_of_another_source_has_no_lifetime() -> None:
    leaf_validation.check_lifetime(ALICE.leaf(source=Updated()), LIFETIME.not_after + 1)


# --- form --------------------------------------------------------------------------------

ALL_DEFAULTS = tuple(Extension(number, b"") for number in (1, 2, 3, 4, 5))
SOUND = [
    {},
    {"extensions": ALL_DEFAULTS},
    {"capabilities": caps(versions=(2, 1), cipher_suites=(9, 1), credentials=(2, 1))},
    {"extensions": (as_extension(ApplicationId(b"id")),)},
    {"extensions": (ODD,), "capabilities": caps(extensions=(0xF000,))},
    {"credential": CustomCredential(0xF001, b""), "capabilities": caps(credentials=(0xF001,))},
]
BENT: list[tuple[str, dict[str, Any]]] = [
    ("7.2", {"capabilities": caps(versions=(2,))}),
    ("7.2", {"capabilities": caps(cipher_suites=(2, 3))}),
    ("7.2", {"capabilities": caps(credentials=(2,))}),
    ("7.2", {"credential": CustomCredential(0xF001, b"")}),
    ("7.3", {"extensions": (ODD,)}),
    ("7.3", {"extensions": (ODD,), "capabilities": caps(extensions=(0xF001,))}),
    ("7.3", {"encryption_key": bytes(31)}),
    ("7.3", {"encryption_key": bytes(33)}),
]


@pytest.mark.parametrize("changes", SOUND)
def test_a_leaf_that_supports_what_it_is_made_of_is_taken(changes: dict[str, Any]) -> None:
    leaf_validation.check_form(SUITE, ALICE.leaf(**changes))
    leaf_validation.check_key_package(SUITE, ALICE.package(leaf_node=ALICE.leaf(**changes)), NOW)


@pytest.mark.parametrize(("section", "changes"), BENT)
def test_a_leaf_that_does_not_is_refused(section: str, changes: dict[str, Any]) -> None:
    leaf = ALICE.leaf(**changes)
    leaf_validation.check_signature(SUITE, leaf, GROUP_ID, 0)
    with refused(section):
        leaf_validation.check_form(SUITE, leaf)
    with refused(section):
        leaf_validation.check_key_package(SUITE, ALICE.package(leaf_node=leaf), NOW)


def test_an_extension_is_there_once() -> None:
    twice = (as_extension(ApplicationId(b"one")), as_extension(ApplicationId(b"two")))
    with pytest.raises(errors.Malformed, match="two extensions of one type"):
        leaf_validation.check_form(SUITE, ALICE.leaf(extensions=twice))
    with pytest.raises(errors.Malformed, match="two extensions of one type"):
        leaf_validation.check_key_package(SUITE, ALICE.package(extensions=twice), NOW)
    with pytest.raises(errors.Malformed, match="two extensions of one type"):
        leaf_validation.check_supports(ALICE.leaf(), twice)


# --- what the group asks for -------------------------------------------------------------


def required(**lists: tuple[int, ...]) -> tuple[Extension, ...]:
    return (as_extension(RequiredCapabilities(**lists)),)


ABLE = ALICE.leaf(capabilities=caps(extensions=(0xF000,), proposals=(0xF002,), credentials=(1, 0xF003)))
ASKED = [
    (),
    (as_extension(ApplicationId(b"id")),),
    required(),
    required(extension_types=(0xF000, 3), proposal_types=(0xF002, 7), credential_types=(1, 0xF003)),
    required(extension_types=(1, 2, 3, 4, 5, 0xF000), proposal_types=(1, 2, 3, 4, 5, 6, 7, 0xF002)),
    (ODD, *(each for each in ALL_DEFAULTS if each.extension_type != 3), *required()),
    (ODD,),
]
TOO_MUCH = [
    ("7.3", (Extension(0xF009, b""),)),
    ("11.1", required(extension_types=(0xF009,))),
    ("11.1", required(proposal_types=(0xF009,))),
    ("11.1", required(credential_types=(2,))),
]


@pytest.mark.parametrize("asked", ASKED)
def test_a_leaf_that_supports_what_the_group_has_is_taken(asked: tuple[Extension, ...]) -> None:
    leaf_validation.check_supports(ABLE, asked)


@pytest.mark.parametrize(("section", "asked"), TOO_MUCH)
def test_a_leaf_that_lacks_something_is_refused(section: str, asked: tuple[Extension, ...]) -> None:
    with refused(section):
        leaf_validation.check_supports(ABLE, asked)


# --- key packages ------------------------------------------------------------------------


def test_a_key_package_is_for_this_version_and_suite() -> None:
    leaf_validation.check_key_package(SUITE, ALICE.package(), NOW)
    for changes in ({"version": 2}, {"cipher_suite": 3}):
        with refused("10.1"):
            leaf_validation.check_key_package(SUITE, ALICE.package(**changes), NOW)
    both = ALICE.leaf(capabilities=caps(cipher_suites=(1, 3)))
    with refused("10.1"):
        leaf_validation.check_key_package(SUITES[3], ALICE.package(leaf_node=both), NOW)


def test_the_leaf_of_a_key_package_has_that_source() -> None:
    for source in (Updated(), Committed(b"")):
        leaf = ALICE.signed(ALICE.leaf(source=source), 0, b"")
        with refused("10.1"):
            leaf_validation.check_key_package(SUITE, ALICE.package(leaf_node=leaf), NOW)


def test_a_key_package_is_used_within_its_lifetime() -> None:
    with refused("7.3"):
        leaf_validation.check_key_package(SUITE, ALICE.package(), LIFETIME.not_after + 1)


def test_the_leaf_of_a_key_package_is_signed() -> None:
    unsigned = dataclasses.replace(ALICE.leaf(), signature=bytes(64))
    with refused("7.3"):
        leaf_validation.check_key_package(SUITE, ALICE.package(leaf_node=unsigned), NOW)


def test_a_key_package_is_signed_by_its_leafs_key() -> None:
    sound = ALICE.package()
    for package in (
        dataclasses.replace(sound, signature=bytes(64)),
        dataclasses.replace(sound, init_key=BOB.init_key.public),
    ):
        with refused("10.1"):
            leaf_validation.check_key_package(SUITE, package, NOW)
    with refused("10.1"):
        leaf_validation.check_key_package(SUITE, BOB.package(leaf_node=ALICE.leaf()), NOW)


def test_the_two_keys_of_a_key_package_differ() -> None:
    with refused("10.1"):
        leaf_validation.check_key_package(SUITE, ALICE.package(init_key=ALICE.leaf_key.public), NOW)


def test_an_init_key_has_the_suites_size() -> None:
    for size in (0, 31, 33):
        with refused("7.3"):
            leaf_validation.check_key_package(SUITE, ALICE.package(init_key=bytes(size)), NOW)


# --- credentials -------------------------------------------------------------------------


def supporting(*types: int, own: int = 1) -> LeafNode:
    credential = BasicCredential(b"") if own == 1 else CustomCredential(own, b"")
    return ALICE.leaf(credential=credential, capabilities=caps(credentials=types))


def test_every_member_supports_every_others_credential() -> None:
    shared = supporting(1, 9)
    leaf_validation.check_credentials([])
    leaf_validation.check_credentials([supporting(1), supporting(1, 5)])
    leaf_validation.check_credentials([supporting(1, 9), supporting(9, 1, own=9), shared, shared])
    for leaves in (
        [supporting(1), supporting(1, 9, own=9)],
        [supporting(1, 9, own=9), supporting(1)],
        [supporting(1, 9), supporting(1, 9, own=9), supporting(1)],
    ):
        with refused("7.3"):
            leaf_validation.check_credentials(leaves)


# --- certificates ------------------------------------------------------------------------


def certified(key: Ed25519PrivateKey) -> bytes:
    """A certificate of a key by itself."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "alice")])
    begun = dt.datetime.fromtimestamp(NOW, dt.UTC)
    built = x509.CertificateBuilder(name, name, key.public_key(), 1, begun, begun + dt.timedelta(days=1))
    return built.sign(key, None).public_bytes(Encoding.DER)


def test_a_leafs_key_is_that_of_its_certificate() -> None:
    own = certified(Ed25519PrivateKey.from_private_bytes(ALICE.signer.seed.reveal()))
    other = certified(Ed25519PrivateKey.from_private_bytes(BOB.signer.seed.reveal()))
    able = caps(credentials=(2,))

    def check(*chain: bytes) -> None:
        credential = X509Credential(tuple(map(Certificate, chain)))
        leaf_validation.check_form(SUITE, ALICE.leaf(credential=credential, capabilities=able))

    check(own)
    check(own, other)
    with refused("5.3"):
        check()
    with refused("5.3"):
        check(other)
    with refused("5.3"):
        check(other, own)
    with pytest.raises(errors.Malformed, match="no certificate"):
        check(b"no certificate")
