"""Accounts, sessions, conversations and decoys of every profile at the server."""

from __future__ import annotations

import dataclasses

import pytest

from rsa_pool import pooled_rsa
from server.people import KEYS, NAME, Person, Talk, Town, seeded
from tacit.crypto.secret import Secret
from tacit.crypto.sign import P256Key
from tacit.identity.account import Registration, register
from tacit.identity.unlockers import password_bytes
from tacit.server.unlocking import made_up
from tacit.signed.account import device_id_of
from tacit.signed.profiles import Profile
from tacit.signed.vault import PasswordParameters
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


async def asked_about(town: Town, user_id: str, *, kind: str = "password", key_of: Profile) -> dict[str, str]:
    """What the server answers about somebody, to a stranger whose key is of a profile."""
    asker = Person(town, "asker", key_of)
    asker.user_id, asker.device_id = user_id, device_id_of(user_id, asker.key.public)
    answer = await asker.ask("POST", "/api/auth/unlocker", asker.wish(kind=kind))
    assert answer.status == 200
    assert isinstance(asker.key, P256Key) is (key_of is not Profile.STANDARD)
    found: dict[str, str] = answer.body
    return found


def parameters_of(answer: dict[str, str]) -> PasswordParameters:
    return decode(PasswordParameters, from_base64(answer["parameters"]))


def dear(user_id: str, profile: Profile) -> Registration:
    """An account whose password costs the usual, where people of the tests have cheap ones."""
    return register(
        NAME,
        user_id,
        password_bytes("password"),
        now=1,
        random=seeded(user_id),
        generate_rsa=pooled_rsa,
        profile=profile,
    )


@each_profile
async def test_whoever_asks_about_somebody_or_nobody_gets_one_answer(town: Town, profile: Profile) -> None:
    (alice,) = await registered(town, profile, "alice")
    for user_id in (alice.user_id, "nobody", "nobody else"):
        for kind in ("password", "recovery_key"):
            answers = [await asked_about(town, user_id, kind=kind, key_of=each) for each in Profile]
            assert answers[0] == answers[1] == answers[2]


@each_profile
async def test_what_is_made_up_costs_what_an_account_costs(town: Town, profile: Profile) -> None:
    allow(town, profile)
    alice = Person(town, "alice", profile)
    alice.made = dear("alice", profile)
    alice.key, alice.device_id = alice.made.device.request_key(), alice.made.device.device_id()
    assert (await alice.register()).status == 200
    for other in Profile:
        real = await asked_about(town, "alice", key_of=other)
        made_up = await asked_about(town, "nobody", key_of=other)
        cost = dataclasses.replace(parameters_of(made_up), salt=parameters_of(real).salt)
        assert cost == parameters_of(real)
        assert [len(part) for part in made_up.values()] == [len(part) for part in real.values()]


async def test_strangers_are_of_all_profiles_that_begin_here(town: Town) -> None:
    names = [f"stranger {number}" for number in range(100)]

    async def kdfs() -> list[int]:
        return [parameters_of(await asked_about(town, name, key_of=Profile.STANDARD)).kdf for name in names]

    mixed = await kdfs()
    assert set(mixed) == {1, 2}
    assert mixed.count(1) > 85, "an account is of the default profile as a rule, and so is who is none"
    allow(town, Profile.FIPS)
    assert set(await kdfs()) == {2}
    allow(town, Profile.STANDARD)
    assert set(await kdfs()) == {1}
    allow(town)
    assert await kdfs() == mixed


async def test_a_stranger_keeps_a_profile_when_the_server_offers_one_more_or_less() -> None:
    secret, every = Secret(b"s" * 32), tuple(Profile)
    for number in range(100):
        stranger = made_up(secret, f"stranger {number}", "password", every)
        assert stranger == made_up(secret, f"stranger {number}", "password", every[::-1])
        own = [each for each in Profile if made_up(secret, f"stranger {number}", "password", (each,)) == stranger]
        for left_out in set(Profile) - set(own):
            others = [each for each in Profile if each is not left_out]
            assert made_up(secret, f"stranger {number}", "password", others) == stranger
