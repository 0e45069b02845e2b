from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.backends import chainer, fail, null

from client.keyrings import Broken, Forgetful, InMemory, OfAnotherPackage, OfTheSystem, Plain
from tacit import errors
from tacit.client.keychain import Keychain, system_keychain
from tacit.crypto.secret import Secret

SECRET = Secret(bytes(range(32)))
KEYRINGS_OWN: list[Callable[[], KeyringBackend]] = [fail.Keyring, null.Keyring, chainer.ChainerBackend]


def test_a_secret_comes_back_until_it_is_removed() -> None:
    keychain = Keychain(InMemory())
    assert keychain.find("a") is None
    keychain.put("a", SECRET)
    assert keychain.find("a") == SECRET
    assert keychain.find("b") is None
    keychain.remove("a")
    keychain.remove("a")
    assert keychain.find("a") is None


@pytest.mark.parametrize("value", ["", "AAAA", "not base64", "A" * 44])
def test_what_is_none_of_ours_is_not_found(value: str) -> None:
    backend = InMemory()
    backend.set_password("tacit", "a", value)
    assert Keychain(backend).find("a") is None


@pytest.mark.parametrize("backend", [*KEYRINGS_OWN, Plain, OfAnotherPackage])
def test_what_keeps_no_secret_is_refused(backend: Callable[[], KeyringBackend]) -> None:
    with pytest.raises(errors.NoKeychain):
        Keychain(backend())


def test_what_does_not_give_back_what_it_got_is_refused() -> None:
    with pytest.raises(errors.NoKeychain, match="give back"):
        Keychain(Forgetful()).put("a", SECRET)


def test_a_failure_is_told_by_its_kind_alone() -> None:
    with pytest.raises(errors.NoKeychain) as caught:
        Keychain(Broken()).put("a", SECRET)
    assert caught.value.detail == "it cannot be used: OSError"
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_only_the_systems_own_is_taken_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    own = OfTheSystem()
    monkeypatch.setattr(keyring, "get_keyring", lambda: own)
    system_keychain().put("a", SECRET)
    assert list(own.kept) == [("tacit", "a")]
    for other in (InMemory, OfAnotherPackage, *KEYRINGS_OWN[:2]):
        monkeypatch.setattr(keyring, "get_keyring", other)
        with pytest.raises(errors.NoKeychain):
            system_keychain()


def test_of_a_chain_the_systems_own_is_taken_and_nothing_falls_through(monkeypatch: pytest.MonkeyPatch) -> None:
    own, plain = OfTheSystem(), OfAnotherPackage()

    class Chain(chainer.ChainerBackend):
        backends = [plain, own]  # noqa: RUF012

    monkeypatch.setattr(keyring, "get_keyring", Chain)
    system_keychain().put("a", SECRET)
    assert plain.kept == {}
    assert list(own.kept) == [("tacit", "a")]
    monkeypatch.setattr(Chain, "backends", [plain])
    with pytest.raises(errors.NoKeychain):
        system_keychain()


def test_a_keyring_that_does_not_even_load_is_no_keychain(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> KeyringBackend:
        raise RuntimeError("no such backend")

    monkeypatch.setattr(keyring, "get_keyring", broken)
    with pytest.raises(errors.NoKeychain, match="RuntimeError"):
        system_keychain()


def test_nothing_of_it_is_loaded_before_a_keychain_is_asked_for() -> None:
    program = "import sys, tacit.client, tacit.client.keychain; sys.exit('keyring' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)
