"""How often a device and an address may ask; the clock stands still until a test moves it."""

from __future__ import annotations

from typing import Any

import pytest

from server.people import KEYS, MESSAGES, Person, Talk, Town
from server.test_socket import frame, line, sending
from tacit import errors
from tacit.crypto.sign import Ed25519Key
from tacit.server.address import address_of, network_of
from tacit.server.config import RateLimits
from tacit.server.rates import LOOKED_AT, Rate, rates_of


class Stopwatch:
    """Seconds that a test counts."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def wait_of(rate: Rate, key: str) -> int:
    """For how long a request is refused; 0 for one that is taken."""
    try:
        rate.take(key)
    except errors.TooManyRequests as error:
        return int(str(error.facts["retryAfter"]))
    return 0


def test_a_minutes_requests_are_taken_at_once_and_then_as_the_bucket_fills() -> None:
    clock = Stopwatch()
    rate = Rate(60, clock)
    assert [wait_of(rate, "a") for _ in range(62)] == [0] * 60 + [1, 1]
    assert wait_of(rate, "b") == 0
    clock.now += 1
    assert [wait_of(rate, "a") for _ in range(2)] == [0, 1]
    clock.now += 1000
    assert [wait_of(rate, "a") for _ in range(61)] == [0] * 60 + [1]


def test_who_waits_as_long_as_it_is_told_is_taken() -> None:
    clock = Stopwatch()
    rate = Rate(7, clock)
    assert [wait_of(rate, "a") for _ in range(8)] == [0] * 7 + [9]
    clock.now += 9
    assert wait_of(rate, "a") == 0


def test_several_count_as_so_many_and_a_minutes_worth_is_the_most() -> None:
    clock = Stopwatch()
    rate = Rate(4, clock)
    rate.take("a", 0)
    rate.take("a", 3)
    with pytest.raises(errors.TooManyRequests) as caught:
        rate.take("a", 2)
    assert caught.value.facts["retryAfter"] == 15
    rate.take("a")
    clock.now += 60
    rate.take("a", 100)
    assert wait_of(rate, "a") == 15


def test_no_limit_counts_nothing() -> None:
    rate = Rate(0, Stopwatch())
    for _ in range(10):
        rate.take("a")
    assert len(rate) == 0


def test_full_buckets_are_forgotten_as_new_ones_come() -> None:
    clock = Stopwatch()
    rate = Rate(60, clock)
    for number in range(100):
        rate.take(f"old {number}")
    clock.now += 2
    for number in range(100 // (LOOKED_AT - 1)):
        rate.take(f"new {number}")
        clock.now += 0.001
    assert len(rate) <= 101


def test_a_bucket_in_use_is_not_forgotten_however_many_keys_come() -> None:
    rate = Rate(2, Stopwatch(), keys=10)
    assert [wait_of(rate, "a") for _ in range(2)] == [0, 0]
    for number in range(1000):
        wait_of(rate, f"invented {number}")
        assert len(rate) <= 11
    assert wait_of(rate, "a") == 30


def test_when_all_buckets_are_in_use_new_keys_share_one() -> None:
    clock = Stopwatch()
    rate = Rate(2, clock, keys=2)
    assert [wait_of(rate, key) for key in "abcdef"] == [0, 0, 0, 0, 30, 30]
    clock.now += 61
    assert [wait_of(rate, key) for key in "ef"] == [0, 0]


@pytest.mark.parametrize(
    ("host", "counted"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("testclient", "testclient"),
    ],
)
def test_an_address_is_counted_as_whoever_has_it(host: str, counted: str) -> None:
    assert network_of(host) == counted
    assert address_of({"client": (host, 1)}) == counted


def test_a_client_without_an_address_is_counted_too() -> None:
    assert address_of({"client": None}) == address_of({}) == ""


def limited(town: Town, limits: RateLimits) -> Stopwatch:
    """The same server with these limits, from now on."""
    clock = Stopwatch()
    rates = rates_of(limits, clock)
    town.backend.rates.device, town.backend.rates.address = rates.device, rates.address
    return clock


async def test_what_is_not_verified_counts_for_its_address(town: Town) -> None:
    (alice,) = await town.people("alice")
    limited(town, RateLimits(device=0, address=4))
    answers = [await town.ask("GET", path) for path in ("/api/server", "/nowhere", KEYS)]
    assert [each.status for each in answers] == [200, 401, 401]
    stranger = Person(town, "stranger")
    assert (await stranger.open("/api/auth/register")).status == 200
    refused = await alice.ask("GET", "/api/conversations")
    assert (refused.status, refused.code, refused.body["retryAfter"]) == (429, "too_many_requests", 15)
    assert refused.headers["retry-after"] == "15"
    assert [(await town.ask("GET", path)).status for path in ("/health/live", "/health/ready")] == [200, 200]


async def test_it_is_refused_before_anything_is_looked_up(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    (alice,) = await town.people("alice")
    clock = limited(town, RateLimits(device=0, address=1))
    await town.ask("GET", "/api/server")
    read = town.backend.store.read

    async def never(*_: object) -> object:
        raise AssertionError

    monkeypatch.setattr(town.backend.store, "read", never)
    assert (await alice.ask("GET", "/api/conversations")).code == "too_many_requests"
    monkeypatch.setattr(town.backend.store, "read", read)
    clock.now += 60
    assert (await alice.ask("GET", "/api/conversations")).status == 200


async def test_a_device_waits_for_itself_and_for_nobody_else(town: Town) -> None:
    alice, bob = await town.people("alice", "bob")
    limited(town, RateLimits(device=2, address=0))
    answers = [await alice.ask("GET", "/api/conversations") for _ in range(3)]
    assert [each.code for each in answers] == ["", "", "too_many_requests"]
    assert answers[2].headers["retry-after"] == "30"
    assert (await bob.ask("GET", "/api/conversations")).status == 200


async def test_who_signs_with_a_key_that_is_not_the_devices_uses_nothing_of_it_up(town: Town) -> None:
    alice, bob = await town.people("alice", "bob")
    limited(town, RateLimits(device=1, address=0))
    assert isinstance(bob.key, Ed25519Key)
    forged = alice.signature("GET", "/api/conversations", b"", key=bob.key)
    headers = {**forged, "Authorization": f"Bearer {alice.token}"}
    assert (await town.ask("GET", "/api/conversations", headers=headers)).code == "request_signature_invalid"
    assert (await alice.ask("GET", "/api/conversations")).status == 200


async def test_sends_by_websocket_count_with_the_devices_requests(town: Town, port: int) -> None:
    alice, bob = await town.people("alice", "bob")
    talk = await Talk.opened(alice, bob)
    async with line(alice, port) as hers, line(bob, port) as his:
        clock = limited(town, RateLimits(device=2, address=0))
        assert (await alice.ask("POST", MESSAGES, talk.message(alice, id="0"))).status == 200
        assert [(await frame(each))["type"] for each in (hers, his)] == ["item", "item"]
        await hers.send(sending(talk, talk.payload(alice, id="1"), "1"))
        assert [(await frame(hers))["type"], (await frame(hers))["type"]] == ["sent", "item"]
        late = talk.payload(alice, id="2")
        await hers.send(sending(talk, late, "2"))
        refused = await frame(hers)
        assert (refused["type"], refused["id"]) == ("problem", "2")
        assert (refused["problem"]["code"], refused["problem"]["retryAfter"]) == ("too_many_requests", 30)
        await his.send(sending(talk, talk.payload(bob, id="3"), "3"))
        assert (await frame(hers))["item"]["seq"] == 4
        clock.now += 30
        await hers.send(sending(talk, late, "2"))
        assert await frame(hers) == {"type": "sent", "id": "2", "seq": 5, "createdAt": town.clock()}


async def test_each_message_of_a_batch_counts(town: Town) -> None:
    (alice,) = await town.people("alice")
    talk = await Talk.opened(alice)
    limited(town, RateLimits(device=5, address=0))

    def batch(*names: str) -> dict[str, Any]:
        return {"conversationId": talk.id, "messages": [{"encryptedPayload": talk.payload(alice, id=n)} for n in names]}

    assert (await alice.ask("POST", MESSAGES, batch("a", "b", "c"))).status == 200
    refused = await alice.ask("POST", MESSAGES, batch("d", "e", "f"))
    assert (refused.code, refused.headers["retry-after"]) == ("too_many_requests", "12")
    assert (await alice.ask("POST", MESSAGES, batch("d"))).status == 200
    assert (await alice.ask("POST", MESSAGES, batch())).code == "too_many_requests"


async def test_what_is_no_frame_counts_as_well(town: Town, port: int) -> None:
    (alice,) = await town.people("alice")
    async with line(alice, port) as hers:
        limited(town, RateLimits(device=2, address=0))
        codes = []
        for _ in range(3):
            await hers.send("{")
            codes.append((await frame(hers))["problem"]["code"])
    assert codes == ["malformed_json", "malformed_json", "too_many_requests"]
