"""Contents and messages."""

from __future__ import annotations

import base64
from typing import Any

from vectors.maker.basics import Case, case, sample
from vectors.maker.epochs import Town, at
from vectors.maker.people import NOW, Device
from vectors.maker.primitives import COMPAT, FIPS, NAMES, STANDARD
from vectors.maker.talks import message_key, padded, seal_message
from vectors.maker.tls import Value, drawn, encode, labelled, make, struct_hash, vector

# --- contents ------------------------------------------------------------------------------


def contents() -> dict[str, list[Case]]:
    """Every kind of content that is shown, and what is kept as it is."""
    name = make("Name", "bob", "b0" * 32, "message 1")
    notice = encode("NoticeBody", make("NoticeBody", 1, encode("NameNotice", make("NameNotice", "Wörter"))))
    bodies = {
        "text": (1, "TextBody", make("TextBody", "Grüße, 𝄞"), b""),
        "an empty text": (1, "TextBody", make("TextBody", ""), b""),
        "edit": (3, "EditBody", make("EditBody", name, "better"), b""),
        "delete": (4, "DeleteBody", make("DeleteBody", name), b""),
        "name": (8, "NameNotice", make("NameNotice", "Wörter"), notice),
        "a kind to come": (99, "Unknown", make("Unknown", 99, b"whatever"), b"whatever"),
        "a reply, which is not built": (2, "Unknown", make("Unknown", 2, b"\0"), b"\0"),
        "a text with more in it": (1, "Unknown", make("Unknown", 1, b"\x01t\x00"), b"\x01t\x00"),
        "a topic, which is not built": (8, "Unknown", make("Unknown", 8, b"\0\2\0"), b"\0\2\0"),
        "an empty name": (8, "Unknown", make("Unknown", 8, b"\0\1\1\0"), b"\0\1\1\0"),
    }
    made = []
    for comment, (kind, struct, body, raw) in bodies.items():
        value = content(kind, raw or encode(struct, body))
        made.append(case(comment, value=value, encoded=encode("Content", value), body_struct=struct, body=body))
    return {"contents": made}


def content(kind: int, body: bytes) -> Value:
    """A content with two hashes seen."""
    seen = [drawn("seen 1", 32), drawn("seen 2", 32)]
    return make("Content", kind, NOW, seen, b"", drawn("franking key", 32), body)


# --- messages ------------------------------------------------------------------------------


def fields_of(sealed: Value) -> dict[str, Any]:
    """`encryptedPayload`."""
    message, aad = sealed["message"], sealed["message"]["aad"]

    def text(data: bytes) -> str:
        return base64.b64encode(data).decode()

    return {
        "version": aad["version"],
        "encryptedText": text(message["ciphertext"]),
        "iv": text(message["iv"]),
        "tag": "",
        "keyId": aad["key_id"].hex(),
        "recordHash": aad["record_hash"].hex(),
        "epoch": aad["epoch"],
        "senderId": aad["user_id"],
        "deviceId": aad["device_id"],
        "instanceId": text(aad["instance_id"]),
        "counter": aad["counter"],
        "clientMessageId": aad["client_message_id"],
        "contentType": aad["content_type"],
        "frankingTag": text(aad["franking_tag"]),
        "signature": text(sealed["signature"]),
    }


def messages() -> dict[str, list[Case]]:
    """Messages as they are served, from the JSON to the content."""
    made: list[Case] = []
    for profile in (STANDARD, COMPAT, FIPS):
        made += _messages(at(profile), NAMES[profile])
    return {"messages": made, "payloads": payloads()}


def _messages(here: Town, name: str) -> list[Case]:
    made: list[Case] = []
    epoch, other = here.epochs["1 genesis"], here.epochs["2 rotation"]
    (phone,) = here.alice.devices
    value = content(1, encode("TextBody", make("TextBody", "hello")))
    plain = encode("Content", value)
    key = value["franking_key"]

    def add(comment: str, sealed: Value, cause: str = "", by: Device = phone, **more: Any) -> None:
        # A message counts by its sender's account's profile, whatever the conversation's is.
        fields = {
            "profile": NAMES[by.profile],
            "record": encode("ConversationRecord", epoch.record),
            "key": epoch.key,
            "request_key": by.request.public,
            "payload": fields_of(sealed),
        }
        if not cause:
            message = sealed["message"]
            aad = message["aad"]
            fields |= {
                "message": message,
                "signature": sealed["signature"],
                "message_hash": struct_hash("message hash", "Message", message),
                "message_key": message_key(epoch, aad["device_id"], aad["instance_id"], aad["counter"]),
                "aad": labelled("message aad", "MessageAad", aad),
                "seed": by.request.seed,
                "content": value,
                "encoded_content": plain,
            }
        made.append(case(f"{name}: {comment}", cause, **fields | more))

    def seal(**bent: Any) -> Value:
        return seal_message(epoch, phone, plain, key, name, **bent)

    add("a text", seal())
    add("with the highest counter", seal(counter=2**53 - 1, client_message_id="zoë 1"))
    own = here.carol.devices[0]
    add("of another member", seal_message(epoch, own, plain, key, f"{name} carol"), by=own)
    tampered, bad = "message_tampered", "bad_signature"
    add("another device's signature", seal(), bad, request_key=here.bob.devices[0].request.public)
    add("a counter that was not signed", seal() | {"signature": seal(counter=5)["signature"]}, bad)
    add("another franking tag", seal(franking_tag=drawn("another tag", 32)), tampered)
    whole = seal()["message"]["ciphertext"]
    add("a ciphertext with a bit changed", seal(ciphertext=bytes([whole[0] ^ 1]) + whole[1:]), "decryption_failed")
    add("a padding that is not zero", seal(padded=padded(plain) + b"\1"), tampered)
    add("no content", seal(padded=b"\x03abc\0"), tampered)
    add("a byte behind the content", seal(padded=vector(plain + b"\0")), tampered)
    add("another epoch", seal(epoch=2), tampered)
    add("another epoch's record", seal(record_hash=other.hash), tampered)
    add("another epoch's key id", seal(key_id=other.record["key_id"]), tampered)
    return made


def payloads() -> list[Case]:
    """What no parser takes for `encryptedPayload`."""
    value = sample("Message", "payload", "filled")
    value["aad"] |= {"version": 1, "epoch": 3, "counter": 4}
    good = fields_of({"message": value, "signature": drawn("payload signature", 64)})
    made = [case("as it should be", payload=good, message=value, signature=drawn("payload signature", 64))]
    wrong: list[tuple[str, str, dict[str, Any]]] = [
        ("a version to come", "unknown_version", {"version": 2}),
        ("a tag beside the text", "wrong_length", {"tag": "AAAA"}),
        ("a field too many", "unknown_field", {"text": "hello"}),
        ("a number as text", "malformed_json", {"epoch": "3"}),
        ("a truth value as number", "malformed_json", {"epoch": True}),
        ("a fraction", "malformed_json", {"counter": 1.5}),
        ("null", "malformed_json", {"iv": None}),
        ("an epoch of 2^53", "malformed", {"epoch": 2**53}),
        ("a negative counter", "malformed", {"counter": -1}),
        ("a content type of 65536", "malformed", {"contentType": 65536}),
        ("an empty sender", "wrong_length", {"senderId": ""}),
        ("a sender of 256 bytes", "wrong_length", {"senderId": "a" * 256}),
        ("upper case in a hash", "malformed", {"keyId": "A" * 64}),
        ("a short hash", "wrong_length", {"recordHash": "00"}),
        ("a device id of 63 digits", "wrong_length", {"deviceId": "0" * 63}),
        ("base64 without padding", "base64_not_canonical", {"iv": good["iv"][:-1] + "\n"}),
        ("an iv of 11 bytes", "wrong_length", {"iv": base64.b64encode(bytes(11)).decode()}),
        ("an iv of 13 bytes", "too_large", {"iv": base64.b64encode(bytes(13)).decode()}),
        ("a text shorter than its tag", "wrong_length", {"encryptedText": base64.b64encode(bytes(15)).decode()}),
        ("a franking tag of 31 bytes", "wrong_length", {"frankingTag": base64.b64encode(bytes(31)).decode()}),
    ]
    made += [case(comment, cause, payload=good | bent) for comment, cause, bent in wrong]
    lacking = {field: value for field, value in good.items() if field != "signature"}
    made.append(case("without a signature", "malformed_json", payload=lacking))
    return made
