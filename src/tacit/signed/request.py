"""Signed requests: one fixed profile of RFC 9421, and the challenge that opens a WebSocket.

A request carries exactly one signature, labelled `tacit`, over @method, @authority (the configured one), @path, @query
and, if and only if there is a body, content-digest (RFC 9530, sha-256), in this order. Its parameters are created,
keyid (the device id), expires, nonce and tag="tacit/1", in this order; `alg` is neither sent nor taken, because the
key's account already fixes the algorithm. So there is one text for one request, and nothing for a parser to choose.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Final

from tacit import errors
from tacit.crypto.digest import equal, sha256
from tacit.signed import labels
from tacit.signed.account import DeviceId
from tacit.signed.profiles import signature_algorithm, signed_by
from tacit.signed.verify import Signer, Verified, sign, verify_by_key
from tacit.wire import limits
from tacit.wire.codec import struct
from tacit.wire.encodings import Fixed, Hash, Id
from tacit.wire.text import from_base64, to_base64

LIFETIME: Final = 60
"""The most seconds between `created` and `expires`, and that `created` may be ahead of the server's clock."""

_COMPONENTS: Final = '"@method" "@authority" "@path" "@query"'
_DIGEST: Final = ' "content-digest"'
_PARAMETERS: Final = re.compile(
    rf"\({re.escape(_COMPONENTS)}(?P<digest>{re.escape(_DIGEST)})?\)"
    r";created=(?P<created>[1-9][0-9]{0,11})"
    r';keyid="(?P<keyid>[0-9a-f]{64})"'
    r";expires=(?P<expires>[1-9][0-9]{0,11})"
    r';nonce="(?P<nonce>[A-Za-z0-9_-]{22,64})"'
    rf';tag="{re.escape(labels.REQUEST_TAG)}"'
)
_METHOD: Final = re.compile(r"[A-Z]+")
_VISIBLE: Final = re.compile(r"[!-~]*")


@dataclass(frozen=True, slots=True)
class RequestSignature:
    """What a request says of its own signature; nothing of it is checked yet. Times are Unix seconds."""

    key_id: str
    nonce: str
    created: int
    expires: int
    parameters: str
    content_digest: str | None
    signature: bytes


def sign_request(
    method: str,
    authority: str,
    path: str,
    query: str,
    body: bytes,
    *,
    key_id: str,
    created: int,
    expires: int,
    nonce: str,
    signer: Signer,
) -> dict[str, str]:
    """The headers that sign a request (RFC 9421 §3.1).

    `path` and `query` (without its question mark) are as they stand in the request line, percent-encoded;
    `authority` is lowercase, without the scheme's default port; times are Unix seconds; `nonce` is base64url of at
    least 16 random bytes. Raises `InvalidArgument` for values that this profile cannot carry.
    """
    digest = content_digest(body) if body else None
    components = _COMPONENTS + (_DIGEST if digest else "")
    tag = labels.REQUEST_TAG
    parameters = f'({components});created={created};keyid="{key_id}";expires={expires};nonce="{nonce}";tag="{tag}"'
    if _PARAMETERS.fullmatch(parameters) is None or not created <= expires <= created + LIFETIME:
        raise errors.InvalidArgument("a signature parameter is outside the profile")
    base = _signature_base(method, authority, path, query, digest, parameters)
    if base is None:
        raise errors.InvalidArgument("method, authority, path or query is not the text of a request line")
    headers = {"Signature-Input": f"tacit={parameters}", "Signature": f"tacit=:{to_base64(signer(base))}:"}
    if digest:
        headers["Content-Digest"] = digest
    return headers


def read_signature(headers: Iterable[tuple[str, str]]) -> RequestSignature:
    """The one signature among a request's headers, unchecked.

    Raises `RequestUnsigned` where there is none, `RequestSignatureInvalid` where it is not of this profile.
    """
    found: dict[str, str] = {}
    for name, value in headers:
        lower = name.lower()
        if lower in ("signature-input", "signature", "content-digest"):
            if lower in found:
                raise errors.RequestSignatureInvalid(f"{lower} stands twice")
            found[lower] = value.strip(" \t")
    if "signature" not in found and "signature-input" not in found:
        raise errors.RequestUnsigned()
    label, _, parameters = found.get("signature-input", "").partition("=")
    match = _PARAMETERS.fullmatch(parameters)
    if label != "tacit" or match is None:
        raise errors.RequestSignatureInvalid("signature-input is not of this profile")
    text = found.get("signature", "")
    if not (text.startswith("tacit=:") and text.endswith(":") and len(text) > len("tacit=::")):
        raise errors.RequestSignatureInvalid("signature is not of this profile")
    try:
        signature = from_base64(text.removeprefix("tacit=:")[:-1], limits.SIGNATURE_BYTES)
    except errors.PeerError:
        raise errors.RequestSignatureInvalid("signature is not canonical base64") from None
    digest = found.get("content-digest")
    if (digest is None) == (match["digest"] is not None):
        raise errors.RequestSignatureInvalid("content-digest is sent and not signed, or signed and not sent")
    return RequestSignature(
        match["keyid"], match["nonce"], int(match["created"]), int(match["expires"]), parameters, digest, signature
    )


def verify_request(
    read: RequestSignature,
    method: str,
    authority: str,
    path: str,
    query: str,
    body: bytes,
    *,
    public: bytes,
    now: int,
) -> None:
    """Check a whole request: `verify_head`, and `check_body`. Raises as they do."""
    check_body(read, body)
    verify_head(read, method, authority, path, query, public=public, now=now)


def check_body(read: RequestSignature, body: bytes) -> None:
    """Check a body against the digest that is signed; raises `RequestSignatureInvalid`."""
    if (read.content_digest is not None) != bool(body):
        raise errors.RequestSignatureInvalid("a body is signed with its digest, and nothing else is")
    if read.content_digest is not None and not equal(read.content_digest.encode(), content_digest(body).encode()):
        raise errors.RequestSignatureInvalid("content-digest is not that of the body")


def verify_head(
    read: RequestSignature, method: str, authority: str, path: str, query: str, *, public: bytes, now: int
) -> None:
    """Check all of a request but its body against its signature (RFC 9421 §3.2), so that a body need not be read first.

    `authority` is the configured one, `now` Unix seconds. Raises `RequestSignatureInvalid`, and only for a request
    that is signed well `ClockSkew` (fact `time`: Unix milliseconds). The caller still has to compare `key_id` with the
    session's device and to take the nonce.
    """
    base = _signature_base(method, authority, path, query, read.content_digest, read.parameters)
    if base is None or not signed_by(signature_algorithm(public), public, base, read.signature):
        raise errors.RequestSignatureInvalid("it is not by this device over this request")
    if not read.created <= read.expires <= read.created + LIFETIME:
        raise errors.RequestSignatureInvalid(f"it expires more than {LIFETIME} seconds after it was created")
    if read.created > now + LIFETIME or read.expires < now:
        raise errors.ClockSkew(time=now * 1000)


def content_digest(body: bytes) -> str:
    """The Content-Digest header of a body (RFC 9530 §2), SHA-256."""
    return f"sha-256=:{to_base64(sha256(body))}:"


def _signature_base(
    method: str, authority: str, path: str, query: str, digest: str | None, parameters: str
) -> bytes | None:
    """The signature base (RFC 9421 §2.5), or None where a value could be read as another line of it."""
    texts = (authority, path, query)
    if _METHOD.fullmatch(method) is None or not all(_VISIBLE.fullmatch(text) for text in texts):
        return None
    if not path.startswith("/") or "?" in path or authority != authority.lower():
        return None
    lines = [f'"@method": {method}', f'"@authority": {authority}', f'"@path": {path}', f'"@query": ?{query}']
    if digest is not None:
        lines.append(f'"content-digest": {digest}')
    lines.append(f'"@signature-params": {parameters}')
    return "\n".join(lines).encode()


@struct
class SocketChallenge:
    """What a device signs to open a WebSocket: after that the connection itself is the proof.

    `origin` is scheme, host and port as configured (`http://127.0.0.1:8080`), `session` the SHA-256 of the session
    token, `nonce` 32 bytes that the server made for this connection.
    """

    origin: Id
    session: Hash
    device_id: DeviceId
    nonce: Annotated[bytes, Fixed(32)]


def sign_challenge(challenge: SocketChallenge, device: Signer) -> bytes:
    """The device's answer to a WebSocket's challenge."""
    return sign(labels.SOCKET_CHALLENGE, challenge, device)


def verify_challenge(challenge: SocketChallenge, signature: bytes, request_key: bytes) -> Verified[SocketChallenge]:
    """The challenge as this device's; raises `BadSignature`."""
    return verify_by_key(labels.SOCKET_CHALLENGE, challenge, request_key, signature)
