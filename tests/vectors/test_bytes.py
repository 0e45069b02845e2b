"""Texts, structs, hashes, derivations and what is sealed, by the code of tacit against the known answers."""

from __future__ import annotations

import hashlib
import importlib
import json
import pkgutil
from collections.abc import Callable
from typing import Any

import tacit
from tacit.client.keystore import _of_pair, _of_store
from tacit.conversation.content import Content, body_of, franking_tag, kind_and_bytes, pad, unpad
from tacit.conversation.keys import KeyIdContext
from tacit.conversation.sealing import MessageKeyContext
from tacit.crypto import sealed
from tacit.crypto.kdf import argon2id, hkdf_sha256, pbkdf2_sha256
from tacit.crypto.secret import Secret
from tacit.identity.unlockers import KdfBounds, password_bytes, password_secret, proof_of
from tacit.identity.vault import archive_key_id
from tacit.identity.words import from_words, to_words, wordlist
from tacit.signed import labels
from tacit.signed.account import AccountRecord, account_hash, aik_fingerprint, device_id_of
from tacit.signed.message import Message, message_hash
from tacit.signed.profiles import KeyAlgorithm
from tacit.signed.record import ConversationRecord, RosterList, conversation_id_of, record_hash, roster_hash
from tacit.signed.vault import (
    Boxes,
    Inner,
    OuterHeader,
    PasswordParameters,
    PasswordSalt,
    boxes_hash,
    entries_hash,
    header_hash,
    inner_hash,
    proof_hash,
)
from tacit.signed.verify import labelled, struct_hash
from tacit.wire import codec, encodings
from tacit.wire.codec import decode, encode
from tacit.wire.reader import Reader, write_varint
from tacit.wire.text import from_base64, from_hex, to_base64
from vectors.known import FOLDER, cases, judged, load, raw, struct_of

Case = dict[str, Any]


def structs() -> dict[str, type]:
    """Every struct of tacit's own formats by its name; two never share one.

    RFC 9420's are held by the official vectors, and what a group's records hold by the fixture of their version.
    """
    for module in pkgutil.walk_packages(tacit.__path__, "tacit."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    found = [
        cls
        for cls in codec._STRUCTS
        if cls.__module__.startswith("tacit.")
        and not cls.__module__.startswith("tacit.mls.")
        and not cls.__name__.startswith("_")
    ]
    assert len(found) == len({cls.__name__ for cls in found})
    return {cls.__name__: cls for cls in found}


STRUCTS = structs()


# --- texts ---------------------------------------------------------------------------------


@cases("texts", "base64")
def test_base64_has_one_text_for_one_value(case: Case) -> None:
    with judged(case):
        assert from_base64(case["text"]) == raw(case["bytes"])
    if case["valid"]:
        assert to_base64(raw(case["bytes"])) == case["text"]


@cases("texts", "hex")
def test_hex_is_lowercase_and_of_its_length(case: Case) -> None:
    with judged(case):
        assert from_hex(case["text"]) == raw(case["bytes"])


@cases("texts", "lengths")
def test_a_length_has_one_encoding(case: Case) -> None:
    with judged(case):
        reader = Reader(raw(case["encoded"]))
        assert reader.varint() == case["number"]
        assert reader.position == reader.end
    if case["valid"]:
        out = bytearray()
        write_varint(out, case["number"])
        assert out.hex() == case["encoded"]


# --- structs -------------------------------------------------------------------------------


@cases("structs", "structs")
def test_a_struct_is_encoded_field_by_field(case: Case) -> None:
    cls: Any = STRUCTS[case["struct"]]
    encoded = raw(case["encoded"])
    with judged(case):
        read = decode(cls, encoded)
    if case["valid"]:
        value = struct_of(cls, case["value"])
        assert read == value
        assert encode(value) == encoded


def test_every_struct_and_every_value_of_an_enum_has_a_case() -> None:
    valid = [case for case in load("structs")["structs"] if case["valid"]]
    covered = {case["struct"] for case in valid}
    assert covered == set(STRUCTS), (
        "write the struct out in tests/vectors/maker/tables.py, and run tests/vectors/make.py"
    )
    enums = {
        hint.__args__[0] if hasattr(hint, "__args__") else hint for cls in STRUCTS.values() for hint in _enum_hints(cls)
    }
    for enum in enums:
        assert {f"{enum.__name__} {member.value}" for member in enum} <= {case["comment"] for case in valid}


def _enum_hints(cls: type) -> list[Any]:
    import typing

    hints = typing.get_type_hints(cls, include_extras=True).values()
    return [
        typing.get_args(hint)[0]
        for hint in hints
        if any(isinstance(item, encodings.Enum) for item in typing.get_args(hint)[1:])
    ]


# --- labels --------------------------------------------------------------------------------


def test_every_label_has_a_case_and_no_case_has_another() -> None:
    ours = {value for name, value in vars(labels).items() if name.isupper() and name != "PREFIX"} - {labels.REQUEST_TAG}
    assert f'tag="{labels.REQUEST_TAG}"' in load("requests")["requests"][0]["base"]
    # Those that a signature alone is made under have their cases in whole records, whose tests would not open.
    signed = {
        "tacit/1 device possession",
        "tacit/1 account reset",
        "tacit/1 vault entry",
        "tacit/1 leave",
        "tacit/1 grant",
        "tacit/1 message",
    }
    wrapped = {"tacit/1 box", "tacit/1 grant wrap", "tacit/1 message aad"}
    named = {case["label"] for path in FOLDER.glob("*.json") for case in _labelled(json.loads(path.read_text()))}
    assert ours == named | signed | wrapped


def _labelled(content: Any) -> list[Case]:
    if isinstance(content, dict):
        own = [content] if "label" in content else []
        return own + [case for each in content.values() for case in _labelled(each)]
    if isinstance(content, list):
        return [case for each in content for case in _labelled(each)]
    return []


# --- hashes --------------------------------------------------------------------------------

HASHES: dict[str, Callable[[Case], bytes]] = {
    "tacit/1 aik fingerprint": lambda value: aik_fingerprint(value["profile"], raw(value["aik"])),
    "tacit/1 device id": lambda value: raw(device_id_of(value["user_id"], raw(value["request_key"]))),
    "tacit/1 account record": lambda value: account_hash(struct_of(AccountRecord, value)),
    "tacit/1 vault inner": lambda value: inner_hash(struct_of(Inner, value)),
    "tacit/1 vault boxes": lambda value: boxes_hash(struct_of(Boxes, value)),
    "tacit/1 vault outer header": lambda value: header_hash(struct_of(OuterHeader, value)),
    "tacit/1 vault outer entries": lambda value: entries_hash(raw(value["sealed_entries"])),
    "tacit/1 unlocker proof": lambda value: proof_hash(raw(value["proof"])),
    "tacit/1 encryption key": lambda value: encryption_key_place(value),
    "tacit/1 conversation id": lambda value: raw(conversation_id_of(value["user_id"], raw(value["genesis_random"]))),
    "tacit/1 conversation record": lambda value: record_hash(struct_of(ConversationRecord, value)),
    "tacit/1 roster": lambda value: hash_of_roster(struct_of(RosterList, value)),
    "tacit/1 message hash": lambda value: message_hash(struct_of(Message, value)),
    "tacit/1 password salt": lambda value: struct_hash(labels.PASSWORD_SALT, struct_of(PasswordSalt, value)),
}


def encryption_key_place(value: Case) -> bytes:
    """Where the vault keeps it."""
    from tacit.identity.vault import private_key_entry

    return private_key_entry(KeyAlgorithm(value["algorithm"]), raw(value["public_key"]), Secret(b"x")).key


def hash_of_roster(value: RosterList) -> bytes:
    """The hash of the roster, whatever order its members come in."""
    assert len(value.members) > 1
    return roster_hash({change.user_id: change for change in reversed(value.members)})


@cases("hashes", "hashes")
def test_what_is_hashed(case: Case) -> None:
    assert hashlib.sha256(raw(case["input"])).hexdigest() == case["hash"]
    assert HASHES[case["label"]](case["value"]).hex() == case["hash"]


# --- derivations ---------------------------------------------------------------------------


def derived(case: Case) -> bytes:
    """What the program derives where it has a function for it, else what it derives from."""
    key, value = Secret(raw(case["key"])), case["value"]
    if case["label"] == "tacit/1 auth":
        return proof_of(value["server_name"], value["user_id"], value["unlocker_id"], key).reveal()
    if case["label"] == "tacit/1 archive key id":
        return archive_key_id(key)
    label, cls = {
        "tacit/1 unlock": (labels.UNLOCK, STRUCTS["UnlockContext"]),
        "tacit/1 key id": (labels.KEY_ID, KeyIdContext),
        "tacit/1 message key": (labels.MESSAGE_KEY, MessageKeyContext),
    }[case["label"]]
    info = labelled(label, struct_of(cls, value))
    assert info.hex() == case["info"]
    return hkdf_sha256(key, info).reveal()


@cases("derivations", "hkdf")
def test_what_is_derived(case: Case) -> None:
    assert derived(case).hex() == case["derived"]
    assert hkdf_sha256(Secret(raw(case["key"])), raw(case["info"])).reveal().hex() == case["derived"]


@cases("derivations", "passwords")
def test_a_password_becomes_a_secret_and_a_proof(case: Case) -> None:
    parameters = struct_of(PasswordParameters, case["parameters"])
    memory, passes, lanes = parameters.memory_kib, parameters.iterations, parameters.lanes
    bounds = KdfBounds((memory, memory), (passes, passes), (lanes, lanes), parameters.kdf)
    password = password_bytes(case["typed"])
    assert password.reveal().hex() == case["password"]
    server, user = case["server_name"], case["user_id"]
    secret = password_secret(server, user, password, parameters, bounds)
    assert secret.reveal().hex() == case["secret"]
    proof = proof_of(server, user, case["unlocker_id"], secret).reveal()
    assert (proof.hex(), proof_hash(proof).hex()) == (case["proof"], case["proof_hash"])
    if plain := case.get("plain_argon2id"):
        made = argon2id(Secret(b"password"), bytes(16), memory_kib=32, iterations=1, lanes=1)
        assert made.reveal().hex() == plain
    if plain := case.get("plain_pbkdf2"):
        assert pbkdf2_sha256(Secret(b"password"), bytes(16), 1).reveal().hex() == plain


@cases("derivations", "franking")
def test_a_franking_tag(case: Case) -> None:
    content = struct_of(Content, case["value"])
    assert encode(content).hex() == case["content"]
    assert franking_tag(encode(content), content.franking_key).hex() == case["tag"]


@cases("derivations", "padding")
def test_padding(case: Case) -> None:
    with judged(case):
        assert unpad(raw(case["padded"])) == raw(case["content"])
    if case["valid"]:
        assert pad(raw(case["content"])).hex() == case["padded"]


@cases("derivations", "words")
def test_a_recovery_key_in_words(case: Case) -> None:
    with judged(case):
        assert from_words(case["words"]).reveal() == raw(case["key"])
    if case["valid"]:
        assert list(to_words(Secret(raw(case["key"])))) == case["words"]
        assert [wordlist()[place] for place in case["places"]] == case["words"]


# --- what is sealed ------------------------------------------------------------------------


def context_of(case: Case) -> bytes:
    """The context as the program makes it for this label."""
    value: Any = struct_of(STRUCTS[case["struct"]], case["value"])
    if case["label"] == "tacit/1 store key":
        return _of_store(value)
    if case["label"] == "tacit/1 key pair":
        return _of_pair(value.name, value.public)(value.store_key)
    by_label = {
        "tacit/1 wrapped amk": labels.WRAPPED_AMK,
        "tacit/1 wrapped aik": labels.WRAPPED_AIK,
        "tacit/1 wrapped outer key": labels.WRAPPED_OUTER_KEY,
        "tacit/1 outer": labels.OUTER,
    }
    return labelled(by_label[case["label"]], value)


@cases("sealed", "sealed")
def test_what_is_sealed_opens(case: Case) -> None:
    key, context = Secret(raw(case["key"])), raw(case["context"])
    if "label" in case:
        assert context_of(case) == context
    if "zeros" in case:
        case = case | _long(case)
    with judged(case):
        assert sealed.open(key, context, raw(case["sealed"])) == raw(case["plaintext"])


def _long(case: Case) -> Case:
    """Some chunks of zeros, made by the maker's own sealing and found to be the same bytes."""
    from vectors.maker.primitives import seal

    plaintext = bytes(case["zeros"])
    whole = seal(raw(case["key"]), raw(case["context"]), plaintext, raw(case["salt"]))
    assert hashlib.sha256(whole).hexdigest() == case["sha256"]
    assert whole.hex().endswith(case["last"])
    return {"sealed": whole.hex(), "plaintext": plaintext.hex()}


# --- contents ------------------------------------------------------------------------------


@cases("contents", "contents")
def test_a_content_and_its_body(case: Case) -> None:
    content = struct_of(Content, case["value"])
    assert encode(content).hex() == case["encoded"]
    assert decode(Content, raw(case["encoded"])) == content
    body: Any = struct_of(STRUCTS[case["body_struct"]], case["body"])
    assert body_of(content) == body
    assert kind_and_bytes(body) == (content.kind, content.body)


def test_the_numbers_fit_into_json() -> None:
    def largest(value: Any) -> int:
        if isinstance(value, dict):
            return max((largest(each) for each in value.values()), default=0)
        if isinstance(value, list):
            return max((largest(each) for each in value), default=0)
        return value if isinstance(value, int) else 0

    for path in FOLDER.glob("*.json"):
        allowed = 2**53 if path.name == "messages.json" else 2**53 - 1  # one case is about 2^53 itself
        assert largest(json.loads(path.read_text())) <= allowed, path
