"""Files about single things: texts, structs, hashes, derivations, what is sealed, words, requests."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from vectors.maker.people import password_parameters, password_secret, proof
from vectors.maker.primitives import (
    COMPAT,
    STANDARD,
    argon2id,
    expand,
    hkdf,
    pbkdf2,
    seal,
)
from vectors.maker.tables import ALIASES, ENUMS, STRUCTS
from vectors.maker.talks import franking_tag, padded
from vectors.maker.tls import Value, drawn, encode, labelled, labelled_bytes, make, struct_hash, varint

Case = dict[str, Any]
BIG = 2**53 - 1


def case(comment: str, cause: str = "", /, **fields: Any) -> Case:
    """A case; valid where it has no cause."""
    return {"comment": comment, **fields, "valid": not cause} | ({"cause": cause} if cause else {})


# --- texts ---------------------------------------------------------------------------------


def texts() -> dict[str, list[Case]]:
    """Base64, hex and lengths: one text for one value."""
    made = [case(f"{size} bytes", text=base64.b64encode(raw := drawn("text", size)).decode(), bytes=raw)
            for size in (0, 1, 2, 3, 32)]  # fmt: skip
    wrong = {
        "without padding": "AA",
        "padding too long": "AA===",
        "trailing bits": "AB==",
        "url-safe alphabet": "_-8=",
        "white space": "AAAA\n",
        "not ASCII": "AAÄ=",
        "text after the padding": "AA==AAAA",
    }
    made += [case(comment, "base64_not_canonical", text=text) for comment, text in wrong.items()]
    key = drawn("hex", 32).hex()
    digits = [case("32 bytes", text=key, bytes=bytes.fromhex(key))]
    digits += [case("upper case", "malformed", text=key.upper())]
    digits += [case("a space", "malformed", text=" " + key[1:]), case("no digit", "malformed", text="g" + key[1:])]
    digits += [case("31 bytes", "wrong_length", text=key[2:]), case("33 bytes", "wrong_length", text=key + "00")]
    numbers = (0, 1, 63, 64, 255, 16383, 16384, 2**30 - 1)
    lengths = [case(str(number), number=number, encoded=varint(number)) for number in numbers]
    short = {"63 in two bytes": "403f", "0 in two bytes": "4000", "16383 in four bytes": "80003fff"}
    lengths += [case(comment, "malformed", encoded=text) for comment, text in short.items()]
    for comment, text in {"the prefix 11": "c0000000", "cut short": "40", "empty": ""}.items():
        lengths.append(case(comment, "malformed", encoded=text))
    return {"base64": made, "hex": digits, "lengths": lengths}


# --- structs -------------------------------------------------------------------------------


def sample(kind: str, place: str, how: str) -> Any:
    """A value of a kind: `filled`, `least` or `most`."""
    kind = ALIASES.get(kind, kind)
    if kind in STRUCTS:
        return {name: sample(each, f"{place}.{name}", how) for name, each in STRUCTS[kind]}
    if kind in ENUMS:
        numbers = ENUMS[kind][1]
        return {"filled": numbers[len(place) % len(numbers)], "least": numbers[0], "most": numbers[-1]}[how]
    head, rest = kind[0], kind[1:]
    if kind == "flag":
        return how != "least"
    if head == "u":
        highest = min(2 ** int(rest) - 1, BIG)
        return {"filled": int.from_bytes(drawn(place, 6), "big") % highest, "least": 0, "most": highest}[how]
    if head == "b":
        return drawn(place, int(rest)) if how == "filled" else bytes([255 if how == "most" else 0]) * int(rest)
    if head == "[":
        count = {"filled": 2, "least": 0, "most": 3}[how]
        return [sample(kind[1:-1], f"{place}[{i}]", how) for i in range(count)]
    least, most = map(int, rest.split("-"))
    size = {"filled": max(least, min(most, 40)), "least": least, "most": min(most, 70)}[how]
    if head == "v":
        return drawn(place, size)
    if how == "filled" and size < 64:
        return "zoë 𝄞 " + drawn(place, 16).hex()[: size - 10]
    return drawn(place, 64).hex()[:size]


def structs() -> dict[str, list[Case]]:
    """Every struct three times, and what no parser takes."""
    made: list[Case] = []
    for name, fields in STRUCTS.items():
        whole = b""
        for how in ("filled", "least", "most") if fields else ("least",):
            value = sample(name, name, how)
            encoded = encode(name, value)
            whole = whole or encoded
            made.append(case(f"{name}, {how}", struct=name, value=value, encoded=encoded))
        made.append(case(f"{name}, a byte too much", "malformed", struct=name, encoded=whole + b"\0"))
        if whole:
            made.append(case(f"{name}, a byte too few", "malformed", struct=name, encoded=whole[:-1]))
    for kind, (size, numbers) in ENUMS.items():
        struct, field = next((name, each) for name, pairs in STRUCTS.items() for each, of in pairs if of == kind)
        value = sample(struct, struct, "filled")
        for number in numbers:
            bent = value | {field: number}
            made.append(case(f"{kind} {number}", struct=struct, value=bent, encoded=encode(struct, bent)))
        at = len(encode_before(struct, value, field))
        spoilt = bytearray(encode(struct, value))
        unknown = next(number for number in range(200, 0, -1) if number not in numbers)
        spoilt[at : at + int(size[1:]) // 8] = unknown.to_bytes(int(size[1:]) // 8, "big")
        made.append(case(f"{kind} {unknown}", "unknown_version", struct=struct, encoded=bytes(spoilt)))
    target = encode("Name", make("Name", "u", "d" * 64, "m"))
    refused: list[tuple[str, str, str, bytes]] = [
        ("an empty id", "wrong_length", "DeviceKey", bytes(2)),
        ("an id of 256 bytes", "too_large", "DeviceKey", varint(256) + b"a" * 256 + bytes(1)),
        ("an id that is not UTF-8", "malformed", "DeviceKey", b"\x01\xff\x00"),
        ("half a surrogate pair", "malformed", "DeviceKey", b"\x03\xed\xa0\x80\x00"),
        ("a device id of 63 bytes", "wrong_length", "DeleteBody", b"\x01u" + varint(63) + b"d" * 63 + b"\x01m"),
        ("a length that is not minimal", "malformed", "DeviceKey", b"\x40\x01u\x00"),
        ("a length that goes beyond the end", "malformed", "DeviceKey", b"\x01u\x05abcd"),
        ("a key over its limit, not there", "too_large", "DeviceKey", b"\x01u" + varint(4097)),
        ("a flag of 2", "malformed", "Policy", encode("Policy", sample("Policy", "p", "filled"))[:-1] + b"\x02"),
        ("33 hashes seen", "too_large", "Content", bytes(10) + varint(33 * 32) + bytes(33 * 32) + bytes(34)),
        ("a vector that ends within an element", "malformed", "Content", bytes(10) + varint(33) + bytes(33 + 34)),
        ("a ciphertext shorter than its tag", "wrong_length", "Message", message_with(15)),
        ("a salt of 15 bytes", "wrong_length", "PasswordParameters", bytes(10) + varint(15) + bytes(15)),
        ("a salt of 65 bytes", "too_large", "PasswordParameters", bytes(10) + varint(65) + bytes(65)),
        ("two names where one belongs", "malformed", "DeleteBody", target + target),
    ]
    made += [case(comment, cause, struct=of, encoded=encoded) for comment, cause, of, encoded in refused]
    return {"structs": made}


def encode_before(struct: str, value: Value, field: str) -> bytes:
    """The bytes of the fields before one."""
    from vectors.maker.tls import field as one

    out = b""
    for name, kind in STRUCTS[struct]:
        if name == field:
            break
        out += one(kind, value[name])
    return out


def message_with(size: int) -> bytes:
    """A message whose ciphertext has so many bytes."""
    aad = sample("MessageAad", "aad", "filled")
    return encode("MessageAad", aad) + bytes(12) + varint(size) + bytes(size)


# --- hashes --------------------------------------------------------------------------------

HASHED = {
    "aik fingerprint": "AikKey",
    "device id": "DeviceKey",
    "account record": "AccountRecord",
    "vault inner": "Inner",
    "vault boxes": "Boxes",
    "vault outer header": "OuterHeader",
    "vault outer entries": "Sealed",
    "unlocker proof": "Proof",
    "encryption key": "EncryptionKey",
    "conversation id": "Founding",
    "conversation record": "ConversationRecord",
    "roster": "RosterList",
    "message hash": "Message",
    "password salt": "PasswordSalt",
}


def hashes() -> dict[str, list[Case]]:
    """SHA-256 over `{label<V>, struct<V>}` for everything that is hashed."""
    made = []
    for label, struct in HASHED.items():
        value = sample(struct, f"hash {struct}", "filled")
        if label == "roster":
            value["members"].sort(key=lambda each: each["user_id"].encode())
        hashed = struct_hash(label, struct, value)
        full = f"tacit/1 {label}"
        made.append(
            case(label, label=full, struct=struct, value=value, input=labelled(label, struct, value), hash=hashed)
        )
    return {"hashes": made}


# --- derivations ---------------------------------------------------------------------------


def derivations() -> dict[str, list[Case]]:
    """HKDF under each label, passwords, franking tags, padding and words."""
    derived = []
    key = drawn("derivation key", 32)
    for label, struct in {
        "unlock": "UnlockContext",
        "auth": "AuthContext",
        "archive key id": "NoContext",
        "key id": "KeyIdContext",
        "message key": "MessageKeyContext",
    }.items():
        value = sample(struct, f"derive {struct}", "filled")
        info = labelled(label, struct, value)
        fields: Case = {"label": f"tacit/1 {label}", "struct": struct, "value": value, "info": info, "key": key}
        derived.append(case(label, **fields, derived=hkdf(key, info)))
    return {"hkdf": derived, "passwords": passwords(), "franking": franking(), "padding": padding(), "words": words()}


def passwords() -> list[Case]:
    """From the typed password to the unlocker's secret and its proof."""
    made = []
    salt = drawn("a salt", 16)
    real = [make("PasswordParameters", 1, 65536, 3, 4, salt), make("PasswordParameters", 2, 0, 600_000, 0, salt)]
    cheap = [password_parameters(profile, drawn("another salt", 64)) for profile in (STANDARD, COMPAT)]
    for parameters in real + cheap:
        for typed, normal in (("correct horse", "correct horse"), ("\ufb01ne Å café", "fine Å café")):
            secret = password_secret("chat.example", "zoë", normal.encode(), parameters)
            fields: Case = {
                "server_name": "chat.example",
                "user_id": "zoë",
                "typed": typed,
                "password": normal.encode(),
            }
            fields |= {"parameters": parameters, "secret": secret, "unlocker_id": "0f" * 16}
            name = "Argon2id" if parameters["kdf"] == 1 else "PBKDF2"
            shown = proof("chat.example", "zoë", "0f" * 16, secret)
            hashed = struct_hash("unlocker proof", "Proof", make("Proof", shown))
            made.append(
                case(f"{name}, {parameters['iterations']} times, {typed}", **fields, proof=shown, proof_hash=hashed)
            )
    made[0]["plain_argon2id"] = argon2id(b"password", bytes(16), 32, 1, 1)
    made[2]["plain_pbkdf2"] = pbkdf2(b"password", bytes(16), 1)
    return made


def franking() -> list[Case]:
    """HMAC over the content before padding."""
    made = []
    for how in ("filled", "least"):
        value = sample("Content", "franked", how)
        content = encode("Content", value)
        tag = franking_tag(content, value["franking_key"])
        named = labelled_bytes("franking", content)
        made.append(case(how, label="tacit/1 franking", value=value, content=content, input=named, tag=tag))
    return made


def padding() -> list[Case]:
    """Sizes of Padmé, and whole contents padded."""
    made = [case(f"{size} bytes", content=b"\x01" * size, padded=padded(b"\x01" * size))
            for size in (0, 1, 7, 62, 63, 64, 100, 255, 300)]  # fmt: skip
    made.append(case("a zero too few does not matter, a one does", "malformed", padded=b"\x01\x01\x00\x01"))
    made.append(case("longer than it is", "malformed", padded=b"\x05\x01"))
    return made


def words() -> list[Case]:
    """BIP39: four of its own vectors with 256 bits; `places` count the list's words from 0."""
    known = {
        "00": "abandon " * 23 + "art",
        "7f": "legal winner thank year wave sausage worth useful " * 2
        + "legal winner thank year wave sausage worth title",
        "80": "letter advice cage absurd amount doctor acoustic avoid " * 2
        + "letter advice cage absurd amount doctor acoustic bless",
        "ff": "zoo " * 23 + "vote",
    }
    made = []
    for byte, text in known.items():
        key = bytes.fromhex(byte) * 32
        bits = int.from_bytes(key + hashlib.sha256(key).digest()[:1], "big")
        places = [bits >> 11 * (23 - place) & 2047 for place in range(24)]
        assert len(set(places)) == len(set(text.split()))
        made.append(case(f"every byte {byte}", key=key, places=places, words=text.split()))
    wrong = [*made[0]["words"][:-1], "abandon"]
    made.append(case("the checksum is wrong", "invalid_argument", words=wrong))
    made.append(case("a word too few", "invalid_argument", words=made[0]["words"][1:]))
    return made


# --- what is sealed ------------------------------------------------------------------------


def sealed() -> dict[str, list[Case]]:
    """Cobblestone-256 under each label, over one chunk and several."""
    made = []
    key = drawn("sealing key", 32)
    contexts = {
        "wrapped amk": "UnlockContext",
        "wrapped aik": "AccountContext",
        "wrapped outer key": "AccountContext",
        "outer": "OuterContext",
        "store key": "StoreKeyContext",
        "key pair": "KeyPairContext",
    }
    for label, struct in contexts.items():
        value = sample(struct, f"seal {struct}", "filled")
        context = labelled(label, struct, value)
        fields = {"label": f"tacit/1 {label}", "struct": struct, "value": value, "context": context, "key": key}
        plaintext = drawn(f"sealed {label}", 32)
        made.append(case(label, **fields, plaintext=plaintext, sealed=seal(key, context, plaintext, drawn(label, 24))))
    context, salt = b"context", drawn("chunk salt", 24)
    for size in (0, 16383, 16384, 16385):
        plaintext = bytes(size)
        digest = hashlib.sha256(seal(key, context, plaintext, salt)).digest()
        if size < 16384:
            whole = seal(key, context, plaintext, salt)
            made.append(case(f"{size} bytes", key=key, context=context, plaintext=plaintext, sealed=whole))
        else:
            last = seal(key, context, plaintext, salt)[-40:]
            zeros = {"zeros": size, "salt": salt, "last": last, "sha256": digest}
            made.append(case(f"{size} zeros", key=key, context=context, **zeros))
    whole = seal(key, context, b"text", salt)
    changed = {place: bytes([whole[place] ^ 1]) for place in (0, 24, 56, len(whole) - 1)}
    for place, byte in changed.items():
        bent = whole[:place] + byte + whole[place + 1 :]
        made.append(case(f"byte {place} changed", "decryption_failed", key=key, context=context, sealed=bent))
    other = {"key": drawn("another key", 32), "context": context}
    made.append(case("another key", "decryption_failed", **other, sealed=whole))
    made.append(case("another context", "decryption_failed", key=key, context=b"contexT", sealed=whole))
    for comment, bent in {"cut": whole[:-1], "empty": b"", "header only": whole[:56], "longer": whole + b"\0"}.items():
        made.append(case(comment, "decryption_failed", key=key, context=context, sealed=bent))
    made[0]["expanded"] = expand(
        key, b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\0" + made[0]["sealed"][:24] + made[0]["context"], 76,
        "sha512",
    )  # fmt: skip
    return {"sealed": made}
