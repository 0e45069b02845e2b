"""The RFC 9421 profile, against an implementation that is not ours, and against whoever changes a request."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from http_message_signatures import (
    HTTPMessageSigner,
    HTTPMessageVerifier,
    HTTPSignatureKeyResolver,
    InvalidSignature,
    algorithms,
)

from tacit import errors
from tacit.crypto.secret import Secret
from tacit.crypto.sign import Ed25519Key, P256Key
from tacit.signed import labels, request
from tacit.signed.request import SocketChallenge, read_signature, sign_request, verify_request

KEY = Ed25519Key.from_seed(Secret(bytes(range(32))))
OTHER = Ed25519Key.from_seed(Secret(bytes(32)))
DEVICE = "ab" * 32
NONCE = "A" * 22
NOW = 1_800_000_000
AUTHORITY = "127.0.0.1:8080"
REQUEST: dict[str, Any] = {
    "method": "POST",
    "authority": AUTHORITY,
    "path": "/api/messages/encrypted",
    "query": "after=3&userId=%C3%A9",
    "body": b'{"x":1}',
}


def signed(**changes: Any) -> dict[str, str]:
    fields = REQUEST | {"key_id": DEVICE, "created": NOW, "expires": NOW + 60, "nonce": NONCE, "signer": KEY.sign}
    return sign_request(**(fields | changes))


def check(headers: dict[str, str], public: bytes = KEY.public, now: int = NOW, **changes: Any) -> None:
    verify_request(read_signature(headers.items()), **(REQUEST | changes), public=public, now=now)


def test_a_signed_request_verifies_and_names_device_and_nonce() -> None:
    headers = signed()
    check(headers)
    read = read_signature(headers.items())
    assert (read.key_id, read.nonce, read.created, read.expires) == (DEVICE, NONCE, NOW, NOW + 60)


def test_a_request_without_body_signs_no_digest() -> None:
    headers = signed(method="GET", body=b"", query="")
    assert "Content-Digest" not in headers
    assert "content-digest" not in headers["Signature-Input"]
    check(headers, method="GET", body=b"", query="")


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "DELETE"},
        {"method": "post"},
        {"authority": "evil.example:8080"},
        {"path": "/api/messages/encrypteD"},
        {"path": "/api/messages/encrypted/"},
        {"query": ""},
        {"query": "after=4&userId=%C3%A9"},
        {"query": "after=3&userId=%c3%a9"},
        {"body": b'{"x":2}'},
        {"body": b""},
        {"public": OTHER.public},
    ],
)
def test_every_component_is_bound(changes: dict[str, Any]) -> None:
    with pytest.raises(errors.RequestSignatureInvalid):
        check(signed(), **changes)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (DEVICE, "cd" * 32),
        (NONCE, "B" * 22),
        (f"created={NOW}", f"created={NOW - 1}"),
        (f"expires={NOW + 60}", f"expires={NOW + 59}"),
        ('"@method" "@authority"', '"@authority" "@method"'),
        (' "@query"', ""),
        (' "content-digest"', ""),
        (';tag="tacit/1"', ""),
        ('tag="tacit/1"', 'tag="tacit/2"'),
        (";nonce=", ';alg="ed25519";nonce='),
        ("tacit=(", "other=("),
        ("tacit=(", 'x=("@method");created=1, tacit=('),
        (NONCE, "A" * 21),
        (DEVICE, DEVICE.upper()),
    ],
)
def test_every_parameter_is_bound(before: str, after: str) -> None:
    headers = signed()
    assert before in headers["Signature-Input"]
    headers["Signature-Input"] = headers["Signature-Input"].replace(before, after)
    with pytest.raises(errors.RequestSignatureInvalid):
        check(headers)


@pytest.mark.parametrize("value", ["", "tacit=::", "tacit=:AA:", "tacit=:!!!!:", "tacit=" + "A" * 88, "x=:AAAA:"])
def test_another_signature_is_refused(value: str) -> None:
    headers = signed()
    headers["Signature"] = value
    with pytest.raises(errors.RequestSignatureInvalid):
        check(headers)


def test_a_digest_of_another_body_is_refused() -> None:
    headers = signed()
    headers["Content-Digest"] = request.content_digest(b"other")
    with pytest.raises(errors.RequestSignatureInvalid):
        check(headers)
    del headers["Content-Digest"]
    with pytest.raises(errors.RequestSignatureInvalid):
        check(headers)


def test_a_header_that_stands_twice_is_refused() -> None:
    headers = list(signed().items())
    with pytest.raises(errors.RequestSignatureInvalid):
        read_signature([*headers, ("signature", headers[1][1])])


def test_an_unsigned_request_is_told_so() -> None:
    with pytest.raises(errors.RequestUnsigned):
        read_signature([("content-type", "application/json")])
    with pytest.raises(errors.RequestSignatureInvalid):
        read_signature([("signature", "tacit=:AAAA:")])


def test_the_clock_is_judged_after_the_signature() -> None:
    headers = signed()
    check(headers, now=NOW + 60)
    check(headers, now=NOW - 60)
    for now in (NOW + 61, NOW - 61):
        with pytest.raises(errors.ClockSkew) as caught:
            check(headers, now=now)
        assert caught.value.facts == {"time": now * 1000}
        with pytest.raises(errors.RequestSignatureInvalid):
            check(headers, now=now, public=OTHER.public)


def test_a_long_life_is_refused_on_both_sides() -> None:
    with pytest.raises(errors.InvalidArgument):
        signed(expires=NOW + 61)
    with pytest.raises(errors.InvalidArgument):
        signed(expires=NOW - 1)
    read = read_signature(signed().items())
    parameters = read.parameters.replace(f"expires={NOW + 60}", f"expires={NOW + 61}")
    base = request._signature_base(**(_texts()), digest=read.content_digest, parameters=parameters)
    assert base is not None
    forged = dataclasses.replace(read, parameters=parameters, expires=NOW + 61, signature=KEY.sign(base))
    with pytest.raises(errors.RequestSignatureInvalid, match="60 seconds"):
        verify_request(forged, **REQUEST, public=KEY.public, now=NOW)


def _texts() -> dict[str, str]:
    return {name: str(REQUEST[name]) for name in ("method", "authority", "path", "query")}


@pytest.mark.parametrize(
    "changes",
    [
        {"path": "/a\n"},
        {"path": "a"},
        {"path": "/a?b"},
        {"query": "a b"},
        {"query": "é"},
        {"authority": "Example.org"},
        {"method": "post"},
        {"nonce": "short"},
        {"nonce": 'A"' * 20},
        {"key_id": "alice"},
        {"created": 0},
    ],
)
def test_what_the_profile_cannot_carry_is_not_signed(changes: dict[str, Any]) -> None:
    with pytest.raises(errors.InvalidArgument):
        signed(**changes)


# --- against http-message-signatures ---------------------------------------------------


class Keys(HTTPSignatureKeyResolver):
    def resolve_private_key(self, key_id: str) -> Ed25519PrivateKey:
        assert key_id == DEVICE
        return Ed25519PrivateKey.from_private_bytes(KEY.seed.reveal())

    def resolve_public_key(self, key_id: str) -> Ed25519PublicKey:
        assert key_id == DEVICE
        return Ed25519PublicKey.from_public_bytes(KEY.public)


@dataclasses.dataclass
class Message:
    """The interface that the library asks of a request."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes


class AtAnyTime(HTTPMessageVerifier):
    """The library reads the machine's clock; what it judges of these fixed times is only the signature."""

    def validate_created_and_expires(self, sig_input: Any, max_age: Any = None) -> None:
        pass


COMPONENTS = ("@method", "@authority", "@path", "@query")


def message_of(headers: dict[str, str], body: bytes) -> Message:
    return Message("POST", f"http://{AUTHORITY}{REQUEST['path']}?{REQUEST['query']}", headers, body)


@pytest.mark.parametrize("body", [b'{"x":1}', b""])
def test_the_oracle_verifies_ours(body: bytes) -> None:
    message = message_of(signed(body=body), body)
    verifier = AtAnyTime(signature_algorithm=algorithms.ED25519, key_resolver=Keys())
    covered = COMPONENTS + (("content-digest",) if body else ())
    (result,) = verifier.verify(
        message, max_age=None, expect_tag="tacit/1", expect_label="tacit", require_components=covered, body=body
    )
    assert tuple(name.strip('"') for name in result.covered_components if "params" not in name) == covered
    message.headers["Signature"] = signed(body=body, signer=OTHER.sign)["Signature"]
    with pytest.raises(InvalidSignature):
        verifier.verify(message, max_age=None, expect_tag="tacit/1")


@pytest.mark.parametrize("body", [b'{"x":1}', b""])
def test_ours_verifies_the_oracle(body: bytes) -> None:
    message = message_of({}, body)
    signer = HTTPMessageSigner(signature_algorithm=algorithms.ED25519, key_resolver=Keys())
    signer.sign(
        message,
        key_id=DEVICE,
        created=dt.datetime.fromtimestamp(NOW, dt.UTC),
        expires=dt.datetime.fromtimestamp(NOW + 60, dt.UTC),
        nonce=NONCE,
        label="tacit",
        tag=labels.REQUEST_TAG,
        include_alg=False,
        covered_component_ids=COMPONENTS,
        body=body or None,
    )
    headers = {name: str(value) for name, value in message.headers.items()}
    check(headers, body=body)
    ours = signed(body=body)
    assert {name: headers[name] for name in ours} == ours


P256 = P256Key.from_seed(Secret(bytes(range(32))))


class P256Keys(HTTPSignatureKeyResolver):
    def resolve_private_key(self, key_id: str) -> ec.EllipticCurvePrivateKey:
        assert key_id == DEVICE
        return ec.derive_private_key(int.from_bytes(P256.seed.reveal(), "big"), ec.SECP256R1())

    def resolve_public_key(self, key_id: str) -> ec.EllipticCurvePublicKey:
        assert key_id == DEVICE
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), P256.public)


def test_the_oracle_verifies_ours_by_p256() -> None:
    message = message_of(signed(signer=P256.sign), REQUEST["body"])
    verifier = AtAnyTime(signature_algorithm=algorithms.ECDSA_P256_SHA256, key_resolver=P256Keys())
    verifier.verify(message, max_age=None, expect_tag="tacit/1", expect_label="tacit", body=REQUEST["body"])
    message.headers["Signature"] = signed(signer=P256Key.from_seed(Secret(b"o" * 32)).sign)["Signature"]
    with pytest.raises(InvalidSignature):
        verifier.verify(message, max_age=None, expect_tag="tacit/1")


def test_ours_verifies_the_oracle_by_p256() -> None:
    body = REQUEST["body"]
    message = message_of({}, body)
    signer = HTTPMessageSigner(signature_algorithm=algorithms.ECDSA_P256_SHA256, key_resolver=P256Keys())
    signer.sign(
        message,
        key_id=DEVICE,
        created=dt.datetime.fromtimestamp(NOW, dt.UTC),
        expires=dt.datetime.fromtimestamp(NOW + 60, dt.UTC),
        nonce=NONCE,
        label="tacit",
        tag=labels.REQUEST_TAG,
        include_alg=False,
        covered_component_ids=COMPONENTS,
        body=body,
    )
    headers = {name: str(value) for name, value in message.headers.items()}
    check(headers, public=P256.public)
    with pytest.raises(errors.RequestSignatureInvalid):
        check(headers)


def test_a_keys_length_says_its_algorithm() -> None:
    check(signed(signer=P256.sign), public=P256.public)
    for signer, public in ((KEY.sign, P256.public), (P256.sign, KEY.public), (P256.sign, P256.public[:-1])):
        with pytest.raises(errors.RequestSignatureInvalid):
            check(signed(signer=signer), public=public)


# --- the WebSocket's challenge ---------------------------------------------------------


def test_a_challenge_binds_origin_session_device_and_nonce() -> None:
    challenge = SocketChallenge("http://127.0.0.1:8080", bytes(32), DEVICE, b"\1" * 32)
    signature = request.sign_challenge(challenge, KEY.sign)
    assert request.verify_challenge(challenge, signature, KEY.public).value == challenge
    for changes in (
        {"origin": "http://127.0.0.1:8081"},
        {"session": b"\1" + bytes(31)},
        {"device_id": "cd" * 32},
        {"nonce": bytes(32)},
    ):
        with pytest.raises(errors.BadSignature):
            request.verify_challenge(dataclasses.replace(challenge, **changes), signature, KEY.public)
    with pytest.raises(errors.BadSignature):
        request.verify_challenge(challenge, signature, OTHER.public)
