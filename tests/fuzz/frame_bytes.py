"""What is sent as WebSocket frames (RFC 6455) that no client of ours makes. The same seed gives the same bytes."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from random import Random
from typing import Final

from fuzz.http_bytes import JSON, SOCKET, Sent
from tacit.wire import limits

CONTINUES, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
MASK: Final = b"\x01\x02\x03\x04"
WHOLE: Final = 0x80
DEFLATED: Final = 0x40


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    bits: int = WHOLE,
    masked: bool = True,
    says: int | None = None,
    wide: bool = False,
) -> bytes:
    """One frame; `says` is a length that is not the payload's, `wide` writes it longer than it need be."""
    length = len(payload) if says is None else says
    mask = 0x80 if masked else 0
    if length < 126 and not wide:
        size = bytes([mask | length])
    elif length < 1 << 16 and not wide:
        size = bytes([mask | 126]) + struct.pack("!H", length)
    else:
        size = bytes([mask | 127]) + struct.pack("!Q", length)
    if not masked:
        return bytes([bits | opcode]) + size + payload
    return bytes([bits | opcode]) + size + MASK + bytes(byte ^ MASK[at % 4] for at, byte in enumerate(payload))


END: Final = frame(CLOSE, struct.pack("!H", 1000))


def by_hand() -> Iterator[Sent]:
    """One of each trick, as what follows the handshake."""
    text, most = frame(TEXT, b"{}"), limits.FRAME_BYTES
    for name, pieces in {
        "nothing": [b""],
        "an end": [END],
        "text": [text, END],
        "binary": [frame(BINARY, b"{}"), END],
        "not masked": [frame(TEXT, b"{}", masked=False)],
        "deflated": [frame(TEXT, b"{}", bits=WHOLE | DEFLATED)],
        "reserved bits": [frame(TEXT, b"{}", bits=WHOLE | 0x30)],
        "a reserved opcode": [frame(3, b"{}")],
        "a reserved control": [frame(11, b"{}")],
        "a length too wide": [frame(TEXT, b"{}", wide=True), END],
        "a length of 2^63": [frame(TEXT, says=1 << 63)],
        "a length of 2^63 - 1": [frame(TEXT, says=(1 << 63) - 1)],
        "a length above the limit": [frame(TEXT, says=most + 1), b"a" * 1000],
        "above the limit": [frame(TEXT, b"a" * (most + 1))],
        "at the limit": [frame(TEXT, b"a" * most), END],
        "pieces above the limit": [
            frame(TEXT, b"a" * (most // 2), bits=0),
            frame(CONTINUES, b"a" * (most // 2), bits=0),
            frame(CONTINUES, b"a"),
        ],
        "very many pieces": [frame(TEXT, b"a", bits=0), frame(CONTINUES, b"", bits=0) * 20_000, frame(CONTINUES), END],
        "a piece of nothing": [frame(CONTINUES, b"{}")],
        "text within pieces": [frame(TEXT, b"{", bits=0), text],
        "an end within pieces": [frame(TEXT, b"{", bits=0), END],
        "pings within pieces": [frame(TEXT, b"{", bits=0), frame(PING, b"a"), frame(CONTINUES, b"}"), END],
        "a control in pieces": [frame(PING, b"a", bits=0), frame(CONTINUES, b"b")],
        "a large control": [frame(PING, b"a" * 126)],
        "a large end": [frame(CLOSE, b"\x03\xe8" + b"a" * 200)],
        "many pings": [frame(PING, b"a" * 125) * 2000, END],
        "many pongs": [frame(PONG) * 5000, END],
        "many texts": [text * 300, END],
        "no UTF-8": [frame(TEXT, b"\xff\xfe")],
        "no UTF-8 and an end": [frame(TEXT, b"\xff\xfe") + END],
        "half a character": [frame(TEXT, b"\xf0\x9f"), END],
        "a character in two pieces": [frame(TEXT, b'"\xf0\x9f', bits=0), frame(CONTINUES, b'\x98\x80"'), END],
        "a surrogate": [frame(TEXT, b'"\xed\xa0\x80"')],
        "an end with half a code": [frame(CLOSE, b"\x03")],
        "an end with no UTF-8": [frame(CLOSE, b"\x03\xe8\xff")],
        "two ends": [END + END + text],
        "text after an end": [END + text * 10],
        "HTTP": [b"GET /api/server HTTP/1.1\r\n\r\n"],
        "noise": [bytes(range(256)) * 20],
    }.items():  # fmt: skip
        yield Sent(name, tuple(pieces))
    for code in (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 2999, 3000, 4999, 5000, 65535):
        yield Sent(f"an end with {code}", (frame(CLOSE, struct.pack("!H", code)),))
    for each in JSON:
        for kind in (each, b'{"type":"hello","token":' + each + b"}", b'{"type":"send","id":' + each + b"}"):
            yield Sent(f"JSON {kind[:32]!r}", (frame(TEXT, kind), END))


def mutated(random: Random, count: int) -> Iterator[Sent]:
    """Frames in which bits were changed."""
    hello = b'{"type":"hello","token":"a","deviceId":"b","signature":"c"}'
    for number in range(count):
        pieces = []
        for _ in range(random.randint(1, 4)):
            raw = bytearray(
                frame(random.choice((0, 1, 1, 1, 2, 8, 9, 10)), random.choice((hello, b"", b"\0" * 125, b"[[[")))
            )
            for _ in range(random.randint(0, 3)):
                raw[random.randrange(min(len(raw), 20))] ^= 1 << random.randrange(8)
            pieces.append(bytes(raw))
        yield Sent(f"mutation {number}", tuple(pieces), reset=random.random() < 0.1)


def handshakes() -> Iterator[Sent]:
    """Handshakes that are none."""
    for old, new in (
        (b"GET", b"POST"), (b"HTTP/1.1", b"HTTP/1.0"), (b"Upgrade: websocket\r\n", b""),
        (b"Connection: Upgrade\r\n", b""),
        (b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", b""), (b"dGhlIHNhbXBsZSBub25jZQ==", b"short"),
        (b"dGhlIHNhbXBsZSBub25jZQ==", b"\xff"), (b"Version: 13", b"Version: 12"), (b"Version: 13", b"Version: x"),
        (b"Version: 13", b"Version: 13\r\nSec-WebSocket-Version: 13"), (b"/api/sync/socket", b"/api/server"),
        (b"/api/sync/socket", b"/api/sync/socket/"), (b"/api/sync/socket", b"/nowhere"),
        (b"socket HTTP", b"socket?\xff HTTP"),
        (b"\r\n\r\n", b"\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"),
        (b"\r\n\r\n", b"\r\nSec-WebSocket-Extensions: " + b"a;" * 5000 + b"\r\n\r\n"),
        (b"\r\n\r\n", b"\r\nSec-WebSocket-Protocol: \xff,\x01\r\n\r\n"),
        (b"\r\n\r\n", b"\r\nContent-Length: 9\r\n\r\n"),
        (b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n"), (b"\r\n\r\n", b"\r\nOrigin: http://\0\r\n\r\n"),
        (b"websocket", b"websocket, h2c"), (b"Host", b"Hast"),
    ):  # fmt: skip
        yield Sent(f"{old[:30]!r} as {new[:40]!r}", (SOCKET.replace(old, new, 1),))
