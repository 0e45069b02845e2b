"""Protected messages: what is bent in them is refused, and what a key was used for is gone."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mls.making import GROUP_ID, SUITE, Grove, client, draws, group_context
from tacit import errors
from tacit.crypto.secret import Secret
from tacit.mls import protection
from tacit.mls.commit import Commit
from tacit.mls.framing import (
    AnyContent,
    AnySender,
    ApplicationData,
    AuthenticatedContent,
    ContentType,
    External,
    FramedContent,
    Member,
    NewMemberCommit,
    NewMemberProposal,
    PrivateMessage,
    ProposalContent,
    PublicMessage,
    SenderData,
    WireFormat,
    from_wire,
    to_wire,
)
from tacit.mls.proposals import Remove
from tacit.mls.secret_tree import MessageKey, SecretTree, Window, new_secret_tree
from tacit.wire.codec import encode

ALICE = client("alice")
CONTEXT = group_context(Grove(2).tree)
MEMBERSHIP_KEY = Secret(bytes(32))
SENDER_DATA_SECRET = Secret(b"\1" * 32)
ME = Member(1)
REMOVE = ProposalContent(Remove(1))
COMMIT = Commit((), None)
HELLO = ApplicationData(b"hello")
PUBLIC, PRIVATE = WireFormat.PUBLIC_MESSAGE, WireFormat.PRIVATE_MESSAGE
ANYBODY: tuple[AnySender, ...] = (Member(1), External(0), NewMemberProposal(), NewMemberCommit())


def signed(form: WireFormat, body: AnyContent, sender: AnySender = ME, aad: bytes = b"aad") -> AuthenticatedContent:
    content = FramedContent(GROUP_ID, 1, sender, aad, body)
    signature = protection.signature(SUITE, ALICE.signer, form, content, CONTEXT)
    return AuthenticatedContent(form, content, signature, b"tag" if isinstance(body, Commit) else None)


def secrets() -> SecretTree:
    return new_secret_tree(2, Secret(b"\2" * 32))


def refused(section: str) -> Any:
    return pytest.raises(errors.InvalidGroupMessage, match=f"§{section}: ")


# --- signatures --------------------------------------------------------------------------


@pytest.mark.parametrize("sender", ANYBODY)
def test_content_is_verified_with_its_senders_key(sender: AnySender) -> None:
    message = signed(PUBLIC, REMOVE, sender)
    assert protection.Unverified(message).verified(SUITE, ALICE.signer.public, CONTEXT) is message
    with pytest.raises(errors.BadSignature):
        protection.Unverified(message).verified(SUITE, client("bob").signer.public, CONTEXT)
    for changes in ({"signature": bytes(64)}, {"wire_format": PRIVATE}):
        bent = dataclasses.replace(message, **changes)
        with pytest.raises(errors.BadSignature):
            protection.Unverified(bent).verified(SUITE, ALICE.signer.public, CONTEXT)
    for changed in ({"epoch": 2}, {"authenticated_data": b""}, {"group_id": b""}):
        content = dataclasses.replace(message.content, **changed)
        with pytest.raises(errors.BadSignature):
            protection.Unverified(dataclasses.replace(message, content=content)).verified(
                SUITE, ALICE.signer.public, CONTEXT
            )


def test_a_member_signs_its_groups_context() -> None:
    other = dataclasses.replace(CONTEXT, tree_hash=bytes(32))
    for sender in (Member(1), NewMemberCommit()):
        with pytest.raises(errors.BadSignature):
            protection.Unverified(signed(PUBLIC, REMOVE, sender)).verified(SUITE, ALICE.signer.public, other)
        with pytest.raises(errors.InvalidArgument, match="holds the group's context"):
            protection.Unverified(signed(PUBLIC, REMOVE, sender)).verified(SUITE, ALICE.signer.public, None)
    for outside in (External(0), NewMemberProposal()):
        protection.Unverified(signed(PUBLIC, REMOVE, outside)).verified(SUITE, ALICE.signer.public, None)


# --- PublicMessage -----------------------------------------------------------------------


@pytest.mark.parametrize("body", [REMOVE, COMMIT])
@pytest.mark.parametrize("sender", ANYBODY)
def test_a_public_message_comes_back(sender: AnySender, body: AnyContent) -> None:
    message = signed(PUBLIC, body, sender)
    sent = protection.public_message(SUITE, MEMBERSHIP_KEY, message, CONTEXT)
    assert (sent.membership_tag is not None) == isinstance(sender, Member)
    received = from_wire(to_wire(sent))
    assert isinstance(received, PublicMessage)
    opened = protection.open_public(SUITE, MEMBERSHIP_KEY, received, CONTEXT)
    assert opened.verified(SUITE, ALICE.signer.public, CONTEXT) == message


def test_a_members_message_has_a_tag_that_only_members_make() -> None:
    sent = protection.public_message(SUITE, MEMBERSHIP_KEY, signed(PUBLIC, COMMIT), CONTEXT)
    with refused("6.2"):
        protection.open_public(SUITE, Secret(b"\1" * 32), sent, CONTEXT)
    for changes in (
        {"membership_tag": bytes(32)},
        {"membership_tag": b""},
        {"confirmation_tag": b"other"},
        {"signature": bytes(64)},
    ):
        with refused("6.2"):
            protection.open_public(SUITE, MEMBERSHIP_KEY, dataclasses.replace(sent, **changes), CONTEXT)  # type: ignore[arg-type]


def test_an_application_message_is_never_in_the_clear() -> None:
    sent = protection.public_message(SUITE, MEMBERSHIP_KEY, signed(PUBLIC, HELLO), CONTEXT)
    with refused("6"):
        protection.open_public(SUITE, MEMBERSHIP_KEY, sent, CONTEXT)


# --- PrivateMessage ----------------------------------------------------------------------


def sent(message: AuthenticatedContent, padding: int = 0, tree: SecretTree | None = None) -> PrivateMessage:
    return protection.private_message(
        SUITE, tree or secrets(), SENDER_DATA_SECRET, message, lambda length: padding, draws("guard")
    )[1]


def opened(message: PrivateMessage, tree: SecretTree | None = None) -> protection.Opened:
    return protection.open_private(SUITE, tree or secrets(), SENDER_DATA_SECRET, message, Window())


@pytest.mark.parametrize("body", [REMOVE, COMMIT, HELLO])
@given(padding=st.integers(0, 300), aad=st.binary(max_size=100))
def test_a_private_message_comes_back(body: AnyContent, padding: int, aad: bytes) -> None:
    message = signed(PRIVATE, body, aad=aad)
    received = from_wire(to_wire(sent(message, padding)))
    assert isinstance(received, PrivateMessage)
    found = opened(received)
    found.content.verify(SUITE, ALICE.signer.public, CONTEXT)
    assert found.content.claimed() == message
    with pytest.raises(errors.KeyConsumed):
        opened(received, found.tree)


def test_encrypted_content_is_verified_with_its_senders_key_for_its_epoch() -> None:
    found = opened(sent(signed(PRIVATE, HELLO))).content
    other = dataclasses.replace(CONTEXT, tree_hash=bytes(32))
    for key, context in ((client("bob").signer.public, CONTEXT), (ALICE.signer.public, other)):
        with pytest.raises(errors.BadSignature):
            found.verify(SUITE, key, context)
    for bent in (
        dataclasses.replace(found, encoded=b"\x05jello"),
        dataclasses.replace(found, leaf_index=0),
        dataclasses.replace(found, signature=bytes(64)),
        dataclasses.replace(found, message=dataclasses.replace(found.message, authenticated_data=b"other")),
        dataclasses.replace(found, message=dataclasses.replace(found.message, content_type=ContentType.PROPOSAL)),
    ):
        with pytest.raises(errors.BadSignature):
            bent.verify(SUITE, ALICE.signer.public, CONTEXT)


def test_padding_is_asked_for_the_contents_length() -> None:
    asked: list[int] = []

    def padding(length: int) -> int:
        asked.append(length)
        return -length % 128

    _, message = protection.private_message(
        SUITE, secrets(), SENDER_DATA_SECRET, signed(PRIVATE, HELLO), padding, draws("guard")
    )
    assert asked == [1 + 5 + 2 + 64]
    assert len(message.ciphertext) == 128 + 16


def test_who_sent_and_what_is_hidden() -> None:
    message = sent(signed(PRIVATE, HELLO))
    assert b"hello" not in encode(message)
    data = protection.sender_data(SUITE, SENDER_DATA_SECRET, message)
    assert (data.leaf_index, data.generation) == (1, 0)
    assert data.reuse_guard == draws("guard")(4)


def test_each_message_has_its_own_key_and_guard() -> None:
    tree, random, seen = secrets(), draws("guard"), set()
    for generation in range(3):
        for body, chain in ((HELLO, "application"), (REMOVE, "handshake")):
            tree, message = protection.private_message(
                SUITE, tree, SENDER_DATA_SECRET, signed(PRIVATE, body), lambda length: 0, random
            )
            data = protection.sender_data(SUITE, SENDER_DATA_SECRET, message)
            assert data.generation == generation
            seen.add((chain, data.generation, data.reuse_guard))
    assert len({guard for *_, guard in seen}) == 6


def test_the_guard_changes_the_nonces_first_four_bytes() -> None:
    key = MessageKey(0, Secret(bytes(16)), Secret(bytes(range(12))))
    assert protection._guarded(key, b"\0\0\0\0") == bytes(range(12))
    assert protection._guarded(key, b"\xff\0\0\1").hex() == "ff010202" + bytes(range(4, 12)).hex()


BENDS: dict[str, Any] = {
    "group_id": b"another",
    "epoch": 2,
    "content_type": ContentType.PROPOSAL,
    "authenticated_data": b"other",
    "encrypted_sender_data": bytes(28),
    "ciphertext": bytes(100),
}


@pytest.mark.parametrize("field", BENDS)
def test_a_bent_private_message_does_not_open(field: str) -> None:
    message = sent(signed(PRIVATE, HELLO))
    with pytest.raises(errors.DecryptionError):
        opened(dataclasses.replace(message, **{field: BENDS[field]}))


def test_another_secret_opens_nothing() -> None:
    message = sent(signed(PRIVATE, HELLO))
    with pytest.raises(errors.DecryptionError):
        protection.open_private(SUITE, secrets(), MEMBERSHIP_KEY, message, Window())
    with pytest.raises(errors.DecryptionError):
        opened(message, new_secret_tree(2, Secret(bytes(32))))


def sealed(plaintext: bytes, content_type: ContentType = ContentType.APPLICATION, data: bytes | None = None) -> Any:
    """A private message with any plaintext in it, and any sender data."""
    handshake = content_type is not ContentType.APPLICATION
    _, key = secrets().next(SUITE, 1, handshake)
    shell = PrivateMessage(GROUP_ID, 1, content_type, b"", b"", b"")
    ciphertext = SUITE.seal(key.key, protection._guarded(key, bytes(4)), plaintext, shell.content_aad())
    data_key, data_nonce = protection.sender_data_key(SUITE, SENDER_DATA_SECRET, ciphertext)
    inner = encode(SenderData(1, 0, bytes(4))) if data is None else data
    return dataclasses.replace(
        shell,
        ciphertext=ciphertext,
        encrypted_sender_data=SUITE.seal(data_key, data_nonce, inner, shell.sender_data_aad()),
    )


def test_padding_is_zero() -> None:
    content = encode(HELLO) + b"\x04sign"
    assert opened(sealed(content + bytes(9))).content.body == HELLO
    for padding in (b"\1", bytes(8) + b"\1", b"\1" + bytes(8)):
        with refused("6.3.1"):
            opened(sealed(content + padding))


@pytest.mark.parametrize("plaintext", [b"", b"\x05hell", encode(HELLO), encode(HELLO) + b"\x05sign"])
def test_content_that_ends_early_is_malformed(plaintext: bytes) -> None:
    with pytest.raises(errors.Malformed):
        opened(sealed(plaintext))


def test_a_commit_without_its_tag_is_malformed() -> None:
    plaintext = encode(COMMIT) + b"\x04sign"
    assert opened(sealed(plaintext + b"\x03tag", ContentType.COMMIT)).content.confirmation_tag == b"tag"
    with pytest.raises(errors.Malformed):
        opened(sealed(plaintext, ContentType.COMMIT))


def test_sender_data_is_exactly_its_struct() -> None:
    sound, content = encode(SenderData(1, 0, bytes(4))), encode(HELLO) + b"\x04sign"
    assert opened(sealed(content, data=sound)).content.leaf_index == 1
    for data in (sound[:-1], sound + b"\0", b""):
        with pytest.raises(errors.Malformed):
            opened(sealed(content, data=data))


def test_a_sender_outside_of_the_tree_has_no_key() -> None:
    with pytest.raises(errors.KeyConsumed, match="no leaf 2"):
        opened(sealed(encode(HELLO) + b"\x04sign", data=encode(SenderData(2, 0, bytes(4)))))
