"""The profiles fips and compat through a whole client, and what can follow what."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import pytest

from client.world import Crash, World, abandon, password_of, texts, yes
from rsa_pool import pooled_rsa
from tacit import errors
from tacit.client import Client
from tacit.client.books import Books
from tacit.crypto.secret import Secret
from tacit.identity import unlockers
from tacit.identity.unlockers import Cost
from tacit.identity.vault import PrivateKey, values
from tacit.signed.account import account_hash
from tacit.signed.profiles import KeyAlgorithm
from tacit.signed.vault import EntryKind, Outer, SignedEntry
from tacit.wire.codec import decode, encode

PROFILES = ("standard", "fips", "compat")


@pytest.fixture(autouse=True)
def rsa_is_at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tacit.crypto.rsa.generate", pooled_rsa)


async def registered(world: World, **profiles: str) -> list[Client]:
    """New people, each of a profile."""
    clients = []
    for name, profile in profiles.items():
        client = await world.open(name, profile=profile)
        await client.register(name, password_of(name))
        clients.append(client)
    return clients


@pytest.mark.parametrize("profile", PROFILES)
async def test_people_of_a_profile_talk_and_come_back(world: World, profile: str) -> None:
    alice, bob, carol = await registered(world, alice=profile, bob=profile, carol=profile)
    team = await alice.create_conversation("team", ["bob", "carol"])
    assert team.profile == profile
    await team.send("hello")
    await bob.sync()
    await (await bob.conversation("team")).send("hi")
    await team.remove("carol")
    await team.send("without carol")
    for client in (bob, carol):
        await client.sync()
    assert await texts(await carol.conversation("team")) == [("alice", "hello"), ("bob", "hi")]
    await bob.sign_out()
    again = await world.open("bob", profile=profile)
    await again.sign_in("bob", password_of("bob"))
    await again.sync()
    said = [("alice", "hello"), ("bob", "hi"), ("alice", "without carol")]
    assert await texts(await again.conversation("team")) == said


async def test_compat_and_standard_accounts_meet_in_a_compat_conversation(world: World) -> None:
    alice, bob = await registered(world, alice="standard", bob="compat")
    team = await alice.create_conversation("team", ["bob"], profile="compat")
    assert team.profile == "compat"
    await team.send("hello")
    await bob.sync()
    view = await bob.conversation("team")
    await view.rotate()
    await view.send("hi")
    await alice.sync()
    assert await texts(team) == [("alice", "hello"), ("bob", "hi")]


@pytest.mark.parametrize(
    ("founder", "member", "profile", "told"),
    [
        ("standard", "compat", None, "bob: profile compat. A conversation of the profile standard"),
        ("standard", "fips", None, "bob: profile fips"),
        ("standard", "fips", "compat", "bob: profile fips. A conversation of the profile compat"),
        ("fips", "standard", None, "bob: profile standard. A conversation of the profile fips"),
        ("compat", "fips", None, "bob: profile fips"),
        ("compat", "standard", "standard", "alice: profile compat"),
        ("fips", "fips", "compat", "alice, bob: profile fips"),
    ],
)
async def test_who_cannot_follow_is_named_before_anything_is_sent(
    world: World, founder: str, member: str, profile: str | None, told: str
) -> None:
    alice, _ = await registered(world, alice=founder, bob=member)
    with pytest.raises(errors.CannotFollow, match=told):
        await alice.create_conversation("team", ["bob"], profile=profile)
    assert ("POST", "/api/encryption/conversation/keys") not in world.wires["alice"].requests
    assert await alice.conversations() == []


async def test_who_cannot_follow_is_not_added(world: World) -> None:
    alice, _ = await registered(world, alice="standard", bob="compat")
    team = await alice.create_conversation("team")
    sent = len(world.wires["alice"].requests)
    with pytest.raises(errors.CannotFollow, match="found one of the profile compat"):
        await team.add("bob")
    assert ("POST", "/api/encryption/conversation/keys") not in world.wires["alice"].requests[sent:]
    await team.send("alone")


async def test_an_admin_raises_a_profile_once_everybody_can_follow(world: World) -> None:
    alice, _, carol = await registered(world, alice="standard", bob="compat", carol="standard")
    team = await alice.create_conversation("team", ["bob", "carol"], profile="compat")
    with pytest.raises(errors.CannotFollow, match="bob: profile compat"):
        await team.raise_profile("standard")
    await carol.sync()
    with pytest.raises(errors.NoRight):
        await (await carol.conversation("team")).raise_profile("standard")
    await team.remove("bob")
    await team.raise_profile("standard")
    assert (team.profile, team.epoch) == ("standard", 3)
    await team.raise_profile("standard")
    assert team.epoch == 3
    await team.send("raised")
    await carol.sync()
    view = await carol.conversation("team")
    assert (view.profile, await texts(view)) == ("standard", [("alice", "raised")])
    for down in ("compat", "fips"):
        with pytest.raises(errors.InvalidArgument, match="goes from compat to standard"):
            await team.raise_profile(down)


def mismatch(profile: str, configured: str) -> AbstractContextManager[object]:
    """Nothing is expected where both are the same."""
    if profile == configured:
        return nullcontext()
    return pytest.raises(errors.ProfileMismatch, match=f" {profile}, not {configured}$")


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("configured", PROFILES)
async def test_coming_back_with_another_profile_says_which_it_is(world: World, profile: str, configured: str) -> None:
    (alice,) = await registered(world, alice=profile)
    await alice.device.close()
    again = await world.open("alice", profile=configured)
    with mismatch(profile, configured):
        await again.sign_in("alice", password_of("alice"))


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("configured", PROFILES)
async def test_a_registration_goes_on_with_the_profile_that_it_began_with(
    world: World, profile: str, configured: str
) -> None:
    begun = await world.open("alice", profile=profile)
    await begun.device.prepare_account("alice", password_of("alice"))
    await abandon(begun)
    again = await world.open("alice", profile=configured)
    with mismatch(profile, configured):
        await again.register("alice", password_of("alice"))


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("configured", PROFILES)
async def test_a_new_device_is_signed_in_with_the_accounts_own_profile(
    town: World, profile: str, configured: str
) -> None:
    alice = await town.open("alice", profile=profile)
    words = await alice.register("alice", password_of("alice"))
    with mismatch(profile, configured):
        await town.another("alice", "tablet", words=words, new_password="another", options={"profile": configured})
    await alice.sync()
    view = await alice.account.view()
    assert view.version == (2 if profile == configured else 1)


@pytest.mark.parametrize(
    ("profile", "configured", "derives"),
    [("fips", "compat", True), ("compat", "fips", True), ("standard", "fips", False), ("compat", "standard", False)],
)
async def test_a_password_is_not_derived_by_another_profiles_means(
    town: World, profile: str, configured: str, derives: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = await town.open("alice", profile=profile, cost=Cost())
    await alice.register("alice", password_of("alice"))
    derived: list[str] = []
    for name in ("argon2id", "pbkdf2_sha256"):
        monkeypatch.setattr(f"tacit.identity.unlockers.{name}", spying(name, getattr(unlockers, name), derived))
    with pytest.raises(errors.ProfileMismatch, match=profile):
        await town.another("alice", "tablet", options={"profile": configured})
    # What fips and compat have in common is derived; the profile is seen where the account is.
    assert derived == (["pbkdf2_sha256"] if derives else [])
    await alice.sync()
    assert (await alice.account.view()).version == 1


def spying(name: str, derive: Callable[..., Secret], derived: list[str]) -> Callable[..., Secret]:
    def spied(*given: object, **also: object) -> Secret:
        derived.append(name)
        return derive(*given, **also)

    return spied


async def test_a_sign_in_that_was_cut_off_goes_on_with_the_profile_that_it_began_with(town: World) -> None:
    (alice,) = await registered(town, alice="fips")
    tablet = await town.open("alice-tablet", profile="fips")
    town.wires["alice-tablet"].fail("crash after", "/encryption/keys/generate")
    with pytest.raises(Crash):
        await tablet.sign_in_new_device("alice", password=password_of("alice"), name="tablet", confirm=yes)
    await abandon(tablet)
    with pytest.raises(errors.ProfileMismatch):
        await town.another("alice", "tablet", options={"profile": "compat"})
    await town.another("alice", "tablet", options={"profile": "fips"})
    await alice.sync()
    assert (await alice.account.view()).version == 2


async def test_there_is_no_other_profile(world: World) -> None:
    with pytest.raises(errors.InvalidArgument, match="standard, fips or compat"):
        await world.open("alice", profile="plain")


@pytest.mark.parametrize("profile", PROFILES)
async def test_a_private_key_that_does_not_belong_to_its_public_half_is_not_used(world: World, profile: str) -> None:
    alice, bob = await registered(world, alice=profile, bob=profile)
    algorithm = KeyAlgorithm.X_WING if profile == "standard" else KeyAlgorithm.RSA

    def private_of(books: Books) -> bytes:
        keys = [decode(PrivateKey, value) for value in values(books.entries(), EntryKind.ENCRYPTION_KEY)]
        return next(key.private for key in keys if key.algorithm is algorithm)

    def own_key(books: Books) -> object:
        return books.private_key(account_hash(books.own_account().value), algorithm)

    def swapped(signed: SignedEntry, private: bytes) -> SignedEntry:
        if signed.entry.kind is not EntryKind.ENCRYPTION_KEY:
            return signed
        key = dataclasses.replace(decode(PrivateKey, signed.entry.value), private=private)
        return dataclasses.replace(signed, entry=dataclasses.replace(signed.entry, value=encode(key)))

    assert await alice.device._run(own_key) is not None
    for private in (await bob.device._run(private_of), b"no key at all"):
        await alice.device._run(
            lambda books, other=private: books.hold_vault(  # type: ignore[misc]
                decode(Outer, books.meta("outer") or b""), tuple(swapped(each, other) for each in books.entries()), None
            )
        )
        assert await alice.device._run(own_key) is None
