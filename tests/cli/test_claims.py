"""A claim does not hold by an accident of its evidence: without anything to judge it fails."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tacit.cli.claims import CAUSES, CLAIMS, KINDS, LEAST_KEYS, Evidence
from tacit.cli.needles import Needle

CHECKS = {claim.id: claim.check for claim in CLAIMS}
WRITTEN = [
    ("alice", "one", "together"),
    ("alice", "two", "while bob was offline"),
    ("alice", "three", "after carol"),
    ("alice", "four", "after the loss"),
    ("alice", "five", "after the recovery"),
]
PLACES = [("0/chat.db", b"a row"), ("0/chat.db-wal frame 1", b"first-id " + b"\x01" * 32)]


def line(seq: int, text: str, cause: str = "") -> dict[str, Any]:
    return {"seq": seq, "sender": "alice", "text": text, "kind": "text", "cause": cause}


def row(seq: int) -> dict[str, Any]:
    payload = json.dumps({"encryptedText": "A" * 32, "tag": ""})
    return {"seq": seq, "text": "[Encrypted Message]", "encrypted": 1, "encrypted_payload": payload}


def verdict(kind: str, seq: int) -> dict[str, Any]:
    return {"kind": kind, "row": f"{kind} {seq}", "seq": seq, "opened": "", "cause": CAUSES[kind], "tried": LEAST_KEYS}


def tried(kind: str, seq: int, opened: str = "") -> dict[str, Any]:
    return {"kind": kind, "row": f"{kind} {seq}", "seq": seq, "opened": opened, "cause": "", "tried": LEAST_KEYS}


def evidence() -> Evidence:
    """A small play in which everything went as it should."""
    every = [line(2, "one"), line(3, "two"), line(5, "three"), line(7, "four"), line(8, "five")]
    return Evidence(
        written=list(WRITTEN),
        read={"alice": every[:3], "bob": list(every), "carol": every[:2], "laptop": every[:4], "tablet": list(every)},
        caught_up=every[:2],
        removal_seq=4,
        handed=[verdict("grant", 4), *(verdict("message", seq) for seq in (5, 7, 8))],
        loss_seq=5,
        turned_away="sign_in_refused",
        lost_before=[*(tried(kind, 1, "a key") for kind in KINDS), tried("box", 1), tried("message", 3, "a key")],
        lost_after=[*(tried(kind, 7) for kind in KINDS), tried("message", 8)],
        rows=[row(2), row(3), row(5), row(7), row(8)],
        plaintexts=[Needle("a text", b"Nightingale")],
        passwords=[Needle("a password", b"correct horse")],
        keys=[Needle("a key", bytes(range(32)))],
        canaries=[("raw", Needle("an id", b"first-id"))],
        device_canaries=[Needle("a name", b"alice's name")],
        server_places=list(PLACES),
        device_places=[("alice/state.db", b"\x02" * 64), ("alice/profile.json", b"it is alice's name")],
    )


@pytest.mark.parametrize("claim", CHECKS)
def test_the_small_play_holds(claim: str) -> None:
    assert CHECKS[claim](evidence()) == ""


def nobody_wrote_offline(found: Evidence) -> None:
    found.written = [(writer, text, "together") for writer, text, _ in found.written]


def nothing_after(found: Evidence) -> None:
    found.written = found.written[:2]


def nothing_after_the_loss(found: Evidence) -> None:
    found.written = found.written[:3]


def a_word_changed(found: Evidence) -> None:
    found.read["bob"][1] = line(3, "too")


def another_order(found: Evidence) -> None:
    found.read["alice"] = found.read["alice"][::-1]


def one_is_unreadable(found: Evidence) -> None:
    found.read["bob"][2] = line(5, "", "no_grant")


EMPTY = '{"encryptedText": "", "tag": ""}'
BENT: list[tuple[str, Callable[[Evidence], object], str]] = [
    ("members-read", a_word_changed, "bob does not read"),
    ("members-read", another_order, "alice does not read"),
    ("members-read", one_is_unreadable, "bob does not read"),
    ("offline-catches-up", nobody_wrote_offline, "nothing was written"),
    ("offline-catches-up", lambda found: found.caught_up.pop(), "bob lacks"),
    ("removed-keeps-past", lambda found: found.read["carol"].pop(), "carol does not read"),
    ("removed-not-served", lambda found: found.read["carol"].append(line(5, "", "no_grant")), "served carol"),
    ("removed-cannot-read", nothing_after, "was not handed"),
    ("removed-cannot-read", lambda found: found.handed.pop(), "was not handed"),
    ("removed-cannot-read", lambda found: found.handed.pop(0), "was not handed"),
    ("removed-cannot-read", lambda found: found.handed[1].update(opened="a key"), "message 5 was opened by a key"),
    ("removed-cannot-read", lambda found: found.handed[0].update(opened="a key"), "grant 4 was opened by a key"),
    ("removed-cannot-read", lambda found: found.handed[1].update(cause=""), "failed with nothing"),
    ("removed-cannot-read", lambda found: found.handed[1].update(cause="replayed"), "failed with replayed"),
    ("removed-cannot-read", lambda found: found.handed[1].update(tried=LEAST_KEYS - 1), "keys were tried"),
    ("new-device-reads", nothing_after_the_loss, "nothing was written after the loss"),
    ("new-device-reads", lambda found: found.read["laptop"].pop(), "the laptop does not read"),
    ("recovery-reads", nothing_after_the_loss, "nothing was written after the recovery"),
    ("recovery-reads", lambda found: found.read["tablet"].pop(0), "the tablet does not read"),
    ("revoked-not-served", lambda found: setattr(found, "turned_away", ""), "ended with success"),
    ("revoked-not-served", lambda found: setattr(found, "turned_away", "unreachable"), "ended with unreachable"),
    ("revoked-cannot-read", nothing_after_the_loss, "was not handed"),
    ("revoked-cannot-read", lambda found: found.lost_after.pop(), "was not handed"),
    *(
        (
            "revoked-cannot-read",
            lambda found, place=place: found.lost_after.pop(place),
            f"kind {KINDS[place]} was handed",
        )
        for place in range(4)
    ),
    *(
        (
            "revoked-cannot-read",
            lambda found, place=place: found.lost_before.pop(place),
            f"kind {KINDS[place]} was opened",
        )
        for place in range(4)
    ),
    ("revoked-cannot-read", lambda found: found.lost_before.clear(), "was opened"),
    ("revoked-cannot-read", lambda found: found.lost_before[-1].update(opened=""), "message 3, which it could read"),
    ("revoked-cannot-read", lambda found: found.lost_after[2].update(opened="a key"), "outer 7 was opened by a key"),
    ("revoked-cannot-read", lambda found: found.lost_after[1].update(tried=LEAST_KEYS - 1), "keys were tried"),
    ("placeholder", lambda found: found.rows.pop(), "the database holds 4"),
    ("placeholder", lambda found: found.rows[0].update(text="one"), "not marked"),
    ("placeholder", lambda found: found.rows[0].update(encrypted=0), "not marked"),
    (
        "placeholder",
        lambda found: found.rows[0].update(encrypted_payload='{"encryptedText": "", "tag": ""}'),
        "no cipher",
    ),
    ("no-plaintext", lambda found: found.plaintexts.clear(), "nothing to search for"),
    (
        "no-plaintext",
        lambda found: found.server_places.append(("log", b"... Nightingale ...")),
        "a text was found as raw",
    ),
    ("no-plaintext", lambda found: found.server_places.clear(), "nowhere to search"),
    ("no-password", lambda found: found.passwords.clear(), "nothing to search for"),
    ("no-password", lambda found: found.server_places.append(("x", b"correct horse".hex().encode())), "as hex in x"),
    ("no-key", lambda found: found.keys.clear(), "nothing to search for"),
    ("no-key", lambda found: found.server_places.append(("x", bytes(range(32)))), "a key was found as raw in x"),
    (
        "devices-sealed",
        lambda found: found.device_places.append(("x", bytes(range(32)))),
        "a key was found as raw in x",
    ),
    ("devices-sealed", lambda found: found.device_places.clear(), "nowhere to search"),
    ("canaries", lambda found: found.canaries.clear(), "no canary"),
    ("canaries", lambda found: found.device_canaries.clear(), "no canary"),
    ("canaries", lambda found: found.device_places.pop(), "not found in the state folders"),
    ("canaries", lambda found: found.server_places.pop(), "was not found as raw"),
    ("canaries", lambda found: found.server_places.append(found.server_places.pop(0)), ""),
    (
        "canaries",
        lambda found: found.server_places.__setitem__(1, ("log", b"first-id")),
        "not found in the write-ahead log",
    ),
]


@pytest.mark.parametrize(("claim", "bend", "wrong"), BENT)
def test_what_is_missing_or_wrong_is_told(claim: str, bend: Callable[[Evidence], object], wrong: str) -> None:
    found = evidence()
    bend(found)
    said = CHECKS[claim](found)
    assert wrong in said
    assert bool(said) == bool(wrong)
