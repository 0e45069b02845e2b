from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from conversation.world import Chat, World, seeded, sender
from tacit import errors
from tacit.conversation.content import Content, Kind, TextBody, Unknown, franking_tag, pad
from tacit.conversation.sealing import Epoch, Sealed, make_content, open_message, seal
from tacit.crypto.kdf import hkdf_sha256
from tacit.signed.message import Message, aad_bytes, message_hash, sign_message, verify_message
from tacit.signed.profiles import Profile
from tacit.signed.verify import Verified
from tacit.wire import limits
from tacit.wire.codec import encode

WORLD = World("alice", "bob")
CHAT = Chat(WORLD, "alice", "bob")
CHAT.open("alice")
OTHER = Chat(WORLD, "alice", "bob", seed="other")
EPOCH = CHAT.epochs[0].epoch
ALICE = WORLD["alice"].device
RANDOM = seeded("sealing")


def contents() -> st.SearchStrategy[Content]:
    return st.builds(
        Content,
        st.integers(0, 0xFFFF),
        st.integers(0, (1 << 64) - 1),
        st.lists(st.binary(min_size=32, max_size=32), max_size=limits.SEEN_HASHES).map(tuple),
        st.binary(max_size=100),
        st.binary(min_size=32, max_size=32),
        st.binary(max_size=3000),
    )


def sealed(body: str = "hello", epoch: Epoch = EPOCH, counter: int = 0, client_id: str = "m") -> Sealed:
    content = make_content(TextBody(body), sent_at=5, random=RANDOM)
    return seal(epoch, sender(ALICE), content, counter=counter, client_message_id=client_id, random=RANDOM)


def signed(message: Message) -> Verified[Message]:
    """Any message as alice's device signed it."""
    signature = sign_message(message, ALICE.request.sign)
    return verify_message(message, signature, ALICE.request.public, Profile.STANDARD)


def verified(made: Sealed) -> Verified[Message]:
    return verify_message(made.message, made.signature, ALICE.request.public, Profile.STANDARD)


@given(contents(), st.integers(0, (1 << 64) - 1), st.text("äb☃\x00", min_size=1, max_size=60))
def test_any_content_comes_back_as_it_was(content: Content, counter: int, client_id: str) -> None:
    made = seal(EPOCH, sender(ALICE), content, counter=counter, client_message_id=client_id, random=RANDOM)
    assert open_message(verified(made), EPOCH) == content
    assert made.message_hash == message_hash(made.message)
    assert made.message.aad.client_message_id == client_id


def test_a_sealed_message_has_the_bytes_of_the_specification() -> None:
    made = sealed("hi", counter=7)
    aad = made.message.aad
    assert (aad.record_hash, aad.key_id, aad.epoch) == (CHAT.epochs[0].state.head_hash, EPOCH.record.key_id, 1)
    context = b"\x40\x40" + ALICE.device_id.encode() + b"instance-of-16-b" + (7).to_bytes(8, "big")
    info = bytes([19]) + b"tacit/1 message key" + b"\x40" + bytes([len(context)]) + context
    key = hkdf_sha256(CHAT.epochs[0].key.secret, info).reveal()
    padded = AESGCM(key).decrypt(made.message.iv, made.message.ciphertext, aad_bytes(aad))
    content = open_message(verified(made), EPOCH)
    assert padded == pad(encode(content))
    assert aad.franking_tag == franking_tag(encode(content), content.franking_key)


def test_iv_and_franking_key_are_fresh_each_time() -> None:
    first, second = sealed(), sealed()
    assert first.message.iv != second.message.iv
    keys = {open_message(verified(each), EPOCH).franking_key for each in (first, second)}
    assert len(keys) == 2


def test_messages_of_like_length_have_ciphertexts_of_one_length() -> None:
    assert len({len(sealed("x" * size).message.ciphertext) for size in range(1000, 1015)}) == 1


def test_make_content_keeps_what_it_is_given() -> None:
    content = make_content(Unknown(77, b"raw"), sent_at=9, seen=(b"s" * 32,), checkpoint=b"c", random=seeded("fk"))
    assert content == Content(77, 9, (b"s" * 32,), b"c", seeded("fk")(32), b"raw")
    assert make_content(TextBody("t"), sent_at=9, random=RANDOM).kind == Kind.TEXT


def test_a_content_that_is_too_large_is_refused_while_sealing() -> None:
    with pytest.raises(errors.TooLarge):
        sealed("x" * (limits.CONTENT_BYTES - 50))


def test_an_epoch_takes_only_the_key_that_its_record_names() -> None:
    with pytest.raises(errors.KeyIdMismatch):
        Epoch(CHAT.epochs[0].record, CHAT.epochs[1].key)


def flipped_aad(message: Message, name: str) -> Message:
    value = getattr(message.aad, name)
    other: Any
    if isinstance(value, int):
        other = value ^ 1
    elif isinstance(value, str):
        other = value[:-1] + chr(ord(value[-1]) ^ 1)
    else:
        other = value[:-1] + bytes([value[-1] ^ 1])
    return dataclasses.replace(message, aad=dataclasses.replace(message.aad, **{name: other}))


def flipped(data: bytes, bit: int) -> bytes:
    out = bytearray(data)
    out[bit // 8] ^= 1 << bit % 8
    return bytes(out)


@pytest.mark.parametrize("name", sorted(sealed().message.aad.__dataclass_fields__))
def test_a_changed_field_breaks_the_signature_and_the_opening(name: str) -> None:
    made = sealed()
    changed = flipped_aad(made.message, name)
    assert changed != made.message
    with pytest.raises(errors.BadSignature):
        verify_message(changed, made.signature, ALICE.request.public, Profile.STANDARD)
    # Signed anew by the same device it still does not open: the ciphertext is bound to every field.
    with pytest.raises((errors.DecryptionError, errors.MessageTampered)):
        open_message(signed(changed), EPOCH)


@given(st.data())
def test_any_flipped_bit_of_iv_or_ciphertext_is_refused(data: st.DataObject) -> None:
    made = sealed()
    name = data.draw(st.sampled_from(["iv", "ciphertext"]))
    value = getattr(made.message, name)
    other: Any = flipped(value, data.draw(st.integers(0, 8 * len(value) - 1)))
    changed = dataclasses.replace(made.message, **{name: other})
    with pytest.raises(errors.BadSignature):
        verify_message(changed, made.signature, ALICE.request.public, Profile.STANDARD)
    with pytest.raises(errors.DecryptionError):
        open_message(signed(changed), EPOCH)


@given(st.integers(0, 64 * 8 - 1))
def test_any_flipped_bit_of_the_signature_is_refused(bit: int) -> None:
    made = sealed()
    with pytest.raises(errors.BadSignature):
        verify_message(made.message, flipped(made.signature, bit), ALICE.request.public, Profile.STANDARD)


@given(st.integers(0, 15))
def test_a_truncated_tag_is_refused(kept: int) -> None:
    made = sealed()
    body = made.message.ciphertext
    with pytest.raises(errors.DecryptionError):
        open_message(signed(dataclasses.replace(made.message, ciphertext=body[: len(body) - 16 + kept])), EPOCH)


def test_a_message_of_another_epoch_or_conversation_is_refused() -> None:
    for other in (CHAT.epochs[1].epoch, OTHER.epochs[0].epoch):
        with pytest.raises(errors.MessageTampered):
            open_message(verified(sealed()), other)
        with pytest.raises(errors.MessageTampered):
            open_message(verified(sealed(epoch=other)), EPOCH)


def test_a_ciphertext_moved_under_another_message_is_refused() -> None:
    first, second = sealed(counter=1), sealed(counter=2)
    moved = dataclasses.replace(second.message, iv=first.message.iv, ciphertext=first.message.ciphertext)
    with pytest.raises(errors.DecryptionError):
        open_message(signed(moved), EPOCH)


def test_a_ciphertext_moved_to_another_device_is_refused() -> None:
    bob = WORLD["bob"].device
    aad = dataclasses.replace(sealed().message.aad, user_id="bob", device_id=bob.device_id)
    stolen = dataclasses.replace(sealed().message, aad=aad)
    signature = sign_message(stolen, bob.request.sign)
    with pytest.raises(errors.DecryptionError):
        open_message(verify_message(stolen, signature, bob.request.public, Profile.STANDARD), EPOCH)


def forged(padded: bytes, tag: bytes | None = None) -> Verified[Message]:
    """What a malicious member with the epoch's key can make: any plaintext, well sealed and signed."""
    aad = dataclasses.replace(sealed(counter=3).message.aad, franking_tag=tag or bytes(32))
    key = EPOCH.message_key(aad.device_id, aad.instance_id, aad.counter).reveal()
    return signed(Message(aad, b"i" * 12, AESGCM(key).encrypt(b"i" * 12, padded, aad_bytes(aad))))


PLAIN = encode(make_content(TextBody("reported"), sent_at=1, random=seeded("plain")))
TAG = franking_tag(PLAIN, seeded("plain")(32))


def test_a_random_franking_tag_is_refused_before_anything_is_shown() -> None:
    assert open_message(forged(pad(PLAIN), TAG), EPOCH).kind == Kind.TEXT
    with pytest.raises(errors.MessageTampered, match="franking"):
        open_message(forged(pad(PLAIN), b"r" * 32), EPOCH)


def test_a_franking_tag_over_the_padded_content_is_refused() -> None:
    with pytest.raises(errors.MessageTampered, match="franking"):
        open_message(forged(pad(PLAIN), franking_tag(pad(PLAIN), seeded("plain")(32))), EPOCH)


@pytest.mark.parametrize(
    "padded",
    [b"", b"\x00", pad(b"not a content"), pad(PLAIN) + b"\x01", pad(PLAIN + b"\x00"), pad(PLAIN[:-1])],
)
def test_what_decrypts_to_no_content_is_tampered_with(padded: bytes) -> None:
    with pytest.raises(errors.MessageTampered, match="cannot be read"):
        open_message(forged(padded, TAG), EPOCH)


def test_more_padding_than_needed_is_taken() -> None:
    assert open_message(forged(pad(PLAIN) + bytes(1000), TAG), EPOCH).kind == Kind.TEXT
