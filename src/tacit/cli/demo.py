"""`tacit demo`: three people talk through a server that cannot read, one loses her devices, every claim is checked."""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from tacit.cli.claims import AFTER_LOSS, AFTER_REMOVAL, CLAIMS, Evidence
from tacit.cli.handover import Later, hand_over, later_rows
from tacit.cli.inspection import ciphertext, device_needles, recovery_needles, store_key, vault_needles
from tacit.cli.lost import hand_over_lost, what_opens
from tacit.cli.needles import Needle, haystack
from tacit.cli.session import PROFILES
from tacit.cli.stage import Person, Stage

TEAM = "Project Nightingale"
TOGETHER = (
    ("alice", "The prototype flew for eleven minutes this morning."),
    ("carol", "Eleven! The old one fell out of the sky after four."),
)
OFFLINE = (
    ("alice", "Investors visit on Thursday at ten; please bring the spare rotor."),
    ("carol", "I will be there. The rotor is in my garage."),
)
ANSWER = ("bob", "Sorry, was on a train. Thursday at ten is fine, coffee is on me.")
AFTER = (
    ("alice", "Carol moved to another team, so from here on it is the two of us."),
    ("bob", "The new battery supplier is Halvorsen, keep that between us."),
)
LOST = (
    ("alice", "My phone was on the rotor and is in the lake now. I signed it out, this is my laptop."),
    ("bob", "Then the customs code goes to you here: the crate is under Kestrel-Ostrava."),
)
RECOVERED = (
    ("alice", "The laptop followed it. I am back with the words from my drawer: gate fourteen, half past six."),
)
Say = Callable[[tuple[tuple[str, str], ...], str], None]
"""Lets people say lines at a time of the play."""


@dataclass(frozen=True, slots=True)
class Rows:
    """What the database holds at one moment of what is of use to a thief."""

    records: list[dict[str, Any]]
    grants: list[dict[str, Any]]
    messages: list[dict[str, Any]]
    accounts: list[dict[str, Any]]

    def last_seq(self) -> int:
        """The highest number in the conversation."""
        return max(int(row["seq"]) for row in (*self.records, *self.messages))

    def after(self, seq: int) -> Later:
        """Records with their grants, and messages, that are later."""
        return later_rows(self.records, self.grants, self.messages, seq)

    def vault(self, user_id: str) -> dict[str, Any]:
        """The row that holds somebody's vault."""
        return next(row for row in self.accounts if row["user_id"] == user_id and row["encrypted_private_key"])


@dataclass(slots=True)
class Cast:
    """Everybody's devices and recovery words; `alice` has three devices, one after the other."""

    alice: list[Person]
    bob: Person
    carol: Person
    words: dict[str, list[str]] = field(repr=False)
    vaults: list[dict[str, Any]] = field(default_factory=list)
    before_loss: Rows = field(default_factory=lambda: Rows([], [], [], []))

    def everybody(self) -> list[Person]:
        """Each device."""
        return [*self.alice, self.bob, self.carol]


def step(text: str) -> None:
    """Say what happens now, on standard error."""
    click.echo(f"  · {text}", err=True)


def play(stage: Stage, profile: str) -> Evidence:
    """The whole play, everybody with accounts of this profile; what it leaves behind."""
    evidence = Evidence(name=TEAM)
    step("a server starts on a free loopback port, with an empty database")
    stage.open()
    alice, bob, carol = people = [stage.person(name) for name in ("alice", "bob", "carol")]
    step("alice, bob and carol register, each in a process and a folder of their own")
    register = ("register", "{name}", "--server", stage.url, "--profile", profile, "--device", "phone")
    answers = stage.run_each(people, *register)
    words = {answer["userId"]: answer["recoveryWords"] for (answer,) in answers}
    cast = Cast([alice], bob, carol, words)
    step(f"alice opens “{TEAM}” with bob and carol")
    stage.run(alice, "create", TEAM, "bob", "carol")

    by_name = {person.name: person for person in people}

    def say(lines: tuple[tuple[str, str], ...], where: str) -> None:
        for writer, text in lines:
            stage.run(by_name[writer], "send", TEAM, text)
            evidence.written.append((writer, text, where))

    step("alice and carol talk; bob reads it")
    say(TOGETHER, "together")
    stage.run(bob, "read", TEAM)
    step("bob goes offline; they go on")
    say(OFFLINE, "while bob was offline")
    step("bob comes back, catches up and answers")
    evidence.caught_up = stage.run(bob, "read", TEAM)
    say((ANSWER,), "together")
    stage.run(carol, "read", TEAM)
    step("alice removes carol; a new key protects what follows")
    stage.run(alice, "members", "remove", TEAM, "carol")
    evidence.removal_seq = rows_in(stage).records[-1]["seq"]
    say(AFTER, "after carol")
    evidence.read["alice"] = stage.run(alice, "read", TEAM)
    lose_a_device(stage, cast, profile, by_name, say, evidence)
    recover(stage, cast, profile, by_name, say, evidence)
    readers = {"tablet": cast.alice[-1], "bob": bob, "carol": carol}
    evidence.read |= zip(readers, stage.run_each(list(readers.values()), "read", TEAM), strict=True)
    collect(stage, cast, evidence)
    return evidence


def lose_a_device(
    stage: Stage, cast: Cast, profile: str, by_name: dict[str, Person], say: Say, evidence: Evidence
) -> None:
    """Alice's phone is gone: she signs in on a laptop with her password and revokes it there."""
    phone = cast.alice[0]
    laptop = stage.device(phone, "laptop", phone.password)
    cast.alice.append(laptop)
    step("alice loses her phone, and signs in on a new laptop with her password")
    new = ("devices", "add", "alice", "--server", stage.url, "--profile", profile, "--yes")
    stage.run(laptop, *new, "--device", "laptop")
    cast.before_loss = rows_in(stage)
    evidence.loss_seq = cast.before_loss.last_seq()
    step("there she revokes the phone: all keys that it had are replaced")
    stage.run(laptop, "devices", "revoke", "phone", "--yes")
    cast.vaults.append(rows_in(stage).vault("alice"))
    evidence.turned_away = stage.refusal(phone, "read", TEAM)
    by_name["alice"] = laptop
    say(LOST, "after the loss")
    evidence.read["laptop"] = stage.run(laptop, "read", TEAM)


def recover(stage: Stage, cast: Cast, profile: str, by_name: dict[str, Person], say: Say, evidence: Evidence) -> None:
    """Alice comes back with her 24 words alone, and has another password then."""
    tablet = stage.device(cast.alice[0], "tablet", stage.person("alice").password)
    cast.alice.append(tablet)
    step("once more, on a tablet, with the 24 words alone: she has forgotten her password, and chooses another")
    new = ("devices", "add", "alice", "--server", stage.url, "--profile", profile, "--yes", "--device", "tablet")
    typed = " ".join(cast.words["alice"]) + f"\n{tablet.password}\n"
    stage.run(tablet, *new, "--words-fd", "0", "--new-password-fd", "0", typed=typed)
    by_name["alice"] = tablet
    say(RECOVERED, "after the recovery")


def collect(stage: Stage, cast: Cast, evidence: Evidence) -> None:
    """Read the database as a thief would, let carol and the lost phone try, gather what to search for and where."""
    step("carol is handed every later row straight from the database, and tries every key that she has")
    stage.keep()
    now = time.time_ns() // 1_000_000
    rows, before = rows_in(stage), cast.before_loss
    keys = {person.home: store_key(person.home, person.password) for person in cast.everybody()}
    evidence.rows = rows.messages
    later = rows.after(evidence.removal_seq)
    evidence.handed = hand_over(cast.carol, keys[cast.carol.home], later, rows.accounts, now)
    step("and the lost phone every row since it was revoked, the vaults too; what came before it has to open")
    phone = cast.alice[0]
    evidence.lost_before = what_opens(phone, keys[phone.home], [before.vault("alice")], before.after(0))
    cast.vaults.append(rows.vault("alice"))
    evidence.lost_after = hand_over_lost(
        phone, keys[phone.home], cast.vaults, rows.after(evidence.loss_seq), rows.accounts, now
    )

    step("every text, password and key is searched for in all that the server's folder held after each step")
    texts = [*(text for _, text, _ in evidence.written), TEAM]
    evidence.plaintexts = [Needle(f"“{text}”", text.encode()) for text in texts]
    for name, own_words in cast.words.items():
        evidence.passwords.extend(recovery_needles(name, own_words))
    for person in cast.everybody():
        evidence.passwords.append(Needle(f"{person.name}'s password", person.password.encode()))
        evidence.keys.extend(device_needles(person, keys[person.home]))
        evidence.device_places += [(f"{person.home.name}/{place}", data) for place, data in haystack(person.home)]
    vaults = [(before.vault("alice"), phone), *((rows.vault(each.name), each) for each in cast.everybody()[2:])]
    for vault, owner in vaults:
        evidence.keys.extend(vault_needles(vault, owner.password, cast.words[owner.name]))
    gather_canaries(rows, cast, evidence)
    evidence.server_places = haystack(stage.kept)


def gather_canaries(rows: Rows, cast: Cast, evidence: Evidence) -> None:
    """What the search has to find."""
    first = json.loads(rows.messages[0]["encrypted_payload"])
    evidence.canaries = [
        ("raw", Needle("a message's client id", first["clientMessageId"].encode())),
        ("hex", Needle("an account record's hash", bytes.fromhex(rows.accounts[0]["key_id"]))),
        ("base64", Needle("a message's ciphertext", ciphertext(first))),
    ]
    evidence.device_canaries = [Needle(f"{name}'s own name", f'"userId": "{name}"'.encode()) for name in cast.words]


def rows_in(stage: Stage) -> Rows:
    """What the server's database holds now."""
    database = stage.server_folder / "chat.db"
    return Rows(
        rows_of(database, "SELECT * FROM conversation_keys ORDER BY epoch"),
        rows_of(database, "SELECT * FROM conversation_key_members"),
        rows_of(database, "SELECT * FROM messages ORDER BY seq"),
        rows_of(database, "SELECT * FROM user_keys ORDER BY user_id, version"),
    )


def rows_of(database: Path, query: str) -> list[dict[str, Any]]:
    """Rows straight from the server's file."""
    connection = sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)
    connection.row_factory = sqlite3.Row
    try:
        return [dict(row) for row in connection.execute(query)]
    finally:
        connection.close()


def side_by_side(evidence: Evidence) -> str:
    """What was written, what the database holds, what each reads."""
    by_text = {reader: {line["text"] for line in lines if not line["cause"]} for reader, lines in evidence.read.items()}
    held = ciphertexts(evidence)
    lines = [f"{'written':42} {'in the database':21} alice  bob    carol  lost phone", "─" * 96]
    shut = {"carol": AFTER_REMOVAL, "alice": AFTER_LOSS}
    for writer, text, where in evidence.written:
        marks = [
            "reads " if text in by_text[reader] else "cannot" if where in shut.get(reader, ()) else "–     "
            for reader in ("tablet", "bob", "carol", "alice")
        ]
        lines.append(f"{cut(f'{writer}: {text}', 42):42} {cut(held.get(text, '?'), 21):21} {' '.join(marks)}".rstrip())
    for who, verdicts in (("carol", evidence.handed), ("the lost phone", evidence.lost_after)):
        lines += ["", f"{who}, handed every later row of the database:"]
        for verdict in verdicts:
            outcome = f"opened by {verdict['opened']}" if verdict["opened"] else "closed"
            cause = f": {verdict['cause']}" if verdict["cause"] and not verdict["opened"] else ""
            lines.append(f"  {verdict['row']:34} {outcome}{cause}, {verdict['tried']} keys tried")
    return "\n".join(lines)


def cut(text: str, width: int) -> str:
    """The text, or as much of it as fits."""
    return text if len(text) <= width else text[: width - 1] + "…"


def ciphertexts(evidence: Evidence) -> dict[str, str]:
    """The ciphertext in each text's row, matched by the `seq` that a reader was told."""
    payloads = {row["seq"]: json.loads(row["encrypted_payload"])["encryptedText"] for row in evidence.rows}
    every = [line for lines in evidence.read.values() for line in lines]
    return {line["text"]: payloads[line["seq"]] for line in every if line["seq"] in payloads}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print each claim as a JSON object.")
@click.option("--keep", is_flag=True, help="Keep the folder with all files, and say where it is.")
@click.option("--profile", type=PROFILES, default="standard", show_default=True, help="Everybody's algorithms.")
def demo(as_json: bool, keep: bool, profile: str) -> int:
    """Three people talk through a server that cannot read; every claim is checked."""
    start = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="tacit-demo-"))
    stage = Stage(folder)
    signal.signal(signal.SIGTERM, lambda number, _: stage.stop(number))
    try:
        evidence = play(stage, profile)
        if not as_json:
            click.echo("\n" + side_by_side(evidence) + "\n")
        held = judge(evidence, as_json)
    finally:
        stage.close()
        if keep:
            click.echo(f"everything is kept in {folder}", err=True)
        else:
            shutil.rmtree(folder, ignore_errors=True)
    seconds = time.monotonic() - start
    total = len(CLAIMS)
    if as_json:
        click.echo(
            json.dumps({"hold": held, "of": total, "clientProcesses": len(stage.pids), "seconds": round(seconds, 1)})
        )
    else:
        click.echo(f"\n{held} of {total} claims hold ({len(stage.pids)} client processes, {seconds:.1f} s)")
    return 0 if held == total else 1


def judge(evidence: Evidence, as_json: bool) -> int:
    """Check and print each claim; how many hold."""
    held = 0
    for claim in CLAIMS:
        wrong = claim.check(evidence)
        held += not wrong
        if as_json:
            click.echo(json.dumps({"claim": claim.id, "holds": not wrong, "wrong": wrong}))
            continue
        click.echo(f"{'FAILS' if wrong else 'holds'}  {claim.id:20} {claim.sentence}")
        if wrong:
            click.echo(f"       {wrong}")
    return held
