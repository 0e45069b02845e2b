from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tacit import errors
from tacit.client.keystore import SecureKeyStore
from tacit.crypto.secret import Secret
from tacit.identity.unlockers import Cost

CHEAP = Cost(8, 1, 1)
PASSPHRASE = Secret(b"correct horse")


def keystore(folder: Path) -> SecureKeyStore:
    return SecureKeyStore(folder / "a.db.key", os.urandom, CHEAP)


def test_the_key_comes_back_with_its_passphrase_alone(tmp_path: Path) -> None:
    keys = keystore(tmp_path)
    assert not keys.exists()
    key = keys.create(PASSPHRASE)
    assert len(key) == 32
    assert keys.exists()
    assert keystore(tmp_path).open(PASSPHRASE) == key
    with pytest.raises(errors.StoreLocked):
        keys.open(Secret(b"wrong horse"))


def test_the_file_is_its_owners_and_holds_no_key(tmp_path: Path) -> None:
    key = keystore(tmp_path).create(PASSPHRASE)
    path = tmp_path / "a.db.key"
    raw = path.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o600
    assert key.reveal() not in raw
    assert key.reveal().hex().encode() not in raw
    assert [each.name for each in tmp_path.iterdir()] == ["a.db.key"]


def test_a_key_is_not_made_twice(tmp_path: Path) -> None:
    keys = keystore(tmp_path)
    key = keys.create(PASSPHRASE)
    with pytest.raises(errors.StoreLocked):
        keys.create(Secret(b"another"))
    assert keys.open(PASSPHRASE) == key


def test_another_passphrase_can_take_its_place(tmp_path: Path) -> None:
    keys = keystore(tmp_path)
    key = keys.create(PASSPHRASE)
    keys.rewrap(PASSPHRASE, Secret(b"another"))
    assert keys.open(Secret(b"another")) == key
    with pytest.raises(errors.StoreLocked):
        keys.open(PASSPHRASE)
    with pytest.raises(errors.StoreLocked):
        keys.rewrap(PASSPHRASE, Secret(b"third"))


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"kdf": "pbkdf2"},
        {"memoryKib": 1 << 30},
        {"iterations": 17},
        {"lanes": 0},
        {"lanes": 2},
        {"iterations": 2},
        {"salt": "AAAA"},
        {"salt": "not base64"},
        {"wrappedKey": ""},
        {"more": 1},
        {"version": "1"},
    ],
)
def test_a_changed_file_opens_nothing(tmp_path: Path, change: dict[str, object]) -> None:
    keys = keystore(tmp_path)
    keys.create(PASSPHRASE)
    path = tmp_path / "a.db.key"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(errors.StoreLocked):
        keys.open(PASSPHRASE)


@pytest.mark.parametrize("raw", [b"", b"{}", b"[", b"\xff", b" " * 100_000])
def test_a_file_of_another_kind_opens_nothing(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "a.db.key").write_bytes(raw)
    with pytest.raises(errors.StoreLocked):
        keystore(tmp_path).open(PASSPHRASE)


def test_a_folder_that_is_not_there_is_the_callers_mistake(tmp_path: Path) -> None:
    with pytest.raises(errors.InvalidArgument):
        keystore(tmp_path / "nowhere").create(PASSPHRASE)
    with pytest.raises(errors.StoreLocked):
        keystore(tmp_path / "nowhere").open(PASSPHRASE)
