"""What the tables of `test_judging_table` say, carried out clause by clause with real people, records and messages."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

from conversation.world import Chat, Device, Opened, World, sender
from tacit.conversation.content import Name, TextBody
from tacit.conversation.judging import (
    Counted,
    Known,
    Repeated,
    Shown,
    Undecryptable,
    Verdict,
    counted,
    judge_message,
)
from tacit.conversation.judging_records import Judgement, Place, Received, Standpoint, judge_records
from tacit.conversation.sealing import Sealed, make_content, seal
from tacit.signed.account import AccountRecord, account_hash, aik_fingerprint
from tacit.signed.message import sign_message
from tacit.signed.record import (
    DEFAULT_POLICY,
    Change,
    Leave,
    Policy,
    Request,
    RequestKind,
    Role,
    sign_leave,
    sign_record,
)
from tacit.signed.rights import ChainState
from tacit.signed.verify import Verified
from tacit.wire.codec import encode


class Row(NamedTuple):
    """A line of a table."""

    story: str
    judge: str
    pin: str
    verdicts: str


def rows(table: str) -> list[Row]:
    """The lines that say something."""
    whole = table.replace(",\n ", ",")
    lines = [line for line in whole.strip().splitlines()[2:] if line.strip() and not line.startswith("#")]
    return [Row(*(cell.strip() for cell in line.split("|"))) for line in lines]


class Story:
    """Carries out what a row says, clause by clause, and has somebody judge it."""

    def __init__(self, row: Row) -> None:
        self.world = World("alice", "bob", "carol", "dave", "mallory")
        self.chat = Chat(self.world, "alice", "bob", "carol")
        self.chat.open("alice", [self.world["bob"].change(Role.ADMIN)])
        self.seq = self.chat.epochs[-1].seq
        self.judge = row.judge
        self.vault = int(row.pin.removeprefix("vault")) if "vault" in row.pin else 0
        self.pin = 0 if self.vault else int(row.pin)
        self.served = [each.received for each in self.chat.epochs]
        self.fork: Opened | None = None
        self.places: dict[int, str] = {}
        self.held: dict[int, ChainState] = {}
        self.confirmed: set[bytes] = set()
        self.hidden: set[str] = set()
        self.missing: dict[int, str] = {}
        self.arrived: dict[int, Sealed] = {}
        self.said: dict[int, Verdict] = {}
        self.seen: dict[Counted, int] = {}
        self.shown: dict[Name, int] = {}
        self.counter = 0
        for clause in row.story.split(", "):
            self.carry_out(clause.split())
        self.look()

    # --- what happens ----------------------------------------------------------------

    def carry_out(self, words: list[str]) -> None:
        match words:
            case ["nothing"]:
                pass
            case ["judged"]:
                self.look()
            case ["accepted"]:
                self.accept()
            case ["swapped"]:
                self.swap()
            case ["its" | "it", *rest]:
                self.bend(rest)
            case ["epoch", number, "is", "withheld"]:
                self.served = [each for each in self.served if each.record.epoch != int(number)]
            case [number, *how] if number.isdigit():
                self.missing[int(number)] = "served" if how == ["is", "served"] else how[-1]
            case [name, "is", "not", "served"]:
                self.hidden.add(name)
            case [name, "is", "served"]:
                self.hidden.discard(name)
            case [name, "gets", "a", "device"]:
                self.world[name].add_device()
            case [name, "is", "revoked"]:
                self.revoke(name)
            case [name, "is", "reset"]:
                self.world[name].reset()
            case [name, "writes" | "repeats", *rest]:
                self.write(name, words[1], rest)
            case [name, *deed]:
                self.open(name, deed)
            case _:
                raise AssertionError(words)

    def device(self, name: str) -> Device:
        """The first device of somebody, or the second of `bob2`; made where there is none."""
        person = self.world[name.rstrip("2")]
        if name.endswith("2"):
            if len(person.all_devices) < 2:
                person.add_device()
            return person.all_devices[1]
        return person.all_devices[0]

    def revoke(self, name: str) -> None:
        device, person = self.device(name), self.world[name.rstrip("2")]
        if len(person.newest.devices) < 2:
            person.add_device()
        person.revoke(device)

    def open(self, name: str, deed: list[str]) -> None:
        """The next record, or one beside the newest."""
        beside = deed[-2:] == ["beside", "it"]
        if beside:
            deed = deed[:-2]
        device, on = self.device(name), self.chat.epochs[-2 if beside else -1]
        changes = self.newest_versions(on, device)
        policy: Policy | None = None
        requests: tuple[Request, ...] = ()
        match deed:
            case ["rotates"]:
                pass
            case ["changes", "the", "policy"]:
                policy = dataclasses.replace(DEFAULT_POLICY, retention=1000)
            case ["adds" | "confirms" | "makes", whom, *how]:
                changes[whom] = self.world[whom].change(Role.ADMIN if "admin" in how else Role.MEMBER)
            case ["removes", whom]:
                changes[whom] = dataclasses.replace(on.roster[whom], role=Role.REMOVED)
            case ["lets", whom, "leave"]:
                changes[whom] = dataclasses.replace(on.roster[whom], role=Role.REMOVED)
                requests = (self.leave(on, whom),)
            case _:
                raise AssertionError(deed)
        if device.user_id not in on.roster:
            changes[device.user_id] = self.world[device.user_id].change()
        self.seq += 1
        opened = self.chat.open(
            device.user_id,
            changes.values(),
            device=device,
            seq=self.seq,
            policy=policy,
            requests=requests,
            on=on,
            keep=not beside,
        )
        self.served.append(opened.received)
        if beside:
            self.fork = opened

    def newest_versions(self, on: Opened, device: Device) -> dict[str, Change]:
        """What an honest opener names; a revoked one names what its record would have named before."""
        own = self.world[device.user_id].newest
        if device.device_id not in {each.device_id for each in own.devices}:
            return {}
        changes = {}
        for user, named in on.roster.items():
            newest = self.world[user].newest
            same = aik_fingerprint(newest.profile, newest.aik) == named.aik_fingerprint
            if same and newest.version > named.account_version:
                changes[user] = self.world[user].change(named.role)
        return changes

    def leave(self, on: Opened, name: str) -> Request:
        person = self.world[name]
        leave = Leave(
            self.chat.conversation_id,
            on.state.added()[name],
            name,
            person.device.device_id,
            person.newest.version,
            account_hash(person.newest),
        )
        return Request(RequestKind.LEAVE, encode(sign_leave(leave, person.device.request.sign)))

    def write(self, name: str, verb: str, rest: list[str]) -> None:
        """A message for the newest epoch or another one, which arrives now."""
        device = self.device(name)
        match rest:
            case ["as", other]:
                device = dataclasses.replace(device, user_id=other)
            case ["with", other, "device"]:
                posed = self.device(other.removesuffix("'s"))
                device = dataclasses.replace(posed, request=device.request)
            case _:
                pass
        epoch = self.chat.epochs[-1]
        if rest[:1] == ["for"]:
            epoch = self.chat.epochs[int(rest[1]) - 1] if rest[1] != "the" else self.the_fork()
        self.counter += verb == "repeats" or bool(self.arrived)
        first = self.arrived[min(self.arrived)].message.aad.client_message_id if verb == "repeats" else ""
        content = make_content(TextBody("hi"), sent_at=5, random=self.chat.random)
        made = seal(
            epoch.epoch,
            sender(device),
            content,
            counter=self.counter,
            client_message_id=first or f"m{self.counter}",
            random=self.chat.random,
        )
        self.arrive(made)

    def the_fork(self) -> Opened:
        assert self.fork is not None
        return self.fork

    def arrive(self, made: Sealed) -> None:
        self.seq += 1
        self.arrived[self.seq] = made

    def bend(self, words: list[str]) -> None:
        """What the server, or a program that is not ours, makes of the last record or message."""
        record, last = self.served[-1], max(self.arrived, default=0)
        match words:
            case ["signature", "breaks"]:
                self.served[-1] = dataclasses.replace(record, signature=bytes(64))
            case ["is", "of", "another", "conversation"]:
                other = Chat(self.world, "alice", "bob", "carol", seed="other")
                other.open("alice", [self.world["bob"].change(Role.ADMIN)])
                self.served[-1] = dataclasses.replace(other.open("bob").received, seq=record.seq)
            case ["version", "is", "old"]:
                self.served[-1] = self.signed_with_the_first_device(record)
            case ["begins", "as", "another"]:
                genesis = Chat(self.world, "alice", "bob", "carol", seed="other").epochs[0].received
                self.served[0] = dataclasses.replace(genesis, seq=self.served[0].seq)
            case ["names", "another", "record"]:
                self.arrived[last] = self.signed_for_another_record(self.arrived[last])
            case ["comes", "again"]:
                self.arrive(self.arrived[last])
            case ["is", "changed"]:
                made = self.arrived[last]
                message = dataclasses.replace(made.message, ciphertext=bytes(len(made.message.ciphertext)))
                self.arrived[last] = made._replace(message=message)
            case ["type", "is", "later"]:
                made = self.arrived[last]
                aad = dataclasses.replace(made.message.aad, content_type=2)
                self.arrived[last] = made._replace(message=dataclasses.replace(made.message, aad=aad))
            case _:
                raise AssertionError(words)

    def signed_with_the_first_device(self, received: Received) -> Received:
        """The record names the account's first version, though the roster has a later one."""
        opener = received.record.opener
        person = self.world[opener.user_id]
        first = dataclasses.replace(
            opener, device_id=person.device.device_id, account_hash=account_hash(person.versions[0].value)
        )
        record = dataclasses.replace(received.record, opener=first)
        return dataclasses.replace(received, record=record, signature=sign_record(record, person.device.request.sign))

    def signed_for_another_record(self, made: Sealed) -> Sealed:
        """The message's own device signs that it belongs to the genesis."""
        aad = dataclasses.replace(made.message.aad, record_hash=self.chat.epochs[0].state.head_hash)
        message = dataclasses.replace(made.message, aad=aad)
        device = next(each for each in self.world[aad.user_id].all_devices if each.device_id == aad.device_id)
        return made._replace(message=message, signature=sign_message(message, device.request.sign))

    def swap(self) -> None:
        """The server lays the newest message before the newest record."""
        message, record = max(self.arrived), self.served[-1].seq
        self.arrived = {record if seq == message else seq: made for seq, made in self.arrived.items()}
        self.served[-1] = dataclasses.replace(self.served[-1], seq=message)
        self.chat.epochs[-1] = dataclasses.replace(self.chat.epochs[-1], seq=message)

    # --- judging ---------------------------------------------------------------------

    def versions(self, user_id: str) -> Sequence[Verified[AccountRecord]]:
        """What the judge was served of an account: without what is hidden, which is all but the first version."""
        every = self.world.versions(user_id)
        return every[:1] if user_id in self.hidden else every

    def account(self, user_id: str, named: bytes) -> Verified[AccountRecord] | None:
        """Of a hidden account not even the first."""
        return None if user_id in self.hidden else self.world.accounts(user_id, named)

    def standpoint(self) -> Standpoint:
        held = self.held or {each.record.epoch: each.state for each in self.chat.epochs[: self.pin]}
        return Standpoint(
            self.chat.conversation_id,
            self.judge,
            held,
            self.account,
            lambda user: self.versions(user)[-1],
            self.confirmed,
            self.chat.epochs[self.vault - 1].state.head_hash if self.vault else None,
        )

    def look(self) -> None:
        """The judge's client takes what there is."""
        by = self.standpoint()
        self.held = dict(by.held)
        fresh = [each for each in self.served if each.record.epoch > self.pin]
        for judgement in judge_records(fresh, by):
            self.places[judgement.received.seq] = word_of(judgement)
            if judgement.state is not None:
                self.held[judgement.received.record.epoch] = judgement.state
        for seq, made in sorted(self.arrived.items()):
            earlier = self.said.get(seq)
            if isinstance(earlier, Shown | Repeated):
                continue
            verdict = judge_message(seq, made.message, made.signature, self.known())
            self.said[seq] = verdict
            if not isinstance(verdict, Undecryptable) or verdict.authentic:
                self.seen.setdefault(counted(made.message.aad), seq)
            if isinstance(verdict, Shown):
                self.shown[verdict.name] = seq

    def known(self) -> Known:
        away = [number for number, how in self.missing.items() if how in ("withheld", "waits")]
        locked = [number for number, how in self.missing.items() if how == "locked"]
        pending = [number for number, how in self.missing.items() if how == "waits"]
        known = self.chat.known(without=away, keyless=locked, pending=pending)
        return dataclasses.replace(known, versions=self.versions, seen=self.seen.get, shown=self.shown.get)

    def accept(self) -> None:
        """A person asked a member about what asks, and lets it count."""
        self.look()
        asking = [seq for seq, word in self.places.items() if word == "asks"]
        self.confirmed |= {each.state.head_hash for each in self.chat.epochs if each.seq in asking}


def word_of(judgement: Judgement) -> str:
    """The word of the table."""
    if judgement.place is Place.PENDING:
        return "asks" if judgement.ask else "waits"
    return "base" if judgement.place is Place.FOUNDATION else judgement.place.value


def word_of_message(verdict: Verdict) -> str:
    """The word of the table: how it is shown, or the cause of what is not."""
    match verdict:
        case Undecryptable():
            return verdict.cause.code
        case Repeated():
            return "repeated"
        case Shown():
            marks = [word for word, holds in (("late", verdict.trust.late), ("marked", verdict.trust.revoked)) if holds]
            return "+".join(marks) or "ordinary"
