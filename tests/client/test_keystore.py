from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from client.keyrings import Forgetful, InMemory
from tacit import errors
from tacit.client.keychain import Keychain
from tacit.client.keystore import BOUNDS, PAIR_BYTES, SecureKeyStore
from tacit.crypto.secret import Secret
from tacit.identity.unlockers import Cost
from tacit.wire.text import to_base64

CHEAP = Cost(8, 1, 1)
PASSPHRASE = Secret(b"correct horse")


def keystore(folder: Path, keychain: Keychain | None = None) -> SecureKeyStore:
    return SecureKeyStore(folder / "a.db.key", os.urandom, CHEAP, floor=BOUNDS, keychain=keychain)


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


def test_a_passphrase_that_is_offered_opens_besides_until_it_is_taken_or_dropped(tmp_path: Path) -> None:
    keys = keystore(tmp_path)
    key = keys.create(PASSPHRASE)
    keys.offer(key, Secret(b"another"))
    for each in (PASSPHRASE, Secret(b"another"), PASSPHRASE):
        assert keys.open(each) == key
    with pytest.raises(errors.StoreLocked):
        keys.open(Secret(b"neither"))
    keys.take_offer()
    assert keys.open(Secret(b"another")) == key
    with pytest.raises(errors.StoreLocked):
        keys.open(PASSPHRASE)
    keys.offer(key, Secret(b"third"))
    keys.drop_offer()
    with pytest.raises(errors.StoreLocked):
        keys.open(Secret(b"third"))
    keys.offer(key, Secret(b"fourth"))
    keys.rewrap(Secret(b"another"), Secret(b"fifth"))
    with pytest.raises(errors.StoreLocked):
        keys.open(Secret(b"fourth"))
    assert keys.open(Secret(b"fifth")) == key
    keys.rewrap(Secret(b"fifth"), Secret(b"another"))
    keys.offer(key, Secret(b"fourth"))
    keys.remove()
    assert list(tmp_path.iterdir()) == []


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


@pytest.mark.parametrize("length", [0, 1, 100, -1])
def test_a_truncated_file_opens_nothing(tmp_path: Path, length: int) -> None:
    keys = keystore(tmp_path)
    keys.create(PASSPHRASE)
    path = tmp_path / "a.db.key"
    path.write_bytes(path.read_bytes().rstrip()[:length])
    with pytest.raises(errors.StoreLocked):
        keys.open(PASSPHRASE)


@pytest.mark.parametrize("umask", [0, 0o777])
def test_the_files_mode_is_not_the_umasks_business(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        keys = keystore(tmp_path)
        keys.create(PASSPHRASE)
        keys.store_key_pair("app", b"public", Secret(b"secret"), PASSPHRASE)
    finally:
        os.umask(before)
    assert [path.stat().st_mode & 0o777 for path in tmp_path.iterdir()] == [0o600, 0o600]


@pytest.mark.parametrize("there", [True, False])
def test_a_link_in_the_keys_place_is_not_followed(tmp_path: Path, there: bool) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    other = keystore(elsewhere)
    if there:
        other.create(PASSPHRASE)
    (tmp_path / "a.db.key").symlink_to(other.path)
    keys = keystore(tmp_path)
    assert keys.exists()
    for use in (keys.open, keys.create):
        with pytest.raises(errors.StoreLocked):
            use(PASSPHRASE)
    assert other.path.exists() == there


def test_nothing_waits_for_a_pipe_in_the_keys_place(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.db.key")
    with pytest.raises(errors.StoreLocked):
        keystore(tmp_path).open(PASSPHRASE)


def test_of_two_programs_at_once_one_makes_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = keystore(tmp_path), keystore(tmp_path)
    monkeypatch.setattr(SecureKeyStore, "exists", lambda self: False)
    key = first.create(PASSPHRASE)
    with pytest.raises(errors.InvalidArgument, match="exists"):
        second.create(PASSPHRASE)
    assert first.open(PASSPHRASE) == key


@pytest.mark.parametrize("cost", [CHEAP, Cost(64 * 1024 - 1, 3, 4), Cost(64 * 1024, 2, 4), Cost(64 * 1024, 17, 4)])
def test_a_new_file_is_not_cheap_to_guess(tmp_path: Path, cost: Cost) -> None:
    keys = SecureKeyStore(tmp_path / "a.db.key", os.urandom, cost)
    with pytest.raises(errors.InvalidArgument):
        keys.create(PASSPHRASE)
    with pytest.raises(errors.InvalidArgument):
        keys.store_key_pair("app", b"", Secret(b"secret"), PASSPHRASE)
    assert list(tmp_path.iterdir()) == []


def test_what_is_made_without_a_word_is_dear(tmp_path: Path) -> None:
    SecureKeyStore(tmp_path / "a.db.key", os.urandom).create(PASSPHRASE)
    file = json.loads((tmp_path / "a.db.key").read_text())
    assert (file["kdf"], file["memoryKib"], file["iterations"], file["lanes"]) == ("argon2id", 65536, 3, 4)


# --- in the keychain ----------------------------------------------------------------------


def test_in_a_keychain_no_passphrase_is_needed(tmp_path: Path) -> None:
    backend = InMemory()
    keys = keystore(tmp_path, Keychain(backend))
    assert not keys.needs_passphrase()
    key = keys.create()
    assert not keys.needs_passphrase()
    assert keystore(tmp_path, Keychain(backend)).open() == key
    raw = keys.path.read_bytes()
    assert json.loads(raw)["kdf"] == "keychain"
    assert keys.path.stat().st_mode & 0o777 == 0o600
    (secret,) = backend.kept.values()
    for value in (key.reveal(), key.reveal().hex().encode(), secret.encode()):
        assert value not in raw
    assert to_base64(key.reveal()) != secret


def test_without_a_keychain_its_file_says_what_is_missing(tmp_path: Path) -> None:
    backend = InMemory()
    keystore(tmp_path, Keychain(backend)).create()
    for passphrase in (None, PASSPHRASE):
        with pytest.raises(errors.NoKeychain):
            keystore(tmp_path).open(passphrase)
    with pytest.raises(errors.StoreLocked, match="the keychain has no key"):
        keystore(tmp_path, Keychain(InMemory())).open()
    with pytest.raises(errors.InvalidArgument):
        keystore(tmp_path / "nowhere").create()


def test_a_keychain_never_takes_the_place_of_a_passphrase_unasked(tmp_path: Path) -> None:
    key = keystore(tmp_path).create(PASSPHRASE)
    backend = InMemory()
    keys = keystore(tmp_path, Keychain(backend))
    assert keys.needs_passphrase()
    with pytest.raises(errors.StoreLocked, match="passphrase"):
        keys.open()
    assert keys.open(PASSPHRASE) == key
    assert backend.kept == {}


def test_a_key_is_moved_into_the_keychain_and_out_again(tmp_path: Path) -> None:
    backend = InMemory()
    keys = keystore(tmp_path, Keychain(backend))
    key = keys.create(PASSPHRASE)
    keys.rewrap(PASSPHRASE, None)
    assert keys.open() == key
    assert len(backend.kept) == 1
    keys.rewrap(None, None)
    assert keys.open() == key
    assert len(backend.kept) == 1
    keys.rewrap(None, PASSPHRASE)
    assert backend.kept == {}
    assert keystore(tmp_path).open(PASSPHRASE) == key


def test_another_entrys_secret_opens_nothing(tmp_path: Path) -> None:
    backend = InMemory()
    keys = keystore(tmp_path, Keychain(backend))
    keys.create()
    backend.set_password(*next(iter(backend.kept)), to_base64(bytes(32)))
    with pytest.raises(errors.StoreLocked):
        keys.open()


def test_what_a_keychain_does_not_keep_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(errors.NoKeychain):
        keystore(tmp_path, Keychain(Forgetful())).create()
    assert list(tmp_path.iterdir()) == []
    backend = InMemory()
    with pytest.raises(errors.InvalidArgument):
        keystore(tmp_path / "nowhere", Keychain(backend)).create()
    assert backend.kept == {}


def test_what_is_removed_is_gone_from_both(tmp_path: Path) -> None:
    backend = InMemory()
    keys = keystore(tmp_path, Keychain(backend))
    keys.remove()
    keys.create()
    keys.remove()
    assert (list(tmp_path.iterdir()), backend.kept) == ([], {})
    keystore(tmp_path).create(PASSPHRASE)
    keystore(tmp_path).remove()
    assert list(tmp_path.iterdir()) == []


# --- key pairs ----------------------------------------------------------------------------


@pytest.fixture(params=["passphrase", "keychain"])
def unlock(request: pytest.FixtureRequest) -> Secret | None:
    return PASSPHRASE if request.param == "passphrase" else None


def test_a_key_pair_comes_back(tmp_path: Path, unlock: Secret | None) -> None:
    keys = keystore(tmp_path, Keychain(InMemory()))
    small, large = Secret(bytes(32)), Secret(b"\x30" * PAIR_BYTES)
    keys.store_key_pair("small", b"", small, unlock)
    keys.store_key_pair("large", b"p" * PAIR_BYTES, large, unlock)
    assert keys.load_key_pair("small", unlock) == (b"", small)
    assert keys.load_key_pair("large", unlock) == (b"p" * PAIR_BYTES, large)
    assert repr(keys.load_key_pair("small", unlock)) == "KeyPair(public=b'', secret=Secret(32 bytes))"
    assert not keys.exists()
    for path in tmp_path.iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
        assert b"0" * 100 not in path.read_bytes()


def test_a_key_pair_is_not_replaced_and_can_be_removed(tmp_path: Path, unlock: Secret | None) -> None:
    backend = InMemory()
    keys = keystore(tmp_path, Keychain(backend))
    keys.store_key_pair("app", b"public", Secret(b"secret"), unlock)
    with pytest.raises(errors.InvalidArgument):
        keys.store_key_pair("app", b"public", Secret(b"another"), unlock)
    assert keys.load_key_pair("app", unlock).secret == Secret(b"secret")
    keys.remove_key_pair("app")
    assert (list(tmp_path.iterdir()), backend.kept) == ([], {})
    for use in (lambda: keys.load_key_pair("app", unlock), lambda: keys.remove_key_pair("app")):
        with pytest.raises(errors.StoreLocked):
            use()


def test_a_key_pair_is_bound_to_its_name_and_its_public_half(tmp_path: Path, unlock: Secret | None) -> None:
    keys = keystore(tmp_path, Keychain(InMemory()))
    keys.store_key_pair("mine", b"public", Secret(bytes(32)), unlock)
    (mine,) = tmp_path.iterdir()
    keys.store_key_pair("yours", b"public", Secret(bytes(32)), unlock)
    (yours,) = set(tmp_path.iterdir()) - {mine}
    raw = mine.read_bytes()
    yours.write_bytes(raw)
    with pytest.raises(errors.StoreLocked):
        keys.load_key_pair("yours", unlock)
    keys.path.write_bytes(raw)
    with pytest.raises(errors.StoreLocked):
        keys.open(unlock)
    for public in (to_base64(b"another"), "not base64"):
        mine.write_text(json.dumps(json.loads(raw) | {"publicKey": public}))
        with pytest.raises(errors.StoreLocked):
            keys.load_key_pair("mine", unlock)


def test_a_key_pair_opens_with_its_own_passphrase_alone(tmp_path: Path) -> None:
    keys = keystore(tmp_path)
    keys.store_key_pair("app", b"", Secret(b"secret"), PASSPHRASE)
    for wrong in (Secret(b"wrong horse"), None):
        with pytest.raises(errors.StoreLocked):
            keys.load_key_pair("app", wrong)
    with pytest.raises(errors.InvalidArgument):
        keys.store_key_pair("other", b"", Secret(b"secret"))


@pytest.mark.parametrize("name", ["", "n" * 256, "\ud800"])
def test_a_key_pairs_name_is_an_id(tmp_path: Path, name: str) -> None:
    with pytest.raises(errors.InvalidArgument):
        keystore(tmp_path).load_key_pair(name, PASSPHRASE)


@pytest.mark.parametrize(
    ("public", "secret"), [(bytes(PAIR_BYTES + 1), b"s"), (b"", b""), (b"", bytes(PAIR_BYTES + 1))]
)
def test_the_halves_of_a_key_pair_have_their_limits(tmp_path: Path, public: bytes, secret: bytes) -> None:
    with pytest.raises(errors.InvalidArgument):
        keystore(tmp_path).store_key_pair("app", public, Secret(secret), PASSPHRASE)
    assert list(tmp_path.iterdir()) == []


def test_a_secret_is_a_secret(tmp_path: Path) -> None:
    with pytest.raises(errors.InvalidArgument):
        keystore(tmp_path).store_key_pair("app", b"", b"bare", PASSPHRASE)  # type: ignore[arg-type]


def test_a_folder_that_is_not_there_is_the_callers_mistake(tmp_path: Path) -> None:
    with pytest.raises(errors.InvalidArgument):
        keystore(tmp_path / "nowhere").create(PASSPHRASE)
    with pytest.raises(errors.StoreLocked):
        keystore(tmp_path / "nowhere").open(PASSPHRASE)
