"""Public keys with which everybody agrees on the same: low order and its other encodings, off the curve, infinity."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

_P25519 = 2**255 - 19
_P448 = 2**448 - 2**224 - 1

X25519 = [
    (number | high << 255).to_bytes(32, "little")
    for number in (
        0,
        1,
        325606250916557431795983626356110631294008115727848805560023387167927233504,
        39382357235489614581723060781553021112529911719440698176882885853963445705823,
        _P25519 - 1,
        _P25519,
        _P25519 + 1,
    )
    for high in (0, 1)
]
X448 = [number.to_bytes(56, "little") for number in (0, 1, _P448 - 1, _P448, _P448 + 1)]


def not_of_the_curve(group: ec.EllipticCurve) -> dict[str, bytes]:
    """What a P-256, P-384 or P-521 door must refuse, by name; all but the first five have the right length."""
    key = ec.derive_private_key(5, group).public_key()
    good = key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    size = (len(good) - 1) // 2
    x, y = good[1 : 1 + size], good[1 + size :]
    bent = y[:-1] + bytes((y[-1] ^ 1,))
    return {
        "infinity": b"\x00",
        "nothing": b"",
        "compressed": key.public_bytes(Encoding.X962, PublicFormat.CompressedPoint),
        "coordinates alone": x + y,
        "one byte more": good + b"\x00",
        "infinity in full": bytes(len(good)),
        "the origin": b"\x04" + bytes(2 * size),
        "hybrid": bytes((6 + (y[-1] & 1),)) + x + y,
        "another form": b"\x05" + x + y,
        "off the curve": b"\x04" + x + bent,
        "coordinates above p": b"\x04" + b"\xff" * (2 * size),
    }


NIST = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1()}
