"""Framing: what is signed, what is MACed, and fields whose presence hangs on others."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mls.making import GROUP_ID, SUITE, Grove, client, group_context
from tacit import errors
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
    MLSMessage,
    NewMemberCommit,
    NewMemberProposal,
    PrivateMessage,
    ProposalContent,
    PublicMessage,
    WireFormat,
    from_wire,
    members_to_be_signed,
    private_to_wire,
    to_wire,
    where,
)
from tacit.mls.proposals import Remove
from tacit.mls.suites import vector
from tacit.wire.codec import decode, encode

CONTEXT = group_context(Grove(1).tree)
ME = Member(1)
REMOVE = ProposalContent(Remove(1))
COMMIT = Commit((), None)
HELLO = ApplicationData(b"hello")


def framed(body: AnyContent, sender: AnySender = ME) -> FramedContent:
    return FramedContent(b"id", 7, sender, b"ad", body)


SENDERS: dict[AnySender, str] = {
    Member(1): "01 00000001",
    External(2): "02 00000002",
    NewMemberProposal(): "03",
    NewMemberCommit(): "04",
}
BODIES: dict[AnyContent, tuple[ContentType, str]] = {
    HELLO: (ContentType.APPLICATION, "01 05 68656c6c6f"),
    REMOVE: (ContentType.PROPOSAL, "02 0003 00000001"),
    COMMIT: (ContentType.COMMIT, "03 00 00"),
}


@pytest.mark.parametrize("sender", SENDERS)
@pytest.mark.parametrize("body", BODIES)
def test_content_is_its_fields_in_order(sender: AnySender, body: AnyContent) -> None:
    content = framed(body, sender)
    content_type, raw = BODIES[body]
    expected = bytes.fromhex(f"02 6964 0000000000000007 {SENDERS[sender]} 02 6164 {raw}")
    assert encode(content) == expected
    assert decode(FramedContent, expected) == content
    assert content.content_type is content_type


@pytest.mark.parametrize("number", [0, 5, 255])
def test_an_unknown_sender_or_content_is_refused(number: int) -> None:
    sound = encode(framed(HELLO))
    at = len(sound) - 7
    assert sound[at] == 1
    with pytest.raises(errors.UnknownVersion, match=f"case {number}"):
        decode(FramedContent, sound[:at] + bytes((number,)) + sound[at + 1 :])
    assert sound[11] == 1
    with pytest.raises(errors.UnknownVersion, match=f"case {number}"):
        decode(FramedContent, sound[:11] + bytes((number,)) + sound[12:])


@pytest.mark.parametrize("sender", SENDERS)
def test_what_is_signed_holds_the_context_of_members_and_who_joins_by_a_commit(sender: AnySender) -> None:
    """FramedContentTBS (§6.1)."""
    content = framed(REMOVE, sender)
    prefix = b"\0\1" + b"\0\2" + encode(content)
    expected = prefix + (encode(CONTEXT) if isinstance(sender, Member | NewMemberCommit) else b"")
    assert content.to_be_signed(WireFormat.PRIVATE_MESSAGE, CONTEXT) == expected
    if expected != prefix:
        with pytest.raises(errors.InvalidArgument, match="the group's context"):
            content.to_be_signed(WireFormat.PRIVATE_MESSAGE, None)


def authenticated(body: AnyContent, tag: bytes | None) -> AuthenticatedContent:
    return AuthenticatedContent(WireFormat.PRIVATE_MESSAGE, framed(body), b"sign", tag)


@pytest.mark.parametrize(("body", "tag"), [(HELLO, None), (REMOVE, None), (COMMIT, b"tag"), (COMMIT, b"")])
def test_a_commit_has_a_confirmation_tag_and_nothing_else_has(body: AnyContent, tag: bytes | None) -> None:
    message = authenticated(body, tag)
    raw = b"\0\2" + encode(message.content) + b"\4sign" + (b"" if tag is None else bytes((len(tag),)) + tag)
    assert encode(message) == raw
    assert decode(AuthenticatedContent, raw) == message
    assert message.auth_data() == raw[2 + len(encode(message.content)) :]
    assert message.confirmed_transcript_input() == raw[: len(raw) - (0 if tag is None else 1 + len(tag))]
    assert message.reference(SUITE) == SUITE.ref_hash("MLS 1.0 Proposal Reference", raw)
    with pytest.raises(errors.InvalidArgument, match="a commit has a confirmation tag"):
        encode(authenticated(body, b"tag" if tag is None else None))


def test_content_is_authenticated_in_the_two_forms_in_which_it_travels() -> None:
    raw = encode(authenticated(HELLO, None))
    for number in (1, 2):
        assert decode(AuthenticatedContent, number.to_bytes(2, "big") + raw[2:]).wire_format == number
    for number in (0, 3, 4, 5, 6):
        with pytest.raises(errors.Malformed, match="no content travels"):
            decode(AuthenticatedContent, number.to_bytes(2, "big") + raw[2:])


@pytest.mark.parametrize("sender", SENDERS)
@pytest.mark.parametrize("body", BODIES)
def test_a_members_public_message_has_a_membership_tag_and_no_other_has(sender: AnySender, body: AnyContent) -> None:
    tag = b"tag" if isinstance(body, Commit) else None
    member = b"member" if isinstance(sender, Member) else None
    message = PublicMessage(framed(body, sender), b"sign", tag, member)
    raw = encode(message)
    end = b"\4sign" + (b"\3tag" if tag else b"") + (b"\6member" if member else b"")
    assert raw == encode(message.content) + end
    assert decode(PublicMessage, raw) == message
    assert message.authenticated() == AuthenticatedContent(WireFormat.PUBLIC_MESSAGE, message.content, b"sign", tag)
    other = dataclasses.replace(message, membership_tag=None if member else b"member")
    with pytest.raises(errors.InvalidArgument, match="a membership tag"):
        encode(other)


def test_what_is_authenticated_beside_a_ciphertext() -> None:
    """SenderDataAAD and PrivateContentAAD (§6.3)."""
    message = PrivateMessage(b"id", 7, ContentType.COMMIT, b"ad", b"sender", b"content")
    assert message.sender_data_aad().hex() == "026964000000000000000703"
    assert message.content_aad().hex() == "026964000000000000000703026164"


@given(
    group_id=st.binary(max_size=100),
    aad=st.binary(max_size=100),
    data=st.binary(max_size=100) | st.integers(0, 1 << 15).map(bytes),
    epoch=st.integers(0, 2**64 - 1),
    leaf=st.integers(0, 2**32 - 1),
    kind=st.sampled_from(ContentType),
)
def test_what_is_put_together_as_bytes_is_what_the_structs_are(
    group_id: bytes, aad: bytes, data: bytes, epoch: int, leaf: int, kind: ContentType
) -> None:
    context = dataclasses.replace(CONTEXT, group_id=group_id, epoch=epoch)
    content = FramedContent(group_id, epoch, Member(leaf), aad, ApplicationData(data))
    signed = members_to_be_signed(where(group_id, epoch), leaf, aad, b"\1" + vector(data), context)
    assert signed == content.to_be_signed(WireFormat.PRIVATE_MESSAGE, context)
    message = PrivateMessage(group_id, epoch, kind, aad, b"sender", data)
    assert private_to_wire(message.content_aad(), b"sender", data) == to_wire(message)


# --- MLSMessage --------------------------------------------------------------------------

PACKAGE = client("alice").package()


def test_a_message_says_its_version_and_wire_format() -> None:
    raw = to_wire(PACKAGE)
    assert raw == b"\0\1" + b"\0\5" + encode(PACKAGE)
    assert from_wire(raw) == PACKAGE
    assert decode(MLSMessage, raw) == MLSMessage(1, PACKAGE)
    for version in (b"\0\0", b"\0\2", b"\1\1"):
        with pytest.raises(errors.UnknownVersion, match="MLS version"):
            from_wire(version + raw[2:])
    for number in (0, 6, 255):
        with pytest.raises(errors.UnknownVersion, match=f"case {number}"):
            from_wire(raw[:2] + number.to_bytes(2, "big") + raw[4:])
    with pytest.raises(errors.Malformed, match="left over"):
        from_wire(raw + b"\0")


def test_a_key_package_is_of_its_messages_version() -> None:
    other = dataclasses.replace(PACKAGE, version=2)
    assert from_wire(to_wire(PACKAGE)) == PACKAGE
    with pytest.raises(errors.InvalidGroupMessage, match="version"):
        from_wire(to_wire(other))


def test_a_message_may_be_larger_than_a_record() -> None:
    large = PrivateMessage(GROUP_ID, 1, ContentType.APPLICATION, b"", b"", bytes(5 << 20))
    received: Any = from_wire(to_wire(large))
    assert received == large
