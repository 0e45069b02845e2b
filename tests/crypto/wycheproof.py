"""`python -m crypto.wycheproof`: every case of every Wycheproof file through the doors of `tacit.crypto`.

A case is *met* when the door did what the file says of it: the right output where it is valid, a refusal where it is
invalid, the one or the other where it is acceptable. It is *refused* when it is valid or acceptable and the door
refuses it by a limit that is stated here; each of those stands in refused.json.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from crypto import ledger
from crypto.ledger import Refusal
from tacit import errors
from tacit.crypto import aead, ecdh, kdf, verify
from tacit.crypto.kem import MLKEM768
from tacit.crypto.rsa import RsaKey, unwrap
from tacit.crypto.secret import Secret
from vectors_dir import load

Group = dict[str, Any]
Case = dict[str, Any]
AeadDoor = Callable[[Secret, bytes, bytes, bytes], bytes]

ZERO = "what both agree on would be zero"
COMPRESSED = "a point has its uncompressed form of 65 bytes"
AES_192 = "an AES key has 128 or 256 bits"
IV = "an iv has 96 bits"


class WrongOutput(Exception):
    """A door took a case and gave something else than the file says, or failed in a way that it must not."""


@dataclass(frozen=True)
class Doors:
    """How the cases of one file go through: `took` for each group, and how many cases the file has.

    `took` says whether the door took the case and gave the right output; False is a refusal. `limit` names the stated
    limit that a case is beyond, if any.
    """

    count: int
    took: Callable[[Group], Callable[[Case], bool]]
    limit: Callable[[Group, Case], str | None] = lambda group, case: None


@dataclass
class Tally:
    """What became of the cases of one file."""

    met: int = 0
    refused: list[Refusal] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


def unhex(case: Case, *names: str) -> list[bytes]:
    return [bytes.fromhex(case[name]) for name in names]


def right(found: bytes, expected: bytes) -> bool:
    if found != expected:
        raise WrongOutput(f"gave {found.hex()[:80]}")
    return True


# --- each kind of file ------------------------------------------------------------------


def aeads(doors: Mapping[int, tuple[AeadDoor, AeadDoor]], default: int) -> Callable[[Group], Callable[[Case], bool]]:
    """By the bits of a key; a key of any other size is tried with the default."""

    def of(group: Group) -> Callable[[Case], bool]:
        seal, open_ = doors.get(group["keySize"], doors[default])

        def took(case: Case) -> bool:
            raw, iv, aad, text, ct, tag = unhex(case, "key", "iv", "aad", "msg", "ct", "tag")
            key = Secret(raw)
            try:
                sealed = seal(key, iv, text, aad)
            except errors.WrongLength:
                sealed = None
            try:
                opened = open_(key, iv, ct + tag, aad)
            except errors.WrongLength:
                if sealed is not None:
                    raise WrongOutput("sealed, but not opened") from None
                return False
            except errors.DecryptionError:
                return False
            if sealed is None:
                raise WrongOutput("opened, but not sealed")
            return right(sealed, ct + tag) and right(opened, text)

        return took

    return of


def aead_limit(group: Group, case: Case) -> str | None:
    if group["keySize"] not in (128, 256):
        return AES_192
    return IV if group["ivSize"] != 96 else None


def agreements(of: type[ecdh.EcdhKey], order: str) -> Callable[[Group], Callable[[Case], bool]]:
    def took(case: Case) -> bool:
        (raw,) = unhex(case, "private")
        if order == "big":  # the files write a scalar as a number, with as many bytes as it happens to need
            raw = int.from_bytes(raw, "big").to_bytes(of.SEED_BYTES, "big")
        public, shared = unhex(case, "public", "shared")
        try:
            return right(of.from_seed(Secret(raw)).agree(public).reveal(), shared)
        except (errors.WrongLength, errors.Malformed):
            return False

    return lambda group: took


def zero_limit(group: Group, case: Case) -> str | None:
    return ZERO if not any(bytes.fromhex(case["shared"])) else None


def compressed_limit(group: Group, case: Case) -> str | None:
    return COMPRESSED if "CompressedPoint" in case["flags"] else None


def signatures(key: str, holds: Callable[[bytes, bytes, bytes], bool]) -> Callable[[Group], Callable[[Case], bool]]:
    def of(group: Group) -> Callable[[Case], bool]:
        public = bytes.fromhex(group["publicKey"][key])

        def took(case: Case) -> bool:
            return holds(public, *unhex(case, "msg", "sig"))

        return took

    return of


def hkdfs(using: kdf.Hash) -> Callable[[Group], Callable[[Case], bool]]:
    def took(case: Case) -> bool:
        key, salt, info, okm = unhex(case, "ikm", "salt", "info", "okm")
        size = case["size"]
        try:
            if using is kdf.SHA256 and not salt:
                right(kdf.hkdf_sha256(Secret(key), info, size).reveal(), okm)
            return right(kdf.expand(kdf.extract(salt, key, using), info, size, using), okm)
        except errors.WrongLength:
            return False

    return lambda group: took


def pbkdf2(case: Case) -> bool:
    password, salt, dk = unhex(case, "password", "salt", "dk")
    return right(kdf.pbkdf2_sha256(Secret(password), salt, case["iterationCount"], case["dkLen"]).reveal(), dk)


def mlkem(case: Case) -> bool:
    seed, enc, shared = unhex(case, "seed", "c", "K")
    try:
        key = MLKEM768.from_seed(Secret(seed))
        right(key.public, bytes.fromhex(case["ek"]))
        return right(key.decapsulate(enc).reveal(), shared)
    except (errors.WrongLength, errors.DecryptionError):
        return False


def oaep(group: Group) -> Callable[[Case], bool]:
    key = RsaKey.from_private(Secret(bytes.fromhex(group["privateKeyPkcs8"])))

    def took(case: Case) -> bool:
        ct, label, text = unhex(case, "ct", "label", "msg")
        try:
            return right(unwrap(key, ct, label), text)
        except errors.DecryptionError:
            return False

    return took


AES = {
    128: (aead.aes_128_gcm_seal, aead.aes_128_gcm_open),
    256: (aead.aes_gcm_seal, aead.aes_gcm_open),
}
CHACHA20 = {256: (aead.chacha20_poly1305_seal, aead.chacha20_poly1305_open)}

FILES: dict[str, Doors] = {
    "aes_gcm_test.json": Doors(316, aeads(AES, 256), aead_limit),
    "chacha20_poly1305_test.json": Doors(325, aeads(CHACHA20, 256)),
    "ecdh_secp256r1_ecpoint_test.json": Doors(355, agreements(ecdh.P256, "big"), compressed_limit),
    "ecdsa_secp256r1_sha256_p1363_test.json": Doors(
        262, signatures("uncompressed", lambda *given: verify.verify_ecdsa(verify.P256, *given))
    ),
    "ecdsa_secp256r1_sha256_test.json": Doors(
        484, signatures("uncompressed", lambda *given: verify.verify_ecdsa_der(verify.P256, *given))
    ),
    "ed25519_test.json": Doors(151, signatures("pk", verify.verify_ed25519)),
    "ed448_test.json": Doors(87, signatures("pk", verify.verify_ed448)),
    "hkdf_sha256_test.json": Doors(86, hkdfs(kdf.SHA256)),
    "hkdf_sha384_test.json": Doors(83, hkdfs(kdf.SHA384)),
    "hkdf_sha512_test.json": Doors(83, hkdfs(kdf.SHA512)),
    "mlkem_768_test.json": Doors(193, lambda group: mlkem),
    "pbkdf2_hmacsha256_test.json": Doors(60, lambda group: pbkdf2),
    "rsa_oaep_2048_sha256_mgf1sha256_test.json": Doors(37, oaep),
    "rsa_oaep_3072_sha256_mgf1sha256_test.json": Doors(37, oaep),
    "rsa_oaep_4096_sha256_mgf1sha256_test.json": Doors(37, oaep),
    "x25519_test.json": Doors(518, agreements(ecdh.X25519, "little"), zero_limit),
    "x448_test.json": Doors(510, agreements(ecdh.X448, "little"), zero_limit),
}


# --- running them -----------------------------------------------------------------------


def judged(result: str, took: bool, limit: str | None) -> str:
    """What a case counts as: met, refused or wrong."""
    if result == "invalid":
        return "wrong" if took else "met"
    if limit is not None:
        return "wrong" if took else "refused"
    # Whatever is acceptable and beyond no stated limit is taken.
    return "met" if took else "wrong"


def run(file: str, doors: Doors) -> Tally:
    """Every case of a file, and the ledger's entries for it."""
    tally = Tally()
    seen = 0
    for group in load("wycheproof", file)["testGroups"]:
        took = doors.took(group)
        for case in group["tests"]:
            seen += 1
            limit = doors.limit(group, case)
            try:
                verdict = judged(case["result"], took(case), limit)
                said = ""
            except (WrongOutput, errors.TacitError) as found:
                verdict, said = "wrong", f": {found!r}"
            if verdict == "met":
                tally.met += 1
            elif verdict == "refused" and limit is not None:
                tally.refused.append(Refusal("+".join(sorted(case["flags"])), limit))
            else:
                tally.wrong.append(f"{file} case {case['tcId']} ({case['result']}) is wrong{said}")
    if seen != doors.count:
        tally.wrong.append(f"{file} has {seen} cases, not {doors.count}")
    tally.wrong += ledger.differences(file, tally.refused)
    return tally


def lines(tallies: Iterable[tuple[str, Tally]]) -> Iterator[str]:
    """One line a file, what is wrong under it, and the sum at the end."""
    cases = met = refused = 0
    for file, tally in tallies:
        yield f"{file}: {tally.met} met, {len(tally.refused)} refused"
        yield from (f"  {line}" for line in tally.wrong)
        cases += FILES[file].count
        met += tally.met
        refused += len(tally.refused)
    yield f"{cases} cases: {met} met, {refused} refused"


def main() -> int:
    """Print what became of every file; 1 where a case or the ledger is wrong, 2 without the files."""
    try:
        tallies = [(file, run(file, doors)) for file, doors in FILES.items()]
    except pytest.skip.Exception as missing:
        print(missing, file=sys.stderr)
        return 2
    print("\n".join(lines(tallies)))
    return 1 if any(tally.wrong for _, tally in tallies) else 0


if __name__ == "__main__":
    sys.exit(main())
