"""A secret key in a field that carries keys is refused by name, and is neither written nor logged."""

from __future__ import annotations

import base64
import dataclasses
import logging
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from server.bad_input import GENERATE, PRIVATE, Body, Scene, epoch, message, next_outer, with_grant
from server.logged import logged
from server.people import KEYS, MESSAGES, Person, Town, one_rsa_key, rows
from tacit.wire.codec import encode
from tacit.wire.text import to_base64, to_json


def bare_key() -> bytes:
    return bytes(range(32))


def secret_keys() -> dict[str, Any]:
    """A secret key in each form in which one may be sent by mistake."""
    key = Ed25519PrivateKey.from_private_bytes(bare_key())
    der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    ssh = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    locked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"password"))
    number = base64.urlsafe_b64encode(bare_key()).decode().rstrip("=")
    jwk = {"kty": "OKP", "crv": "Ed25519", "d": number, "x": number}
    return {
        "PEM": pem.decode(),
        "PEM in base64": to_base64(pem),
        "encrypted PEM": locked.decode(),
        "OpenSSH": ssh.decode(),
        "PKCS#8": to_base64(der),
        "PKCS#8 of RSA": to_base64(one_rsa_key().private.reveal()),
        "JWK": jwk,
        "JWK as text": to_json(jwk),
        "JWK in base64": to_base64(to_json(jwk).encode()),
        "32 bytes": to_base64(bare_key()),
        "32 bytes in base64url": base64.urlsafe_b64encode(bytes([251]) * 32).decode(),
        "64 bytes": to_base64(bare_key() * 2),
        "32 bytes in hex": bare_key().hex(),
        "64 bytes in hex": (bare_key() * 2).hex(),
    }


FIELDS: dict[str, tuple[str, str, Callable[[Scene, Any], Body]]] = {
    "publicKey": ("newcomer", GENERATE, lambda scene, key: scene.newcomer.publication(publicKey=key)),
    "encryptedPrivateKey": (
        "newcomer",
        GENERATE,
        lambda scene, key: scene.newcomer.publication(encryptedPrivateKey=key),
    ),
    "encryptedPrivateKey (outer)": (
        "alice",
        PRIVATE,
        lambda scene, key: next_outer(scene, encryptedPrivateKey=key),
    ),
    "encryptedKeys": ("alice", KEYS, lambda scene, key: with_grant(epoch(scene), encryptedKey=key)),
    "encryptedKeys of a message": (
        "alice",
        MESSAGES,
        lambda scene, key: message(scene) | {"encryptedKeys": [{"userId": "bob", "encryptedKey": key}]},
    ),
}


@pytest.mark.parametrize("form", secret_keys())
@pytest.mark.parametrize("field", FIELDS)
async def test_a_secret_key_in_a_key_field_is_refused_by_name(
    scene: Scene, field: str, form: str, caplog: pytest.LogCaptureFixture
) -> None:
    who, path, make = FIELDS[field]
    person: Person = getattr(scene, who)
    before = await rows(scene.town)
    with caplog.at_level(logging.DEBUG):
        answer = await person.ask("POST", path, make(scene, secret_keys()[form]))
    assert (answer.code, answer.status) == ("secret_key_refused", 422), answer.body
    assert answer.body["detail"] == ""
    assert await rows(scene.town) == before
    assert logged(caplog) == [("request", "secret_key_refused")]


@pytest.mark.parametrize("form", secret_keys())
async def test_a_secret_key_in_the_place_of_a_request_key_is_refused(town: Town, form: str) -> None:
    # A bare seed of 32 bytes cannot be told from a public key; the signature does not verify under it.
    alice = Person(town, "alice")
    answer = await alice.ask("POST", "/api/auth/register", {"userId": "alice", "requestKey": secret_keys()[form]})
    assert await rows(town) == [row for row in await rows(town) if row[0] != "sessions"]
    expected = ("request_signature_invalid", 401) if form == "32 bytes" else ("secret_key_refused", 422)
    assert (answer.code, answer.status) == expected


@pytest.mark.parametrize("value", [bytes(32), bytes(64), b""])
@pytest.mark.parametrize("place", ["wrapped_aik", "wrapped_outer_key", "unlockers"])
async def test_a_vault_in_which_a_key_stands_bare_is_refused(scene: Scene, place: str, value: bytes) -> None:
    vault = scene.newcomer.made.vault
    inner = vault.inner
    if place == "unlockers":
        first, *others = inner.unlockers
        inner = dataclasses.replace(inner, unlockers=(dataclasses.replace(first, wrapped_amk=value), *others))
    elif place == "wrapped_aik":
        inner = dataclasses.replace(inner, wrapped_aik=value)
    else:
        inner = dataclasses.replace(inner, wrapped_outer_key=value)
    bent = to_base64(encode(dataclasses.replace(vault, inner=inner)))
    answer = await scene.newcomer.ask("POST", GENERATE, scene.newcomer.publication(encryptedPrivateKey=bent))
    assert (answer.code, answer.status) == ("secret_key_refused", 422)


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("", "wrong_length"),
        ("ä", "base64_not_canonical"),
        (to_base64(bytes(33)), "wrong_length"),
        ([], "malformed_json"),
    ],
)
async def test_a_request_key_is_32_bytes(town: Town, value: Any, code: str) -> None:
    alice = Person(town, "alice")
    answer = await alice.ask("POST", "/api/auth/register", {"userId": "alice", "requestKey": value})
    assert answer.code == code


async def test_a_secret_key_as_text_in_a_message_is_only_a_message(scene: Scene) -> None:
    # What people write is nobody's business: only key fields are looked into.
    answer = await scene.alice.ask("POST", MESSAGES, scene.talk.message(scene.alice, str(secret_keys()["PEM"])))
    assert answer.status == 200
