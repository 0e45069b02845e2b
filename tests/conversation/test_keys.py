from __future__ import annotations

import dataclasses
import hashlib
import hmac

import pytest

from conversation.world import Chat, World, seeded
from tacit import errors
from tacit.conversation.keys import ConversationKey, finish_record, is_key_of, key_id_of
from tacit.crypto.secret import Secret
from tacit.signed.record import record_hash

KEY = ConversationKey(Secret(bytes(range(32))))


@pytest.fixture(scope="module")
def chat() -> Chat:
    return Chat(World("alice", "bob"), "alice", "bob")


def test_key_id_is_hkdf_over_the_record_without_key_id(chat: Chat) -> None:
    record = chat.epochs[0].record
    bare = record_hash(dataclasses.replace(record, key_id=b""))
    # RFC 5869 by hand: extract with an empty salt, expand one block; the info is {label<V>, {hash}<V>}.
    info = bytes([14]) + b"tacit/1 key id" + bytes([32]) + bare
    prk = hmac.new(bytes(32), bytes(range(32)), hashlib.sha256).digest()
    assert key_id_of(KEY, record) == hmac.new(prk, info + b"\x01", hashlib.sha256).digest()


def test_finished_record_commits_to_its_key_and_no_other(chat: Chat) -> None:
    record = finish_record(dataclasses.replace(chat.epochs[0].record, key_id=b""), KEY)
    assert is_key_of(KEY, record)
    assert not is_key_of(chat.epochs[0].key, record)
    assert finish_record(record, KEY) == record


def test_one_key_has_another_id_under_another_record(chat: Chat) -> None:
    record = chat.epochs[0].record
    assert key_id_of(KEY, record) != key_id_of(KEY, dataclasses.replace(record, created_at=record.created_at + 1))


def test_generate_takes_32_bytes_of_the_given_randomness() -> None:
    assert ConversationKey.generate(seeded("x")).secret == Secret(seeded("x")(32))


@pytest.mark.parametrize("size", [0, 16, 31, 33])
def test_a_key_of_another_size_is_refused(size: int) -> None:
    with pytest.raises(errors.WrongLength):
        ConversationKey(Secret(bytes(size)))


def test_a_key_does_not_show_itself() -> None:
    assert KEY.secret.reveal().hex() not in repr(KEY)
    assert repr(KEY.secret.reveal()) not in repr(KEY)
