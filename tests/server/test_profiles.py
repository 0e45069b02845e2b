"""Accounts, sessions, conversations and decoys of every profile at the server."""

from __future__ import annotations

import dataclasses

import pytest

from server.people import KEYS, NAME, Person, Talk, Town
from tacit.crypto.sign import P256Key
from tacit.identity.unlockers import find_unlocker
from tacit.signed.profiles import Profile
from tacit.signed.vault import PasswordParameters, UnlockerKind
from tacit.wire.codec import decode
from tacit.wire.text import from_base64, to_base64

each_profile = pytest.mark.parametrize("profile", Profile)


async def registered(town: Town, profile: Profile, *names: str) -> list[Person]:
    people = [Person(town, f"{name} of {profile.name.lower()}", profile) for name in names]
    for person in people:
        answer = await person.register()
        assert answer.status == 200, answer.body
    return people


def allow(town: Town, *profiles: Profile) -> None:
    object.__setattr__(town.backend, "config", dataclasses.replace(town.backend.config, profiles=profiles))


@each_profile
async def test_an_account_of_a_profile_registers_signs_in_and_opens_a_conversation(
    town: Town, profile: Profile
) -> None:
    alice, bob = await registered(town, profile, "alice", "bob")
    assert (await alice.open("/api/auth/session")).status == 200
    talk = Talk(alice, bob)
    assert (await alice.ask("POST", KEYS, talk.genesis(profile=profile))).status == 200
    forged = await alice.ask("GET", "/api/encryption/keys/private", key=bob.key)
    assert (forged.status, forged.code) == (401, "request_signature_invalid")


@each_profile
async def test_a_grant_is_wrapped_as_the_conversations_profile_has_it(town: Town, profile: Profile) -> None:
    other = Profile.COMPAT if profile is Profile.STANDARD else Profile.STANDARD
    alice, bob = await registered(town, profile, "alice", "bob")
    strangers = await registered(town, other, "carol", "dave")
    foreign = Talk(*strangers).genesis(profile=other)["encryptedKeys"]
    talk = Talk(alice, bob)
    body = talk.genesis(profile=profile)
    assert len(from_base64(body["encryptedKeys"][0]["encryptedKey"])) != len(from_base64(foreign[0]["encryptedKey"]))
    ungranted = await alice.ask("POST", KEYS, {**body, "encryptedKeys": foreign})
    assert ungranted.status == 422
    assert (await alice.ask("POST", KEYS, body)).status == 200


async def test_the_server_says_which_profiles_begin_here(town: Town) -> None:
    assert (await town.ask("GET", "/api/server")).body["profiles"] == ["standard", "fips", "compat"]
    alice, bob = await town.people("alice", "bob")
    allow(town, Profile.FIPS)
    assert (await town.ask("GET", "/api/server")).body["profiles"] == ["fips"]
    refused = await Person(town, "newcomer").register()
    assert (refused.status, refused.code) == (422, "unsupported_suite")
    refused = await alice.ask("POST", KEYS, Talk(alice, bob).genesis())
    assert (refused.status, refused.code) == (422, "unsupported_suite")


@pytest.mark.parametrize("key", [b"\x04" + bytes(64), b"\x02" + b"k" * 32, b"\x04" + b"k" * 65])
async def test_a_request_key_is_a_key(town: Town, key: bytes) -> None:
    alice = Person(town, "alice", Profile.FIPS)
    answer = await alice.ask("POST", "/api/auth/register", {"userId": "alice", "requestKey": to_base64(key)})
    assert answer.code in ("malformed", "wrong_length")


@each_profile
async def test_a_stranger_asked_about_looks_like_an_account_of_the_askers_profile(town: Town, profile: Profile) -> None:
    (alice,) = await registered(town, profile, "alice")
    nobody = Person(town, "nobody", profile)
    answer = await nobody.ask("POST", "/api/auth/unlocker", nobody.wish(kind="password"))
    made_up = decode(PasswordParameters, from_base64(answer.body["parameters"]))
    real = decode(PasswordParameters, find_unlocker(alice.made.vault.inner, UnlockerKind.PASSWORD).parameters)
    assert (made_up.kdf, len(made_up.salt)) == (real.kdf, len(real.salt))
    costs = (made_up.memory_kib, made_up.iterations, made_up.lanes)
    assert costs == ((65536, 3, 4) if profile is Profile.STANDARD else (0, 600_000, 0))
    assert isinstance(nobody.key, P256Key) is (profile is not Profile.STANDARD)
    assert nobody.made.record.value.server_name == NAME
