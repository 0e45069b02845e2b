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
AFTER_LOSS = ("after the loss", "after the recovery")
"""Where what was written is not for the lost device."""
AFTER_REMOVAL = ("after carol", *AFTER_LOSS)
"""And where not for carol."""
KINDS = ("inner", "box", "outer", "grant", "message")
"""What a lost device is handed: the three parts of a vault, and a conversation's rows."""
LEAST_KEYS = 8
"""A device's three seeds, outer key, X-Wing seed, archive key, an epoch's key and the store's."""


@dataclass(slots=True)
class Evidence:
    """What the play left behind; every claim is judged on this alone.

    `written`: (writer, text, where) in order, `where` one of "together", "while bob was offline" and `AFTER_REMOVAL`.
    `read`: what each reader's process printed in the end: alice's on the phone before it was lost, on her laptop before
    the tablet; `caught_up` bob's after he was offline. `rows`: the messages in the database. `handed`: carol's verdicts
    on every later grant and message, by her real state; `lost_after` the lost phone's on every row since `loss_seq`
    and on each vault, `lost_before` on what was there before; `turned_away` the code with which it was refused.
    """

    written: list[tuple[str, str, str]] = field(default_factory=list)
    name: str = ""
    read: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    caught_up: list[dict[str, Any]] = field(default_factory=list)
    removal_seq: int = 0
    handed: list[dict[str, Any]] = field(default_factory=list)
    loss_seq: int = 0
    turned_away: str = ""
    lost_before: list[dict[str, Any]] = field(default_factory=list)
    lost_after: list[dict[str, Any]] = field(default_factory=list)
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


def _expected(evidence: Evidence, *without: str) -> list[tuple[str, str]]:
    return [(writer, text) for writer, text, where in evidence.written if where not in without]


def members_read_everything(evidence: Evidence) -> str:
    """Each reader's text against the writer's, in order; alice's until her phone is lost."""
    for reader, without in (("alice", AFTER_LOSS), ("bob", ())):
        if _texts(evidence.read[reader]) != _expected(evidence, *without):
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
    if _texts(until) != _expected(evidence, *AFTER_REMOVAL):
        return "carol does not read exactly what was written before her removal"
    return ""


def removed_is_served_nothing(evidence: Evidence) -> str:
    """The server's answers to carol."""
    later = [line["seq"] for line in evidence.read["carol"] if line["seq"] > evidence.removal_seq]
    return f"the server served carol the messages {later}" if later else ""


def removed_cannot_read(evidence: Evidence) -> str:
    """Every later row, handed to carol's real state: her client's verdict, and every key she has tried on every row."""
    later = [row["seq"] for row in evidence.rows if row["seq"] > evidence.removal_seq]
    written = sum(where in AFTER_REMOVAL for _, _, where in evidence.written)
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


def new_device_reads(evidence: Evidence) -> str:
    """What the laptop read, by the password, before the tablet was there."""
    return _whole_history(evidence, "laptop", "after the loss", "after the recovery")


def recovery_reads(evidence: Evidence) -> str:
    """What the tablet reads, by the words."""
    return _whole_history(evidence, "tablet", "after the recovery")


def _whole_history(evidence: Evidence, reader: str, since: str, *without: str) -> str:
    if not any(where == since for _, _, where in evidence.written):
        return f"nothing was written {since}"
    if _texts(evidence.read[reader]) != _expected(evidence, *without):
        return f"the {reader} does not read what was written"
    return ""


def revoked_is_turned_away(evidence: Evidence) -> str:
    """The code with which the lost device's own command ended."""
    if evidence.turned_away == "sign_in_refused":
        return ""
    return f"the lost phone ended with {evidence.turned_away or 'success'} instead of sign_in_refused"


def revoked_cannot_read(evidence: Evidence) -> str:
    """Every later row, by every key of the lost device; what came before is the canary, and has to open."""
    before = [verdict for verdict in evidence.lost_before if verdict["opened"]]
    lacking = [kind for kind in KINDS if not any(verdict["kind"] == kind for verdict in before)]
    if lacking:
        return f"of what it could read before, nothing of the kind {lacking[0]} was opened"
    for verdict in evidence.lost_before:
        if verdict["kind"] == "message" and not verdict["opened"]:
            return f"the {verdict['row']}, which it could read before, was not opened"
    later = [row["seq"] for row in evidence.rows if row["seq"] > evidence.loss_seq]
    written = sum(where in AFTER_LOSS for _, _, where in evidence.written)
    messages = [verdict["seq"] for verdict in evidence.lost_after if verdict["kind"] == "message"]
    if not written or len(later) < written or messages != later:
        return f"it was not handed every later message: {len(messages)} of {len(later)}, {written} written"
    for kind in KINDS:
        if not any(verdict["kind"] == kind for verdict in evidence.lost_after):
            return f"nothing of the kind {kind} was handed to it"
    for verdict in evidence.lost_after:
        if verdict["opened"]:
            return f"the {verdict['row']} was opened by {verdict['opened']}"
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
    Claim("new-device-reads", "On a new device, with her password, alice reads her whole history", new_device_reads),
    Claim("revoked-not-served", "Her lost device, revoked there, is turned away", revoked_is_turned_away),
    Claim(
        "revoked-cannot-read",
        "Handed every later row, new vaults included, it opens none; it does open what was there before",
        revoked_cannot_read,
    ),
    Claim("recovery-reads", "On a third device, with the 24 words alone, alice reads it all again", recovery_reads),
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
