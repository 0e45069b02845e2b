"""Signatures at the edge of what a verifier may take, and public keys that are none."""

from __future__ import annotations

from typing import Any

from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from crypto.edwards import BASE, TORSION, L, P, add, challenge, encoded, multiplied, scalar_of, verifies
from vectors.maker.basics import Case, case
from vectors.maker.primitives import N_P256, SigningKey, rsa_key, signing_key, x_wing_key
from vectors.maker.tls import drawn

MESSAGE = b"a message"


def signatures() -> dict[str, list[Case]]:
    """The rule of each algorithm, case by case."""
    return {"ed25519": ed25519(), "p256": p256()}


# --- Ed25519 -------------------------------------------------------------------------------


def _scalar(data: bytes) -> bytes:
    return (int.from_bytes(data, "little") % L).to_bytes(32, "little")


def _point(scalar: int, torsion: int) -> bytes:
    return encoded(add(multiplied(scalar, BASE), TORSION[torsion]))


def _search(public: bytes, nonce: bytes, fits: Any) -> bytes:
    """A message whose challenge fits."""
    number = 0
    while not fits(challenge(nonce, public, b"message %d" % number)):
        number += 1
    return b"message %d" % number


def ed25519() -> list[Case]:
    """Taken are the first four only; what a laxer rule would take says so."""
    seed, a, r = drawn("edge key", 32), scalar_of(drawn("edge key", 32)), 0x1234567890ABCDEF << 64 | 5
    key = SigningKey(1, seed)
    good = key.sign(MESSAGE)
    made: list[Case] = []

    def add_case(comment: str, public: bytes, message: bytes, signature: bytes, cause: str = "") -> None:
        lax = {"cofactorless": verifies(public, message, signature), "cofactored": verifies(public, message, signature,
               cofactor=8)} if len(signature) == 64 and len(public) == 32 else {}  # fmt: skip
        made.append(case(comment, cause, public=public, message=message, signature=signature, lax=lax))

    def crafted(nonce: bytes, public: bytes, message: bytes, scalar: int = a) -> bytes:
        return nonce + ((r + challenge(nonce, public, message) * scalar) % L).to_bytes(32, "little")

    bad = "bad_signature"
    add_case("as RFC 8032 makes it", key.public, MESSAGE, good)
    add_case("of an empty message", key.public, b"", key.sign(b""))
    mixed, plain = _point(a, 1), _point(r, 0)
    message = _search(mixed, plain, lambda k: k % 8 == 0)
    add_case("A of mixed order, and the equation holds without the cofactor", mixed, message,
             crafted(plain, mixed, message))  # fmt: skip
    tilted = _point(r, 3)
    message = _search(mixed, tilted, lambda k: (3 + k) % 8 == 0)
    add_case("A and R of mixed order, which cancel out", mixed, message, crafted(tilted, mixed, message))
    message = _search(mixed, plain, lambda k: k % 8 == 1)
    add_case("A of mixed order, with the cofactor only", mixed, message, crafted(plain, mixed, message), bad)
    add_case("R of mixed order, with the cofactor only", key.public, MESSAGE, crafted(tilted, key.public, MESSAGE), bad)
    scalar = int.from_bytes(good[32:], "little")
    add_case("S + L", key.public, MESSAGE, good[:32] + (scalar + L).to_bytes(32, "little"), bad)
    add_case("S = L", key.public, MESSAGE, good[:32] + L.to_bytes(32, "little"), bad)
    zero = encoded(TORSION[0])
    for order, place in ((1, 0), (2, 4), (4, 2), (8, 1)):
        public = encoded(TORSION[place])
        message = _search(public, plain, lambda k, order=order: k % order == 0)
        add_case(f"A of order {order}", public, message, crafted(plain, public, message, 0), bad)
    nothing = bytes(32)
    add_case("A and R the neutral point, S = 0: for every message", zero, MESSAGE, zero + nothing, bad)
    k = challenge(zero, key.public, MESSAGE)
    add_case("R the neutral point", key.public, MESSAGE, zero + (k * a % L).to_bytes(32, "little"), bad)
    other = encoded(TORSION[1])
    k = challenge(other, key.public, MESSAGE)
    add_case("R of order 8", key.public, MESSAGE, other + (k * a % L).to_bytes(32, "little"), bad)
    for y, sign in ((P, 0), (P + 1, 0), (P + 1, 1), (1, 1), (P - 1, 1)):
        strange = (y | sign << 255).to_bytes(32, "little")
        message = _search(strange, plain, lambda k: k % 4 == 0)
        name = f"y = p + {y - P}" if y >= P else f"y = {'1' if y == 1 else 'p - 1'}"
        add_case(f"A not canonical: {name}, sign {sign}", strange, message, crafted(plain, strange, message, 0), bad)
    lifted = (P + 3).to_bytes(32, "little")
    add_case("A not canonical and of large order", lifted, MESSAGE, good, bad)
    strange = (P + 1).to_bytes(32, "little")
    k = challenge(strange, key.public, MESSAGE)
    add_case("R not canonical", key.public, MESSAGE, strange + (k * a % L).to_bytes(32, "little"), bad)
    add_case("A no point", (2).to_bytes(32, "little"), MESSAGE, good, bad)
    add_case("another message", key.public, MESSAGE + b"!", good, bad)
    add_case("another key", SigningKey(1, drawn("edge key 2", 32)).public, MESSAGE, good, bad)
    add_case("R changed", key.public, MESSAGE, bytes([good[0] ^ 1]) + good[1:], bad)
    add_case("S changed", key.public, MESSAGE, good[:32] + bytes([good[32] ^ 1]) + good[33:], bad)
    add_case("all zero", key.public, MESSAGE, bytes(64), bad)
    for size in (0, 32, 63):
        add_case(f"{size} bytes", key.public, MESSAGE, good[:size], bad)
    add_case("65 bytes", key.public, MESSAGE, good + b"\0", bad)
    add_case("a key of 31 bytes", key.public[:31], MESSAGE, good, bad)
    add_case("a key of 33 bytes", key.public + b"\0", MESSAGE, good, bad)
    return made


# --- ECDSA with P-256 ----------------------------------------------------------------------


def p256() -> list[Case]:
    """r and s from 1 to n - 1, 32 bytes each; a high s is taken."""
    key = signing_key(1, "edges")
    good = key.sign(MESSAGE)
    r, s = int.from_bytes(good[:32], "big"), int.from_bytes(good[32:], "big")

    def raw(first: int, second: int) -> bytes:
        return first.to_bytes(32, "big") + second.to_bytes(32, "big")

    made = [case("as RFC 6979 makes it", public=key.public, message=MESSAGE, signature=good)]
    made.append(case("the other s", public=key.public, message=MESSAGE, signature=raw(r, N_P256 - s)))
    wrong = {
        "r = 0": raw(0, s),
        "s = 0": raw(r, 0),
        "both 0": bytes(64),
        "r = n": raw(N_P256, s),
        "s = n": raw(r, N_P256),
        "r = n + 1": raw(N_P256 + 1, s),
        "both the highest": b"\xff" * 64,
        "r and s exchanged": good[32:] + good[:32],
        "r changed": raw(r ^ 1, s),
        "s changed": raw(r, s ^ 1),
        "DER": encode_dss_signature(r, s),
        "empty": b"",
        "63 bytes": good[:63],
        "65 bytes": good + b"\0",
        "a zero before each": b"\0" + good[:32] + b"\0" + good[32:],
        "96 bytes, as of another curve": bytes(16) + good[:32] + bytes(16) + good[32:],
    }
    for comment, signature in wrong.items():
        made.append(case(comment, "bad_signature", public=key.public, message=MESSAGE, signature=signature))
    compressed = bytes([2 + (key.public[64] & 1)]) + key.public[1:33]
    keys = {
        "a compressed key": compressed,
        "a key without its first byte": key.public[1:],
        "a key that is no point": key.public[:64] + bytes([key.public[64] ^ 1]),
        "the point at infinity": b"\0",
        "another key": signing_key(1, "edges 2").public,
        "an Ed25519 key": SigningKey(1, drawn("edge key", 32)).public,
    }
    for comment, public in keys.items():
        made.append(case(comment, "bad_signature", public=public, message=MESSAGE, signature=good))
    made.append(case("another message", "bad_signature", public=key.public, message=b"another", signature=good))
    return made


# --- public keys ---------------------------------------------------------------------------


_NAMED = {1: "Ed25519", 2: "X-Wing", 3: "RSA", 5: "P-256"}


def public_keys() -> dict[str, list[Case]]:
    """What stands in a key field: one encoding of a public key, and never a secret one."""
    secret = "secret_key_refused"
    edwards, point = SigningKey(1, drawn("edge key", 32)), signing_key(1, "edges")
    wing, rsa, short = x_wing_key("edges"), rsa_key("alice phone", 3072), rsa_key("alice phone", 2048)
    made = [
        case("Ed25519", algorithm=1, public=edwards.public, seed=edwards.seed),
        case("X-Wing", algorithm=2, public=wing.public, seed=wing.private),
        case("RSA of 3072 bits", algorithm=3, public=rsa.public),
        case("RSA of 2048 bits", algorithm=3, public=short.public),
        case("P-256", algorithm=5, public=point.public, seed=point.seed),
    ]
    pem = b"-----BEGIN PRIVATE KEY-----\n"
    jwk = b'{"kty":"OKP","crv":"Ed25519","d":"AA"}'
    for number, name in _NAMED.items():
        made.append(case(f"PEM as {name}", secret, algorithm=number, public=pem))
        made.append(case(f"JWK as {name}", secret, algorithm=number, public=jwk))
        made.append(case(f"PKCS#8 as {name}", secret, algorithm=number, public=short.private))
    for number in (2, 3, 5):
        made.append(case(f"32 bytes as {_NAMED[number]}", secret, algorithm=number, public=edwards.seed))
    for number, name in _NAMED.items():
        made.append(case(f"64 bytes as {name}", secret, algorithm=number, public=edwards.seed * 2))
        made.append(
            case(f"nothing as {name}", "malformed" if number == 3 else "wrong_length", algorithm=number, public=b"")
        )
    refused = {
        "of small order": encoded(TORSION[1]),
        "not canonical": (P + 3).to_bytes(32, "little"),
        "no point": (2).to_bytes(32, "little"),
    }
    for comment, public in refused.items():
        made.append(case(f"Ed25519, {comment}", "malformed", algorithm=1, public=public))
    made.append(case("X-Wing, a coefficient too high", "malformed", algorithm=2, public=b"\xff" * 2 + wing.public[2:]))
    made.append(case("X-Wing, X25519 half zero", "malformed", algorithm=2, public=wing.public[:1184] + bytes(32)))
    made.append(case("X-Wing, cut", "wrong_length", algorithm=2, public=wing.public[:-1]))
    made.append(case("RSA, a byte too much", "malformed", algorithm=3, public=rsa.public + b"\0"))
    made.append(case("P-256, no point", "malformed", algorithm=5, public=point.public[:64] + b"\0"))
    return {"public_keys": made}
