"""The floor under the benchmark `seal` is made of primitives alone, as many as it says."""

from __future__ import annotations

import ast
import hashlib
import hmac
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nacl.bindings
import pytest
from benchmarks.floors import seal_floor
from benchmarks.floors.seal_floor import Floor, Sizes, primitives
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from nacl.exceptions import BadSignatureError

SOURCE = Path(seal_floor.__file__)


def test_it_imports_nothing_of_ours() -> None:
    names: set[str] = set()
    for node in ast.walk(ast.parse(SOURCE.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {each.name.partition(".")[0] for each in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").partition(".")[0])
    assert names == {"__future__", "cryptography", "hashlib", "hmac", "nacl", "timeit", "typing"}


def test_it_calls_each_primitive_as_often_as_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = Sizes(hashed_by_seal=(10, 20), hashed_by_open=(30,))
    floor = Floor(sizes)
    called: Counter[str] = Counter()

    def counting(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any) -> Any:
            called[name] += 1
            return call(*arguments)

        return counted

    class Cipher:
        def __init__(self, key: bytes) -> None:
            cipher = AESGCM(key)
            self.encrypt = counting("AES-256-GCM encrypt", cipher.encrypt)
            self.decrypt = counting("AES-256-GCM decrypt", cipher.decrypt)

    monkeypatch.setattr(seal_floor, "AESGCM", Cipher)
    monkeypatch.setattr(hmac, "digest", counting("HMAC-SHA256", hmac.digest))
    monkeypatch.setattr(hashlib, "sha256", counting("SHA-256", hashlib.sha256))
    monkeypatch.setattr(nacl.bindings, "crypto_sign", counting("Ed25519 sign", nacl.bindings.crypto_sign))
    monkeypatch.setattr(nacl.bindings, "crypto_sign_open", counting("Ed25519 verify", nacl.bindings.crypto_sign_open))

    for name, call in {"seal": floor.seal, "open": floor.open}.items():
        called.clear()
        for _ in range(3):
            call()
        said: Counter[str] = Counter()
        for what, times in primitives(3, sizes)[name].items():
            said["HMAC-SHA256" if "HMAC" in what else what] += times
        assert called == +said


def test_it_checks_what_it_opens() -> None:
    floor = Floor()
    assert floor.open() == bytes(Sizes().padded)
    floor.tag = bytes(32)
    with pytest.raises(ValueError, match="franking"):
        floor.open()
    floor.signature = bytes(64)
    with pytest.raises(BadSignatureError):
        floor.open()


def test_it_runs_by_itself() -> None:
    done = subprocess.run([sys.executable, str(SOURCE)], capture_output=True, text=True, check=True)
    assert [line.partition(":")[0] for line in done.stdout.splitlines()] == ["seal", "open"]
    assert "1 Ed25519 sign" in done.stdout
