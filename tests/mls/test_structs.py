"""Structs that only hold something: their bytes, their sizes, and what of them is signed or hidden."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from mls.making import GROUP_ID, LIFETIME, Grove, client, group_context
from tacit import errors
from tacit.mls import limits
from tacit.mls.commit import Ciphertexts, Commit, UpdatePath, UpdatePathNode
from tacit.mls.credential import BasicCredential, Certificate, CustomCredential, X509Credential
from tacit.mls.extensions import Extension
from tacit.mls.key_package import LAST_RESORT, KeyPackage
from tacit.mls.leaf_node import Capabilities, Committed, LeafNode, Lifetime, Updated
from tacit.mls.nodes import ParentNode, RatchetTree
from tacit.mls.proposals import (
    TYPES,
    Add,
    ByReference,
    ByValue,
    CustomProposal,
    ExternalInit,
    GroupContextExtensions,
    PreSharedKey,
    ReInit,
    Remove,
    Update,
    type_of,
)
from tacit.mls.psk import ExternalPsk, PreSharedKeyID
from tacit.mls.signed_part import without_signature
from tacit.mls.suites import HPKECiphertext
from tacit.mls.welcome import EncryptedGroupSecrets, GroupInfo, GroupSecrets, PathSecret, Welcome
from tacit.wire.codec import decode, encode

ALICE = client("alice")
LEAF = ALICE.leaf()
PACKAGE = ALICE.package()
PSK = PreSharedKeyID(ExternalPsk(b"id"), b"nonce")


def hexed(raw: str) -> bytes:
    return bytes.fromhex(raw)


def vector(data: bytes) -> str:
    assert len(data) < 1 << 14
    return (bytes((len(data),)) if len(data) < 64 else (len(data) | 0x4000).to_bytes(2, "big")).hex() + data.hex()


# --- credentials and proposals -----------------------------------------------------------


@pytest.mark.parametrize(
    ("credential", "raw"),
    [
        (BasicCredential(b"id"), "0001 02 6964"),
        (X509Credential((Certificate(b"end"), Certificate(b"root"))), "0002 09 03656e64 04726f6f74"),
        (CustomCredential(0x0A0A, b"data"), "0a0a 04 64617461"),
    ],
)
def test_a_credential_begins_with_its_type(credential: Any, raw: str) -> None:
    leaf = dataclasses.replace(LEAF, credential=credential)
    assert f"{vector(LEAF.signature_key)}{hexed(raw).hex()}" in encode(leaf).hex()
    found = decode(LeafNode, encode(leaf)).credential
    assert found == credential
    assert found.credential_type == int(raw[:4], 16)


PROPOSALS: list[tuple[Any, str]] = [
    (Add(PACKAGE), "0001" + encode(PACKAGE).hex()),
    (Update(LEAF), "0002" + encode(LEAF).hex()),
    (Remove(258), "0003 00000102"),
    (PreSharedKey(PSK), "0004 01 026964 056e6f6e6365"),
    (ReInit(b"id", 1, 2, (Extension(3, b""),)), "0005 026964 0001 0002 03 0003 00"),
    (ExternalInit(b"kem"), "0006 036b656d"),
    (GroupContextExtensions(()), "0007 00"),
    (CustomProposal(0xF000, b"data"), "f000 0464617461"),
]


@pytest.mark.parametrize(("proposal", "raw"), PROPOSALS)
def test_a_proposal_begins_with_its_type(proposal: Any, raw: str) -> None:
    expected = b"\1" + hexed(raw)
    assert encode(ByValue(proposal)) == expected[1:]
    commit = Commit((ByValue(proposal), ByReference(b"ref")), None)
    assert encode(commit).endswith(expected + b"\2\3ref" + b"\0")
    assert decode(Commit, encode(commit)) == commit
    assert type_of(proposal) == int(raw[:4], 16)


def test_every_proposal_has_a_case_here() -> None:
    assert {type(proposal) for proposal, _ in PROPOSALS} == {*TYPES, CustomProposal}


# --- leaves, key packages, group infos ---------------------------------------------------

SOURCES: list[tuple[Any, str]] = [
    (Lifetime(1, 2), "01 0000000000000001 0000000000000002"),
    (Updated(), "02"),
    (Committed(b"hash"), "03 0468617368"),
]


@pytest.mark.parametrize(("source", "raw"), SOURCES)
def test_a_leaf_is_its_fields_in_order(source: Any, raw: str) -> None:
    leaf = LeafNode(
        b"enc", b"sig", BasicCredential(b"id"), Capabilities((1,), (2,), (3,), (4,), (5,)), source, (), b"signature"
    )
    body = f"03656e63 03736967 0001 026964 02 0001 02 0002 02 0003 02 0004 02 0005 {raw} 00"
    assert encode(leaf) == hexed(body) + b"\x09signature"
    assert decode(LeafNode, encode(leaf)) == leaf
    placed = b"" if isinstance(source, Lifetime) else b"\7a group" + b"\0\0\1\2"
    assert leaf.to_be_signed(GROUP_ID, 258) == hexed(body) + placed


@pytest.mark.parametrize("number", [0, 4, 255])
def test_a_leaf_of_an_unknown_source_is_refused(number: int) -> None:
    sound = encode(LEAF)
    marker = b"\1" + LIFETIME.not_before.to_bytes(8, "big")
    assert sound.count(marker) == 1
    with pytest.raises(errors.UnknownVersion, match=f"case {number}"):
        decode(LeafNode, sound.replace(marker, bytes((number,)) + marker[1:]))


def test_what_is_signed_of_a_key_package_is_all_but_the_signature() -> None:
    body = f"0001 0001 {vector(PACKAGE.init_key)} {encode(LEAF).hex()} 00"
    assert PACKAGE.to_be_signed() == hexed(body)
    assert encode(PACKAGE) == hexed(body + vector(PACKAGE.signature))
    assert decode(KeyPackage, encode(PACKAGE)) == PACKAGE


def test_a_key_package_of_last_resort_says_so() -> None:
    assert not PACKAGE.is_last_resort
    other, marked = Extension(LAST_RESORT + 1, b""), Extension(LAST_RESORT, b"")
    assert not dataclasses.replace(PACKAGE, extensions=(other,)).is_last_resort
    assert dataclasses.replace(PACKAGE, extensions=(other, marked)).is_last_resort


def test_what_is_signed_of_a_group_info_is_all_but_the_signature() -> None:
    context = group_context(Grove(1).tree)
    info = GroupInfo(context, (Extension(9, b""),), b"tag", 5, b"signature")
    assert info.to_be_signed() == encode(context) + hexed("03 0009 00 03746167 00000005")
    assert encode(info) == info.to_be_signed() + b"\x09signature"


@pytest.mark.parametrize("size", [0, 1, 63, 64, 300])
def test_a_signature_of_any_size_is_left_out(size: int) -> None:
    assert without_signature(dataclasses.replace(PACKAGE, signature=bytes(size))) == PACKAGE.to_be_signed()


def test_a_context_is_its_fields_in_order() -> None:
    context = group_context(Grove(1).tree, 258, (Extension(9, b"x"),))
    expected = (
        f"0001 0001 {vector(GROUP_ID)} 0000000000000102 {vector(context.tree_hash)} {vector(bytes(32))} 04 0009 0178"
    )
    assert encode(context) == hexed(expected)


# --- trees, paths, welcomes --------------------------------------------------------------


def test_a_tree_is_an_array_of_optional_nodes() -> None:
    parent = ParentNode(b"key", b"hash", (1, 258))
    tree = RatchetTree((LEAF, parent, None, None))
    inner = f"01 01 {encode(LEAF).hex()} 01 02 036b6579 0468617368 08 00000001 00000102 00 00"
    assert encode(tree) == hexed(vector(hexed(inner)))
    assert decode(RatchetTree, encode(tree)) == tree
    with pytest.raises(errors.UnknownVersion, match="case 3"):
        decode(RatchetTree, hexed("03 01 03 00"))
    with pytest.raises(errors.Malformed, match="presence"):
        decode(RatchetTree, hexed("01 02"))


def test_a_path_is_a_leaf_and_its_nodes() -> None:
    node = UpdatePathNode(b"key", Ciphertexts.of((HPKECiphertext(b"kem", b"text"),)))
    commit = Commit((), UpdatePath(LEAF, (node,)))
    expected = f"00 01 {encode(LEAF).hex()} 0e 036b6579 09 036b656d 0474657874"
    assert encode(commit) == hexed(expected)
    assert decode(Commit, encode(commit)) == commit


def test_a_welcome_is_its_fields_in_order() -> None:
    welcome = Welcome(1, (EncryptedGroupSecrets(b"ref", HPKECiphertext(b"kem", b"text")),), b"info")
    assert encode(welcome) == hexed("0001 0d 03726566 036b656d 0474657874 04696e666f")


def test_a_joiners_secrets_are_not_shown() -> None:
    secrets = GroupSecrets(b"\xaa" * 32, PathSecret(b"\xbb" * 32), (PSK,))
    assert encode(secrets) == hexed("20" + "aa" * 32 + "01 20" + "bb" * 32 + "0a 01 026964 056e6f6e6365")
    assert decode(GroupSecrets, encode(secrets)) == secrets
    assert (repr(secrets), repr(secrets.path_secret)) == ("GroupSecrets(...)", "PathSecret(...)")


# --- sizes -------------------------------------------------------------------------------

LIMITS: list[tuple[Any, str, Any, int]] = [
    (LEAF, "encryption_key", b"x", limits.KEY_BYTES),
    (LEAF, "signature", b"x", limits.SIGNATURE_BYTES),
    (LEAF, "extensions", (Extension(1, b""),), limits.EXTENSIONS),
    (LEAF.capabilities, "versions", (1,), limits.CAPABILITIES),
    (LEAF.credential, "identity", b"x", limits.CREDENTIAL_BYTES),
    (X509Credential(()), "certificates", (Certificate(b""),), limits.CERTIFICATES),
    (group_context(Grove(1).tree), "group_id", b"x", limits.GROUP_ID_BYTES),
    (GroupSecrets(b"", None, ()), "joiner_secret", b"x", limits.SECRET_BYTES),
    (GroupSecrets(b"", None, ()), "psks", (PSK,), limits.PSKS),
    (Commit((), None), "proposals", (ByReference(b""),), limits.PROPOSALS),
    (ParentNode(b"", b"", ()), "unmerged_leaves", (1,), limits.LEAVES),
    (UpdatePath(LEAF, ()), "nodes", (UpdatePathNode(b"", Ciphertexts.of(())),), limits.PATH),
    (RatchetTree(()), "nodes", (None,), limits.NODES),
]


@pytest.mark.parametrize(("value", "field", "unit", "most"), LIMITS)
def test_a_field_has_at_most_its_size(value: Any, field: str, unit: Any, most: int) -> None:
    sound = dataclasses.replace(value, **{field: unit * most})
    assert decode(type(value), encode(sound), limits.MESSAGE_BYTES) == sound
    with pytest.raises(errors.TooLarge):
        encode(dataclasses.replace(value, **{field: unit * (most + 1)}))


def test_the_limits_hold_a_whole_group() -> None:
    assert limits.NODES == 2 * limits.LEAVES - 1
    assert 1 << limits.PATH > limits.LEAVES
    assert limits.PROPOSALS >= limits.LEAVES
    assert limits.MESSAGE_BYTES > limits.CONTENT_BYTES > limits.EXTENSION_BYTES
