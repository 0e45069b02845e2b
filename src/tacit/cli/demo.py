"""`tacit demo`: three people talk through a server that cannot read, and every claim is checked."""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import tempfile
import time
from pathlib import Path
from typing import Any

import click

from tacit.cli.claims import CLAIMS, Evidence
from tacit.cli.handover import hand_over, later_rows
from tacit.cli.inspection import ciphertext, device_needles, recovery_needles, vault_needles
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
    answers = stage.run_each(people, "register", "{name}", "--server", stage.url, "--profile", profile)
    words = [answer["recoveryWords"] for (answer,) in answers]
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
    say(AFTER, "after carol")
    evidence.read = dict(zip(by_name, stage.run_each(people, "read", TEAM), strict=True))
    collect(stage, people, words, evidence)
    return evidence


def collect(stage: Stage, people: list[Person], words: list[list[str]], evidence: Evidence) -> None:
    """Read the database as a thief would, let carol try, and gather what to search for and where."""
    step("carol is handed every later row straight from the database, and tries every key that she has")
    stage.keep()
    database = stage.server_folder / "chat.db"
    evidence.rows = rows_of(database, "SELECT * FROM messages ORDER BY seq")
    records = rows_of(database, "SELECT * FROM conversation_keys ORDER BY epoch")
    grants = rows_of(database, "SELECT * FROM conversation_key_members")
    accounts = rows_of(database, "SELECT * FROM user_keys ORDER BY user_id")
    evidence.removal_seq = records[-1]["seq"]
    later = later_rows(records, grants, evidence.rows, evidence.removal_seq)
    evidence.handed = hand_over(people[-1], later, time.time_ns() // 1_000_000)

    step("every text, password and key is searched for in all that the server's folder held after each step")
    texts = [*(text for _, text, _ in evidence.written), TEAM]
    evidence.plaintexts = [Needle(f"“{text}”", text.encode()) for text in texts]
    for person, own_words, account in zip(people, words, accounts, strict=True):
        evidence.passwords.append(Needle(f"{person.name}'s password", person.password.encode()))
        evidence.passwords.extend(recovery_needles(person.name, own_words))
        evidence.keys.extend(device_needles(person))
        evidence.keys.extend(vault_needles(account, person.password, own_words))
        evidence.device_places += [(f"{person.name}/{place}", data) for place, data in haystack(person.home)]
    first = json.loads(evidence.rows[0]["encrypted_payload"])
    evidence.canaries = [
        ("raw", Needle("a message's client id", first["clientMessageId"].encode())),
        ("hex", Needle("an account record's hash", bytes.fromhex(accounts[0]["key_id"]))),
        ("base64", Needle("a message's ciphertext", ciphertext(first))),
    ]
    evidence.device_canaries = [
        Needle(f"{person.name}'s own name", f'"userId": "{person.name}"'.encode()) for person in people
    ]
    evidence.server_places = haystack(stage.kept)


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
    lines = [f"{'written':46} {'in the database':24} alice  bob    carol", "─" * 91]
    for writer, text, where in evidence.written:
        marks = ["reads " if text in by_text[reader] else "–     " for reader in ("alice", "bob", "carol")]
        if where == "after carol":
            marks = [mark.replace("–     ", "cannot") for mark in marks]
        lines.append(f"{cut(f'{writer}: {text}', 46):46} {cut(held.get(text, '?'), 24):24} {' '.join(marks)}".rstrip())
    lines += ["", "carol, handed every later row of the database:"]
    for verdict in evidence.handed:
        outcome = f"opened by {verdict['opened']}" if verdict["opened"] else f"closed: {verdict['cause']}"
        lines.append(f"  {verdict['row']:28} {outcome}, {verdict['tried']} keys tried")
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
