from __future__ import annotations

import base64
import json
import os
import secrets
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, mldsa, mlkem, rsa, x448, x25519
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    pkcs12,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto import low_order
from crypto.edwards import D, P, decoded
from crypto.test_verify_ed448 import SMALL_ORDER as ED448_SMALL_ORDER
from crypto.test_verify_ed448 import x_of as ed448_x
from crypto.test_verify_ed25519 import NOT_CANONICAL, SMALL_ORDER
from tacit import errors
from tacit.crypto import sign, verify
from tacit.crypto.kem import X448, X25519, XWing
from tacit.crypto.secret import Secret
from tacit.crypto.sign import Ed25519Key
from tacit.crypto.verify import check_public, looks_secret

NIST = {verify.P256: sign.P256Key, verify.P384: sign.P384Key, verify.P521: sign.P521Key}
ALGORITHMS = [verify.ED25519, verify.X_WING, verify.RSA, verify.X25519, *NIST, verify.X448, verify.ED448]
BARE = [32, 48, 56, 57, 64, 66]
RSA_KEY = rsa.generate_private_key(65537, 2048)
SEED = Secret(bytes(range(32)))


def spki(key: PrivateKeyTypes | rsa.RSAPublicKey) -> bytes:
    public = key if isinstance(key, rsa.RSAPublicKey) else key.public_key()
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def rsa_public(bits: int, e: int = 65537) -> bytes:
    """A key of that size; nobody has its other half."""
    modulus = secrets.randbits(bits) | 1 << (bits - 1) | 1
    return spki(rsa.RSAPublicNumbers(e, modulus).public_key())


GOOD: dict[int, bytes] = {
    verify.ED25519: Ed25519Key.from_seed(SEED).public,
    verify.X_WING: XWing.from_seed(SEED).public,
    verify.RSA: spki(RSA_KEY),
    verify.X25519: X25519.from_seed(SEED).public,
    **{number: which.generate(lambda length: bytes(range(length))).public for number, which in NIST.items()},
    verify.X448: X448.generate(lambda length: bytes(range(length))).public,
    verify.ED448: sign.Ed448Key.generate(lambda length: bytes(range(length))).public,
}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_public_key_is_taken(algorithm: int) -> None:
    check_public(algorithm, GOOD[algorithm])


@pytest.mark.parametrize("start", [b"{", b"[", b" ", b"\n", b"0", b"\x30\x1e\x02"])
def test_a_key_that_only_begins_like_something_else_is_taken(start: bytes) -> None:
    public = start + GOOD[verify.X25519][len(start) :]
    check_public(verify.X25519, public)


@given(st.binary(min_size=32, max_size=32))
def test_the_key_of_any_seed_is_taken(seed: bytes) -> None:
    check_public(verify.ED25519, Ed25519Key.from_seed(Secret(seed)).public)
    check_public(verify.X25519, X25519.from_seed(Secret(seed)).public)


@pytest.mark.parametrize("algorithm", [algorithm for algorithm in ALGORITHMS if algorithm != verify.RSA])
@pytest.mark.parametrize("change", [-1, 1])
def test_another_length_is_refused(algorithm: int, change: int) -> None:
    public = GOOD[algorithm]
    changed = public[:change] if change < 0 else public + b"\0"
    # An X448 key and an Ed448 key differ by one byte, and so do their private ones.
    with pytest.raises(errors.SecretKeyRefused if len(changed) in BARE else errors.WrongLength):
        check_public(algorithm, changed)
    with pytest.raises(errors.WrongLength):
        check_public(algorithm, b"")


@pytest.mark.parametrize("algorithm", [0, 10, -1, 32])
def test_an_unknown_algorithm_is_refused(algorithm: int) -> None:
    with pytest.raises(errors.InvalidArgument):
        check_public(algorithm, GOOD[verify.ED25519] + b"x")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_text_is_refused(algorithm: int) -> None:
    with pytest.raises(errors.InvalidArgument):
        check_public(algorithm, "x" * 33)  # type: ignore[arg-type]


# --- Ed25519 and X25519 -----------------------------------------------------------------


@pytest.mark.parametrize("public", SMALL_ORDER, ids=bytes.hex)
def test_an_ed25519_key_of_small_order_is_refused(public: bytes) -> None:
    with pytest.raises(errors.Malformed, match="small order"):
        check_public(verify.ED25519, public)


@pytest.mark.parametrize("public", [key for key in NOT_CANONICAL if key not in SMALL_ORDER], ids=bytes.hex)
def test_an_ed25519_key_that_is_not_canonical_is_refused(public: bytes) -> None:
    with pytest.raises(errors.Malformed, match="canonical"):
        check_public(verify.ED25519, public)


def test_an_ed25519_key_off_the_curve_is_refused() -> None:
    on = off = 0
    for y in range(2, 60):
        public = y.to_bytes(32, "little")
        if decoded(public) is None:
            off += 1
            with pytest.raises(errors.Malformed, match="no point"):
                check_public(verify.ED25519, public)
        else:
            on += 1
            check_public(verify.ED25519, public)
    assert on > 10
    assert off > 10


def low_order_u() -> list[bytes]:
    """Every encoding of the u of a point of order 2, 4 or 8, of the curve and of its twist."""
    # On the curve u = (1 + y) / (1 - y) of Ed25519's points; the twist adds -1, of order 4.
    found = {P - 1}
    for encoding in SMALL_ORDER:
        point = decoded(encoding)
        assert point is not None
        if point[1] != 1:
            found.add((1 + point[1]) * pow(1 - point[1], -1, P) % P)
    assert len(found) == 5
    return [
        (u + lift | high << 255).to_bytes(32, "little")
        for u in sorted(found)
        for lift in (0, P)
        for high in (0, 1)
        if u + lift < 2**255
    ]


@pytest.mark.parametrize("public", low_order_u(), ids=bytes.hex)
def test_an_x25519_key_of_low_order_is_refused(public: bytes) -> None:
    other = x25519.X25519PrivateKey.generate()
    with pytest.raises(ValueError, match="shared key"):
        other.exchange(x25519.X25519PublicKey.from_public_bytes(public))
    with pytest.raises(errors.Malformed, match="low order"):
        check_public(verify.X25519, public)
    with pytest.raises(errors.Malformed, match="low order"):
        check_public(verify.X_WING, GOOD[verify.X_WING][:1184] + public)


def test_the_curves_constant_is_that_of_the_standard() -> None:
    assert D == 37095705934669439343138083508754565189542113879843219016388785533085940283555


def test_an_x_wing_key_with_a_coefficient_above_q_is_refused() -> None:
    for place in (0, 600, 1149):
        changed = bytearray(GOOD[verify.X_WING])
        changed[place : place + 3] = b"\xff\xff\xff"
        with pytest.raises(errors.Malformed, match="ML-KEM"):
            check_public(verify.X_WING, bytes(changed))


def _packed(numbers: list[int]) -> bytes:
    """ByteEncode12 (FIPS 203 §4.2.1), and 32 bytes after it."""
    return sum(number << 12 * place for place, number in enumerate(numbers)).to_bytes(1152, "little") + bytes(32)


@given(st.integers(0, 767), st.integers(3300, 4095), st.sampled_from((0, 3328)))
def test_the_numbers_of_an_ml_kem_key_are_below_q_as_pyca_has_it(place: int, number: int, others: int) -> None:
    public = _packed([number if each == place else others for each in range(768)])
    assert verify.mlkem_is_reduced(public) == (number < 3329)
    try:
        mlkem.MLKEM768PublicKey.from_public_bytes(public)
    except ValueError:
        assert number >= 3329
    else:
        assert number < 3329


# --- the other curves -------------------------------------------------------------------


@given(st.binary(min_size=66, max_size=66))
@settings(max_examples=30)
def test_the_key_of_any_seed_of_another_curve_is_taken(seed: bytes) -> None:
    check_public(verify.X448, X448.from_seed(Secret(seed[:56])).public)
    check_public(verify.ED448, sign.Ed448Key.from_seed(Secret(seed[:57])).public)
    for algorithm, which in NIST.items():
        # The first byte is below that of every order, and the last is not 0.
        scalar = b"\0" + seed[1 : which.CURVE.size - 1] + b"\x01"
        check_public(algorithm, which.from_seed(Secret(scalar)).public)


@pytest.mark.parametrize("algorithm", NIST)
@pytest.mark.parametrize("name", low_order.not_of_the_curve(ec.SECP256R1()))
def test_what_is_no_uncompressed_point_is_refused(algorithm: int, name: str) -> None:
    group = NIST[algorithm].CURVE.group
    public = low_order.not_of_the_curve(group)[name]
    wanted: type[errors.TacitError] = errors.WrongLength
    if len(public) == len(GOOD[algorithm]):
        wanted = errors.Malformed
    elif len(public) in BARE:
        wanted = errors.SecretKeyRefused
    with pytest.raises(wanted):
        check_public(algorithm, public)


@pytest.mark.parametrize("public", low_order.X448, ids=bytes.hex)
def test_an_x448_key_of_low_order_is_refused(public: bytes) -> None:
    with pytest.raises(ValueError, match="shared key"):
        x448.X448PrivateKey.generate().exchange(x448.X448PublicKey.from_public_bytes(public))
    with pytest.raises(errors.Malformed, match="low order"):
        check_public(verify.X448, public)


@pytest.mark.parametrize("public", ED448_SMALL_ORDER, ids=bytes.hex)
def test_an_ed448_key_of_small_order_is_refused(public: bytes) -> None:
    with pytest.raises(errors.Malformed, match="small order"):
        check_public(verify.ED448, public)


@pytest.mark.parametrize("y", [2**448 - 2**224 + 1, 2**448 - 1, 2**454])
def test_an_ed448_key_that_is_not_canonical_is_refused(y: int) -> None:
    for sign_bit in (0, 1):
        with pytest.raises(errors.Malformed, match="canonical"):
            check_public(verify.ED448, (y | sign_bit << 455).to_bytes(57, "little"))


def test_an_ed448_key_off_the_curve_is_refused() -> None:
    on = off = 0
    for y in range(2, 60):
        public = y.to_bytes(57, "little")
        if ed448_x(y) is None:
            off += 1
            with pytest.raises(errors.Malformed, match="no point"):
                check_public(verify.ED448, public)
        else:
            on += 1
            check_public(verify.ED448, public)
    assert on > 10
    assert off > 10


# --- RSA --------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [2048, 2049, 3072, 4095, 4096])
def test_an_rsa_key_of_2048_to_4096_bits_is_taken(bits: int) -> None:
    check_public(verify.RSA, rsa_public(bits))


@pytest.mark.parametrize("bits", [1024, 2040, 2047, 4097, 4104, 7000])
def test_an_rsa_key_of_another_size_is_refused(bits: int) -> None:
    with pytest.raises(errors.Malformed, match="2048 to 4096"):
        check_public(verify.RSA, rsa_public(bits))


@pytest.mark.parametrize("e", [3, 17, 65539, 2**40 + 15])
def test_an_rsa_key_with_another_exponent_is_refused(e: int) -> None:
    with pytest.raises(errors.Malformed, match="65537"):
        check_public(verify.RSA, rsa_public(2048, e))


def test_an_over_long_rsa_key_is_refused_unread() -> None:
    with pytest.raises(errors.WrongLength):
        check_public(verify.RSA, rsa_public(8192 + 8))


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP256R1()),
        ed25519.Ed25519PrivateKey.generate(),
        x448.X448PrivateKey.generate(),
        ed448.Ed448PrivateKey.generate(),
    ],
    ids=lambda key: type(key).__name__,
)
def test_a_key_of_another_kind_is_no_rsa_key(key: PrivateKeyTypes) -> None:
    with pytest.raises(errors.Malformed):
        check_public(verify.RSA, spki(key))


def other_encodings() -> dict[str, bytes]:
    plain = spki(RSA_KEY)
    assert plain[:4] == bytes.fromhex("30820122")
    inner = plain[4:]
    oid = bytes.fromhex("06092a864886f70d010101")
    at = inner.index(oid)
    return {
        "long length": bytes.fromhex("3083000122") + inner,
        "trailing byte": plain + b"\0",
        "byte missing": plain[:-1],
        "RSASSA-PSS": plain.replace(oid, bytes.fromhex("06092a864886f70d01010a")),
        "parameters missing": bytes.fromhex("30820120") + bytes.fromhex("300b") + oid + inner[at + len(oid) + 2 :],
        "PKCS#1": RSA_KEY.public_key().public_bytes(Encoding.DER, PublicFormat.PKCS1),
        "nothing": b"",
        "noise": bytes(range(200)),
        "an unknown algorithm": plain.replace(oid, bytes.fromhex("06092a864886f70d0101ff")),
    }


@pytest.mark.parametrize("name", other_encodings())
def test_an_rsa_key_has_one_encoding(name: str) -> None:
    with pytest.raises(errors.Malformed):
        check_public(verify.RSA, other_encodings()[name])


@given(st.binary(max_size=1024).filter(lambda data: len(data) not in BARE and not looks_secret(data)))
def test_noise_is_no_rsa_key(data: bytes) -> None:
    with pytest.raises(errors.Malformed):
        check_public(verify.RSA, data)


# --- what looks secret ------------------------------------------------------------------

PRIVATE: dict[str, PrivateKeyTypes] = {
    "RSA": RSA_KEY,
    "P-256": ec.generate_private_key(ec.SECP256R1()),
    "P-384": ec.generate_private_key(ec.SECP384R1()),
    "P-521": ec.generate_private_key(ec.SECP521R1()),
    "DSA": dsa.generate_private_key(1024),
    "Ed25519": ed25519.Ed25519PrivateKey.generate(),
    "Ed448": ed448.Ed448PrivateKey.generate(),
    "X25519": x25519.X25519PrivateKey.generate(),
    "X448": x448.X448PrivateKey.generate(),
    "ML-KEM-768": mlkem.MLKEM768PrivateKey.generate(),
    "ML-DSA-65": mldsa.MLDSA65PrivateKey.generate(),
}
PASSWORD = BestAvailableEncryption(b"password")


def secret_forms() -> dict[str, bytes]:
    forms: dict[str, bytes] = {}
    for name, key in PRIVATE.items():
        for coding, encoding in (("DER", Encoding.DER), ("PEM", Encoding.PEM)):
            forms[f"{name} PKCS8 {coding}"] = key.private_bytes(encoding, PrivateFormat.PKCS8, NoEncryption())
            forms[f"{name} encrypted PKCS8 {coding}"] = key.private_bytes(encoding, PrivateFormat.PKCS8, PASSWORD)
            if isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | dsa.DSAPrivateKey):
                forms[f"{name} traditional {coding}"] = key.private_bytes(
                    encoding, PrivateFormat.TraditionalOpenSSL, NoEncryption()
                )
    openssh = PRIVATE["Ed25519"].private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    forms["OpenSSH PEM"] = openssh
    forms["OpenSSH"] = base64.b64decode(b"".join(openssh.splitlines()[1:-1]))
    forms["PKCS12"] = pkcs12.serialize_key_and_certificates(b"me", RSA_KEY, None, None, PASSWORD)
    der = forms["P-256 PKCS8 DER"]
    forms["BER of indefinite length"] = b"\x30\x80" + der[2 + (der[1] & 0x7F if der[1] > 0x7F else 0) :] + b"\0\0"
    forms["PKCS8 with something behind"] = der + b"\n"
    forms["PEM public"] = RSA_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    forms["PEM behind a text"] = b"Bag Attributes\n  friendlyName: me\n" + forms["P-256 PKCS8 PEM"]
    forms["PEM behind a byte order mark"] = b"\xef\xbb\xbf" + forms["P-256 PKCS8 PEM"]
    number = base64.urlsafe_b64encode(bytes(range(32))).decode().rstrip("=")
    okp = {"kty": "OKP", "crv": "X25519", "d": number, "x": number}
    forms["JWK OKP"] = json.dumps(okp).encode()
    forms["JWK EC"] = json.dumps({"crv": "P-256", "kty": "EC", "d": number, "x": number, "y": number}).encode()
    forms["JWK RSA"] = json.dumps({"kty": "RSA", "n": number, "e": "AQAB", "d": number}).encode()
    forms["JWK oct"] = json.dumps({"kty": "oct", "k": number}, indent=2).encode()
    forms["JWK set"] = b" \n" + json.dumps({"keys": [okp]}).encode()
    forms["JWK list"] = json.dumps([okp]).encode()
    return forms


FORMS = secret_forms()


@pytest.mark.parametrize("name", FORMS)
def test_a_secret_form_is_recognised_and_refused(name: str) -> None:
    assert looks_secret(FORMS[name])
    for algorithm in ALGORITHMS:
        with pytest.raises(errors.SecretKeyRefused) as raised:
            check_public(algorithm, FORMS[name])
        assert raised.value.detail == ""


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_bare_bytes_of_a_secrets_length_are_refused(algorithm: int) -> None:
    refused = [length for length in BARE if length != len(GOOD[algorithm])]
    assert len(refused) >= 5
    for length in refused:
        with pytest.raises(errors.SecretKeyRefused):
            check_public(algorithm, os.urandom(length))


@pytest.mark.parametrize("algorithm", NIST)
def test_the_private_scalar_of_a_curve_is_refused(algorithm: int) -> None:
    key = NIST[algorithm].generate(os.urandom)
    with pytest.raises(errors.SecretKeyRefused):
        check_public(algorithm, key.seed.reveal())


def public_forms() -> dict[str, bytes]:
    forms = {f"{name} SubjectPublicKeyInfo": spki(key) for name, key in PRIVATE.items()}
    forms |= {f"algorithm {algorithm}": public for algorithm, public in GOOD.items()}
    forms["PKCS1 public"] = RSA_KEY.public_key().public_bytes(Encoding.DER, PublicFormat.PKCS1)
    signer = ec.generate_private_key(ec.SECP256R1())
    forms["a point"] = signer.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    forms["JSON that is no key"] = b'{"user": "kty"}'
    forms["a word"] = b'the "kty" field'
    forms["nothing"] = b""
    forms["blanks"] = b"  \n"
    return forms


@pytest.mark.parametrize("name", public_forms())
def test_a_public_form_does_not_look_secret(name: str) -> None:
    assert not looks_secret(public_forms()[name])


@pytest.mark.parametrize(
    "cut",
    [
        "30",
        "3080",
        "308002",
        "3003020100",
        "30020200",
        "30050201000201",
        "300602010005000a",
        "3006020200000500",
        "300604010030000a",
        "3006310002010002",
        "30063004310030000400",
        "3084ffffffff0201003000",
        "30ff0201003000",
        "300730020600030000",
        "300730020500040000",
        "3100",
        "3106020100040100",
    ],
)
def test_der_that_only_begins_like_a_key_does_not_look_secret(cut: str) -> None:
    assert not looks_secret(bytes.fromhex(cut))


@given(st.binary(max_size=300))
def test_any_bytes_can_be_asked_about(data: bytes) -> None:
    looks_secret(data)
    looks_secret(b"\x30" + data)
    looks_secret(b"\x30\x80\x02\x01\x00" + data)


def test_a_text_cannot_be_asked_about() -> None:
    with pytest.raises(errors.InvalidArgument):
        looks_secret("-----BEGIN")  # type: ignore[arg-type]


@pytest.mark.parametrize("guard", ["_is_private_der", "_is_jwk"])
def test_without_its_check_a_form_is_not_recognised(guard: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(_: bytes) -> bool:
        return False

    stand_in: Callable[[bytes], bool] = never
    monkeypatch.setattr(verify, guard, stand_in)
    missed = [name for name, form in FORMS.items() if not looks_secret(form)]
    assert len(missed) >= 5
