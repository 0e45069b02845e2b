"""The floors under the benchmark `account` are made of primitives alone, as many as they say, and the product's own."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from benchmarks.floors import account_floor
from benchmarks.floors.account_floor import COST, KEY, NIST, PBKDF2_ITERATIONS, STANDARD, Opening, primitives
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key

from tacit.crypto import hpke, kdf, rsa
from tacit.crypto.kem import XWing
from tacit.crypto.secret import Secret
from tacit.identity.unlockers import Cost

SOURCE = Path(account_floor.__file__)
PASSWORD, SALT = b"password", b"\x05" * 32


def test_it_imports_nothing_of_ours() -> None:
    names: set[str] = set()
    for node in ast.walk(ast.parse(SOURCE.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {each.name.partition(".")[0] for each in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").partition(".")[0])
    assert names == {"__future__", "collections", "cryptography", "hashlib", "time", "typing"}


class Counting:
    """An object whose methods of some names are counted, together with those of what they give."""

    def __init__(self, inner: Any, called: Counter[str], names: dict[str, str]) -> None:
        self._inner, self._called, self._names = inner, called, names

    def __getattr__(self, name: str) -> Any:
        if name in self._names:
            self._called[self._names[name]] += 1
        return getattr(self._inner, name)


def test_it_calls_each_primitive_as_often_as_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    called: Counter[str] = Counter()
    monkeypatch.setattr(
        account_floor, "MLKEM768PublicKey", Counting(
            MLKEM768PublicKey, called, {"from_public_bytes": "X-Wing public key read"}
        ),
    )  # fmt: skip
    load = load_der_public_key

    def loading(data: bytes) -> Any:
        called["RSA SubjectPublicKeyInfo read"] += 1
        return load(data)

    monkeypatch.setattr(account_floor, "load_der_public_key", loading)
    for kind, keys, wrapping, signing in (
        (
            STANDARD,
            account_floor.x_wing_keys(3),
            ("_suite", "encrypt", "HPKE seal of 32 B (X-Wing, HKDF-SHA256, AES-256-GCM)"),
            ("_ed25519", "Ed25519 sign"),
        ),
        (NIST, account_floor.rsa_keys(1, 2048) * 3, None, ("_p256", "ECDSA P-256 sign, deterministic")),
    ):
        called.clear()
        floor = Opening(kind, keys)
        attribute, name = signing
        setattr(floor, attribute, Counting(getattr(floor, attribute), called, {"sign": name}))
        if wrapping is not None:
            attribute, method, name = wrapping
            setattr(floor, attribute, Counting(getattr(floor, attribute), called, {method: name}))
        made = floor.open()
        assert len(made) == 3
        said = Counter(primitives(kind, 3))
        if wrapping is None:  # the keys are made of Rust; that each wrap is another one is seen by its randomness
            assert len({wrapped for wrapped, _ in made}) == said.pop("RSA-OAEP-SHA256 encrypt of 32 B")
        assert called == said


def test_its_wraps_are_those_of_the_product() -> None:
    key = XWing.from_seed(Secret(b"\x01" * 32))
    floor = Opening(STANDARD, [key.public])
    ((wrapped, signature),) = floor.open()
    assert hpke.open(hpke.STANDARD, key, bytes(account_floor.USUAL.info), wrapped) == KEY
    assert len(signature) == 64
    of_rsa = rsa.generate(2048)
    ((wrapped, _),) = Opening(NIST, [of_rsa.public]).open()
    assert rsa.unwrap(of_rsa, wrapped) == KEY


def test_its_derivations_are_those_of_the_product() -> None:
    assert kdf.argon2id(Secret(PASSWORD), SALT).reveal() == account_floor.argon2id(PASSWORD, SALT)
    assert kdf.pbkdf2_sha256(Secret(PASSWORD), SALT, 2).reveal() == account_floor.pbkdf2(PASSWORD, SALT, 2)
    usual = Cost()
    assert (usual.memory_kib, usual.iterations, usual.lanes, usual.pbkdf2_iterations) == (*COST, PBKDF2_ITERATIONS)


def test_it_runs_by_itself() -> None:
    done = subprocess.run([sys.executable, str(SOURCE)], capture_output=True, text=True, check=True)
    assert [line.partition(":")[0] for line in done.stdout.splitlines()] == [STANDARD, NIST]
    assert "101 Ed25519 sign" in done.stdout
    assert "100 RSA-OAEP-SHA256 encrypt" in done.stdout
