"""Bytes that were right, with something of them otherwise."""

from __future__ import annotations

from random import Random


def changed_bytes(raw: bytes, random: Random) -> bytes:
    """Some bytes, otherwise; now and then they stay as they are."""
    data = bytearray(raw)
    at = random.randrange(len(data) + 1)
    match random.randrange(6):
        case 0 if data:
            data[at % len(data)] ^= 1 << random.randrange(8)
        case 1:
            del data[at:]
        case 2:
            data += random.randbytes(random.choice((1, 32, 1000)))
        case 3:
            data[at:at] = random.choice((b"\0", b"\xff" * 8, b"\xbf\xff\xff\xff", b"\x80\0\0\0", b"\x40\x3f"))
        case 4:
            del data[at : at + random.choice((1, 2, 8, 32))]
        case _:
            data[at : at + 4] = random.randbytes(4)
    return bytes(data)
