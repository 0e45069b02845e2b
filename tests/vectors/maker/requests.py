"""Signed requests and WebSocket challenges."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from vectors.maker.basics import Case, case
from vectors.maker.primitives import COMPAT, NAMES, STANDARD, SigningKey, signing_key
from vectors.maker.tls import drawn, labelled, make, struct_hash


def requests() -> dict[str, list[Case]]:
    """RFC 9421 requests and WebSocket challenges under both signature algorithms."""
    made: list[Case] = []
    challenges: list[Case] = []
    for profile in (STANDARD, COMPAT):
        made += _requests(signing_key(profile, "requests"), NAMES[profile])
        challenges += _challenges(signing_key(profile, "requests"), NAMES[profile])
    return {"requests": made, "challenges": challenges}


def _requests(key: SigningKey, name: str) -> list[Case]:
    device = struct_hash("device id", "DeviceKey", make("DeviceKey", "alice", key.public)).hex()
    nonce = base64.urlsafe_b64encode(drawn("nonce", 16)).rstrip(b"=").decode()
    body = '{"userId":"zoë"}'.encode()
    components = '"@method" "@authority" "@path" "@query"'

    def signed(comment: str, cause: str = "", **bent: Any) -> Case:
        at: dict[str, Any] = {
            "method": "POST",
            "authority": "chat.example:8080",
            "path": "/api/sync",
            "query": "",
            "body": body,
        } | bent
        created = bent.get("created", 1_790_000_000)
        expires = bent.get("expires", created + 60)
        digest = "sha-256=:" + base64.b64encode(hashlib.sha256(at["body"]).digest()).decode() + ":"
        listed = components + (' "content-digest"' if at["body"] else "")
        tail = f';created={created};keyid="{device}";expires={expires};nonce="{nonce}";tag="tacit/1"'
        parameters = bent.get("parameters", f"({listed}){tail}")
        lines = [
            f'"@method": {at["method"]}',
            f'"@authority": {at["authority"]}',
            f'"@path": {at["path"]}',
            f'"@query": ?{at["query"]}',
        ]
        lines += [f'"content-digest": {digest}'] if at["body"] else []
        base = "\n".join([*lines, f'"@signature-params": {parameters}'])
        signature = base64.b64encode(key.sign(base.encode())).decode()
        headers = [["Signature-Input", f"tacit={parameters}"], ["Signature", f"tacit=:{signature}:"]]
        headers += [["Content-Digest", digest]] if at["body"] else []
        seen = {field: at[field] for field in ("method", "authority", "path", "query", "body")} | bent.get("seen", {})
        what = {"public": key.public, "now": bent.get("now", 1_790_000_010), "headers": bent.get("headers", headers)}
        if not cause:
            what |= {"seed": key.seed, "keyid": device, "created": created, "expires": expires, "nonce": nonce}
        return case(f"{name}: {comment}", cause, **seen, **what, base=base)

    invalid = "request_signature_invalid"
    plain = signed("plain")
    foreign = [["Signature-Input", 'tacit=("@method")'], ["Signature", plain["headers"][1][1]]]
    twice = [*plain["headers"], plain["headers"][1]]
    short = f'({components} "content-digest");created=1790000000;keyid="{device}";nonce="{nonce}";tag="tacit/1"'
    return [
        signed("with a body"),
        signed("without", method="GET", path="/api/encryption/keys/public", query="userId=zo%C3%AB&after=0", body=b""),
        signed("at its end", now=1_790_000_060),
        signed("another method", invalid, seen={"method": "PUT"}),
        signed("another authority", invalid, seen={"authority": "evil.example"}),
        signed("another path", invalid, seen={"path": "/api/messages/encrypted"}),
        signed("another query", invalid, seen={"query": "a=b"}),
        signed("another body", invalid, seen={"body": body + b" "}),
        signed("a body that is not signed", invalid, body=b"", seen={"body": body}),
        signed("over too little", invalid, headers=foreign),
        signed("a signature twice", invalid, headers=twice),
        signed("without expires", invalid, parameters=short),
        signed("unsigned", "request_unsigned", headers=[]),
        signed("for longer than a minute", invalid, expires=1_790_000_061),
        signed("too late", "clock_skew", now=1_790_000_061),
        signed("too early", "clock_skew", now=1_789_999_939),
    ]


def _challenges(key: SigningKey, name: str) -> list[Case]:
    device = struct_hash("device id", "DeviceKey", make("DeviceKey", "alice", key.public)).hex()
    token = base64.urlsafe_b64encode(drawn("token", 32)).rstrip(b"=").decode()
    session = hashlib.sha256(token.encode()).digest()
    value = make("SocketChallenge", "https://chat.example", session, device, drawn("challenge", 32))
    signature = key.sign(labelled("socket challenge", "SocketChallenge", value))
    fields = {"label": "tacit/1 socket challenge", "value": value, "token": token, "public": key.public}
    own = {"seed": key.seed}
    bent = value | {"origin": "https://evil.example"}
    return [
        case(f"{name}: a challenge", **fields, **own, signature=signature),
        case(f"{name}: another origin", "bad_signature", **fields | {"value": bent}, signature=signature),
    ]
