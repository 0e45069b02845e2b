"""What the demo claims, as a list: each claim has an id, a sentence and a check that says what is wrong, or nothing."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tacit.cli.needles import Needle, search

Places = list[tuple[str, bytes]]
CAUSES = {"message": "no_grant", "grant": "invalid_grant"}
"""Why a removed member's client does not open a row."""
LEAST_KEYS = 8
"""A device's three seeds, outer key, X-Wing seed, archive key, an epoch's key and the store's."""


@dataclass(slots=True)
class Evidence:
    """What the play left behind; every claim is judged on this alone.

    `written`: (writer, text, where) in order, `where` one of "together", "while bob was offline", "after carol".
    `read`: what each reader's process printed in the end, `caught_up` bob's after he was offline. `rows`: the messages
    in the database. `handed`: carol's verdicts on every later grant and message, by her real state.
    """

    written: list[tuple[str, str, str]] = field(default_factory=list)
    name: str = ""
    read: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    caught_up: list[dict[str, Any]] = field(default_factory=list)
    removal_seq: int = 0
    handed: list[dict[str, Any]] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    plaintexts: list[Needle] = field(default_factory=list)
    passwords: list[Needle] = field(default_factory=list)
    keys: list[Needle] = field(default_factory=list)
    canaries: list[tuple[str, Needle]] = field(default_factory=list)
    device_canaries: list[Needle] = field(default_factory=list)
    server_places: Places = field(default_factory=list)
    device_places: Places = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Claim:
    """One claim; `check` gives what is wrong, or the empty text."""

    id: str
    sentence: str
    check: Callable[[Evidence], str]


def _texts(lines: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(line["sender"], line["text"]) for line in lines if line["kind"] == "text" or line["cause"]]


def _expected(evidence: Evidence, *, until_removal: bool) -> list[tuple[str, str]]:
    return [
        (writer, text) for writer, text, where in evidence.written if not (until_removal and where == "after carol")
    ]


def members_read_everything(evidence: Evidence) -> str:
    """Each reader's text against the writer's, in order."""
    for reader in ("alice", "bob"):
        if _texts(evidence.read[reader]) != _expected(evidence, until_removal=False):
            return f"{reader} does not read what was written"
    return ""


def bob_catches_up(evidence: Evidence) -> str:
    """What was sent while bob had no process running."""
    missed = [(writer, text) for writer, text, where in evidence.written if where == "while bob was offline"]
    if not missed:
        return "nothing was written while bob was offline"
    got = _texts(evidence.caught_up)
    return "" if all(line in got for line in missed) else "bob lacks messages that were sent while he was offline"


def removed_read_until_removal(evidence: Evidence) -> str:
    """Carol, before and after: what was hers stays hers."""
    until = [line for line in evidence.read["carol"] if line["seq"] <= evidence.removal_seq]
    if _texts(until) != _expected(evidence, until_removal=True):
        return "carol does not read exactly what was written before her removal"
    return ""


def removed_is_served_nothing(evidence: Evidence) -> str:
    """The server's answers to carol."""
    later = [line["seq"] for line in evidence.read["carol"] if line["seq"] > evidence.removal_seq]
    return f"the server served carol the messages {later}" if later else ""


def removed_cannot_read(evidence: Evidence) -> str:
    """Every later row, handed to carol's real state: her client's verdict, and every key she has tried on every row."""
    later = [row["seq"] for row in evidence.rows if row["seq"] > evidence.removal_seq]
    written = sum(where == "after carol" for _, _, where in evidence.written)
    messages = [verdict["seq"] for verdict in evidence.handed if verdict["kind"] == "message"]
    if not written or len(later) < written or messages != later or len(evidence.handed) == len(messages):
        return f"carol was not handed every later grant and message: {len(messages)} of {len(later)}, {written} written"
    for verdict in evidence.handed:
        if verdict["opened"]:
            return f"the {verdict['row']} was opened by {verdict['opened']}"
        cause = CAUSES[verdict["kind"]]
        if verdict["cause"] != cause:
            return f"the {verdict['row']} failed with {verdict['cause'] or 'nothing'} instead of {cause}"
        if verdict["tried"] < LEAST_KEYS:
            return f"{verdict['tried']} keys were tried on the {verdict['row']}"
    return ""


def rows_hold_the_placeholder(evidence: Evidence) -> str:
    """`messages.text` and the payload's shape."""
    if len(evidence.rows) < len(evidence.written):
        return f"{len(evidence.written)} messages were written, the database holds {len(evidence.rows)}"
    for row in evidence.rows:
        if row["text"] != "[Encrypted Message]" or row["encrypted"] != 1:
            return f"row {row['seq']} is not marked as encrypted"
        payload = json.loads(row["encrypted_payload"])
        if len(base64.b64decode(payload["encryptedText"])) < 16 or payload["tag"] != "":
            return f"row {row['seq']} has no ciphertext"
    return ""


def _absent(places: Places, needles: list[Needle]) -> str:
    if not needles:
        return "there was nothing to search for"
    if not places:
        return "there was nowhere to search"
    hits = search(places, needles)
    return f"{hits[0].name} was found as {hits[0].form} in {hits[0].place}" if hits else ""


def server_has_no_plaintext(evidence: Evidence) -> str:
    """Every text and the conversation's name, in all that the server's folder ever held."""
    return _absent(evidence.server_places, evidence.plaintexts)


def server_has_no_password(evidence: Evidence) -> str:
    """Every password and recovery key."""
    return _absent(evidence.server_places, evidence.passwords)


def server_has_no_key(evidence: Evidence) -> str:
    """Every secret key of every device, every conversation key, identity key, AMK and outer key."""
    return _absent(evidence.server_places, evidence.keys)


def devices_are_sealed(evidence: Evidence) -> str:
    """The state folders: nothing is readable without the password there either."""
    return _absent(evidence.device_places, evidence.plaintexts + evidence.passwords + evidence.keys)


def canaries_are_found(evidence: Evidence) -> str:
    """Things that the server does hold, found by the same search, so that its silence means something."""
    if not evidence.canaries or not evidence.device_canaries:
        return "no canary was planted"
    for form, needle in evidence.canaries:
        hits = search(evidence.server_places, [needle])
        if not any(hit.form == form for hit in hits):
            return f"{needle.name} was not found as {form}"
        if not any("-wal frame" in hit.place for hit in hits):
            return f"{needle.name} was not found in the write-ahead log"
    for needle in evidence.device_canaries:
        if not search(evidence.device_places, [needle]):
            return f"{needle.name} was not found in the state folders"
    return ""


CLAIMS = (
    Claim("members-read", "Alice and bob read exactly what was written, in order", members_read_everything),
    Claim("offline-catches-up", "Bob, offline meanwhile, catches up", bob_catches_up),
    Claim("removed-keeps-past", "Carol reads what was written until she was removed", removed_read_until_removal),
    Claim("removed-not-served", "The server serves her nothing that follows", removed_is_served_nothing),
    Claim(
        "removed-cannot-read",
        "Handed every later row of the database, she opens none: no_grant, and no key of hers fits",
        removed_cannot_read,
    ),
    Claim("placeholder", "Each message's row says [Encrypted Message]", rows_hold_the_placeholder),
    Claim(
        "no-plaintext",
        "No text or name is in the database, a WAL frame, a temporary file or the log",
        server_has_no_plaintext,
    ),
    Claim("no-password", "Nor a password or recovery key", server_has_no_password),
    Claim("no-key", "Nor a secret key", server_has_no_key),
    Claim("devices-sealed", "Nor is any of it readable in the people's own state folders", devices_are_sealed),
    Claim(
        "canaries",
        "The same search finds what is there: raw, hex and base64, in the WAL too, and in each state folder",
        canaries_are_found,
    ),
)
