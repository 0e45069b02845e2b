"""What is sent as HTTP: bytes that no client of ours makes. The same seed gives the same bytes."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Final, NamedTuple

from server.people import AUTHORITY, registration
from tacit.identity.keys import SigningKey
from tacit.signed.request import sign_request
from tacit.wire.text import to_base64, to_json

REGISTER: Final = "/api/auth/register"
EARLY: Final = 1_500_000_000
"""Unix seconds of a time that is long over: what is signed for it is looked at, and never taken."""
SOCKET: Final = (
    f"GET /api/sync/socket HTTP/1.1\r\nHost: {AUTHORITY}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
).encode()
DEEP: Final = (b"[" * 4000, b'{"a":' * 800, b"[" * 2000 + b"]" * 2000, b'{"userId":' + b"[" * 1000)
JSON: Final = (
    *DEEP,
    b'{"userId":' + b"9" * 4000 + b"}",
    b'{"userId":1e999999}',
    b'{"userId":-0.0}',
    b'{"userId":NaN}',
    b'{"userId":"a","userId":"b","requestKey":"c"}',
    b'{"userId":"\\ud800","requestKey":""}',
    b'{"userId":"\xff\xfe","requestKey":""}',
    b'{"userId":"a\x00b","requestKey":""}',
    b'{"userId":"a\\u0000b","requestKey":"AAAA"}',
    b"\xef\xbb\xbf{}",
    b"{}" * 2000,
    b"[" + b"0," * 2000 + b"0]",
    b'"' * 4000,
    b"\\" * 4000,
    b'{"userId":"' + b"\\" * 3000 + b'"}',
    b"null",
    b'{"userId":"a","requestKey":{"kty":"OKP","d":"AA"}}',
    b'{"userId":"' + "\U0001f600".encode() * 900 + b'"}',
)


class Sent(NamedTuple):
    """What one connection sends, piece by piece; then it says that it sends no more, or hangs up (`reset`)."""

    name: str
    pieces: tuple[bytes, ...]
    reset: bool = False


def head(method: str, target: str, *lines: str) -> bytes:
    """A request's head."""
    return "\r\n".join((f"{method} {target} HTTP/1.1", f"Host: {AUTHORITY}", *lines, "", "")).encode("latin-1")


def signed(target: str, body: bytes, *, close: bool = True) -> bytes:
    """A request that a device signed, for a time that is over."""
    device = registration("alice").device
    key: SigningKey = device.request_key()
    path, _, query = target.partition("?")
    headers = sign_request(
        "POST", AUTHORITY, path, query, body, key_id=device.device_id(), created=EARLY, expires=EARLY + 50,
        nonce="0" * 32, signer=key.sign,
    )  # fmt: skip
    lines = [f"{name}: {value}" for name, value in headers.items()]
    ends = ["Connection: close"] if close else []
    return head("POST", target, *lines, f"Content-Length: {len(body)}", *ends) + body


def register() -> bytes:
    """A registration, in all its parts, for a time that is over."""
    public = to_base64(registration("alice").device.request_key().public)
    return signed(REGISTER, to_json({"userId": "alice", "requestKey": public}).encode())


def by_hand() -> Iterator[Sent]:
    """One of each trick that is known of."""
    get, post = ("GET", "/api/server"), ("POST", REGISTER)
    close, chunked = "Connection: close", "Transfer-Encoding: chunked"
    body = b'{"a":1}'
    for name, lines in {
        "no length": [],
        "negative length": ["Content-Length: -1"],
        "length with a plus": ["Content-Length: +7"],
        "length in hex": ["Content-Length: 0x7"],
        "length that is no number": ["Content-Length: seven"],
        "length of two numbers": ["Content-Length: 7, 7"],
        "length twice": ["Content-Length: 7", "Content-Length: 7"],
        "two lengths": ["Content-Length: 7", "Content-Length: 0"],
        "huge length": ["Content-Length: 99999999999999999999999999"],
        "length of 2^64": ["Content-Length: 18446744073709551616"],
        "length above the limit": ["Content-Length: 5000"],
        "length of other digits": ["Content-Length: \xb2"],
        "both codings": ["Content-Length: 7", chunked],
        "both codings, turned": [chunked, "Content-Length: 7"],
        "a coding twice": [chunked, chunked],
        "a coding that is none": ["Transfer-Encoding: zipped"],
        "chunked before another": ["Transfer-Encoding: chunked, gzip"],
        "a hidden coding": ["Transfer-Encoding : chunked"],
        "a coding after a tab": ["Transfer-Encoding:\tchunked"],
        "a coding in capitals": ["TRANSFER-ENCODING: CHUNKED"],
        "a folded header": ["X: a\r\n b"],
        "a line without colon": ["Hello"],
        "an empty name": [": a"],
        "a NUL in a value": ["X: a\0b"],
        "a bare CR in a value": ["X: a\rY: b"],
        "a bare LF in a value": ["X: a\nContent-Length: 0"],
        "a space in a name": ["X Y: a"],
        "expects": ["Expect: 100-continue", "Content-Length: 7"],
        "another host too": ["Host: elsewhere"],
        "a giant header": [f"X: {'a' * 200_000}"],
        "many headers": [f"X-{each}: a" for each in range(5000)],
        "a giant name": [f"{'X' * 100_000}: a"],
        "signed by nothing": ["Signature: ", "Signature-Input: "],
        "signed by noise": ["Signature: tacit=:\xff:", "Signature-Input: tacit=\xff"],
        "tokens": ["Authorization: Bearer \xff\0", "Signature-Input: tacit=()"],
        "an upgrade to another": ["Upgrade: h2c", "Connection: Upgrade", "HTTP2-Settings: AAAA"],
    }.items():
        for method, target in (get, post):
            yield Sent(f"{name}, {method}", (head(method, target, *lines, close), body))
    for name, chunk in {
        "no number": b"x\r\nabc\r\n0\r\n\r\n",
        "huge": b"ffffffffffffffffff\r\nabc",
        "negative": b"-1\r\nabc\r\n",
        "signed": b"+3\r\nabc\r\n0\r\n\r\n",
        "too short": b"2\r\nabc\r\n0\r\n\r\n",
        "bare line ends": b"3\nabc\n0\n\n",
        "an extension": b"3;" + b"a" * 50_000 + b"\r\nabc\r\n0\r\n\r\n",
        "trailers": b"3\r\nabc\r\n0\r\nContent-Length: 9\r\n\r\n",
        "no end": b"3\r\nabc\r\n",
        "many": b"1\r\na\r\n" * 6000 + b"0\r\n\r\n",
        "above the limit": b"2000\r\n" + b"a" * 0x2000 + b"\r\n0\r\n\r\n",
        "zeros": b"0" * 10_000 + b"3\r\nabc\r\n0\r\n\r\n",
    }.items():
        yield Sent(f"a chunk, {name}", (head(*post, chunked, close), chunk))
    for target in (
        "http://elsewhere/api/server", "http://127.0.0.1:8080/api/server", "//api/server", "/api//server",
        "/../api/server",
        "/api/%73erver", "/api/server%00", "/api/server\0", "*", "", "?", "/api/server#a", "/api/server?\xff",
        "/api/server;a", "/%", "/%zz", "/%ff%fe", "elsewhere:443", "/" + "a" * 100_000, "/api/server/", "/\r\n/",
        "/api/conversations/%2e%2e/leave", "/api/conversations/%00/leave", "/api/encryption/keys/public?userId=%ff",
    ):  # fmt: skip
        for method in ("GET", "POST", "CONNECT", "OPTIONS", "HEAD", "PRI", "get", "G\0T", "X" * 5000):
            yield Sent(f"{method[:9]!r} {target[:40]!r}", (head(method, target, close),))
    for line in (
        b"", b"\r\n", b"\r\n" * 1000, b"GET /api/server", b"GET /api/server HTTP/9.9\r\n\r\n",
        b"GET  / HTTP/1.1\r\n\r\n",
        b"GET /api/server HTTP/1.0\r\n\r\n", b"GET /api/server HTTP/0.9\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n",
        b"\0" * 5000,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(512), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\xff" * 70_000,
        b"GET /api/server HTTP/1.1\n\n", b"GET /api/server HTTP/1.1\r\n\n", b"GET\t/api/server\tHTTP/1.1\r\n\r\n",
    ):  # fmt: skip
        yield Sent(f"a line {line[:30]!r}", (line,))
    for each in JSON:
        yield Sent(f"JSON {each[:24]!r}", (signed(REGISTER, each),))
        yield Sent(f"JSON, unsigned {each[:24]!r}", (head(*post, f"Content-Length: {len(each)}", close), each))
    many = head(*get) * 200
    yield Sent("pipelined", (many + head(*get, close),))
    yield Sent(
        "pipelined, mixed", (head(*get) + signed(REGISTER, JSON[0], close=False) + head("PUT", "/") + register(),)
    )
    yield Sent("pipelined after too much", (head(*post, "Content-Length: 9000"), b"a" * 9000, head(*get, close)))
    yield Sent(
        "smuggled", (head(*post, "Content-Length: 4", chunked), b"0\r\n\r\nGET /api/server HTTP/1.1\r\nHost: a\r\n\r\n")
    )
    yield Sent("all at once", (SOCKET + head(*get, close),))


def cut(whole: bytes, step: int) -> Iterator[Sent]:
    """A request that ends at each `step`-th byte, orderly and not."""
    for at in range(0, len(whole), step):
        yield Sent(f"cut at {at}", (whole[:at],), reset=bool(at // step % 2))


def mutated(random: Random, count: int) -> Iterator[Sent]:
    """Requests in which something was changed."""
    wholes = [register(), head("GET", "/api/server", "Connection: close"), SOCKET, signed(REGISTER, b"{}")]
    for number in range(count):
        raw = bytearray(random.choice(wholes))
        for _ in range(random.randint(1, 4)):
            mutate(raw, random)
        at = random.randrange(len(raw) + 1)
        yield Sent(f"mutation {number}", (bytes(raw[:at]), bytes(raw[at:])), reset=random.random() < 0.1)


def mutate(raw: bytearray, random: Random) -> None:
    """Change something, somewhere."""
    at = random.randrange(len(raw) + 1)
    end = min(len(raw), at + random.choice((1, 2, 8, 40)))
    match random.randrange(5):
        case 0:
            raw[at:at] = random.choice((b"\0", b"\r", b"\n", b"\r\n", b"\r\n\r\n", b" ", b":", b'"', b"\xff", b"%00"))
        case 1:
            del raw[at:end]
        case 2:
            raw[at:at] = raw[at:end] * random.choice((1, 2, 100))
        case 3:
            raw[at:end] = random.randbytes(end - at)
        case _:
            raw[at:at] = random.choice((b"-1", b"99999999999999999999", b"0x", b"[[[[", b"{", b"\\u0000", b"\\ud800"))
