"""What the server of a simulation has, read from its database and checked by the rules."""

from __future__ import annotations

import dataclasses
from typing import Any, Final, NamedTuple

from properties.simulation_people import Simulation
from tacit.signed.account import (
    AccountRecord,
    AccountSignatures,
    account_hash,
    aik_fingerprint,
    certificate,
    verify_first,
    verify_next,
)
from tacit.signed.grant import SignedGrant
from tacit.signed.record import ConversationRecord, Roster
from tacit.signed.rights import ChainState, check_standing
from tacit.signed.verify import Verified
from tacit.wire.codec import decode
from tacit.wire.text import from_base64


class Epoch(NamedTuple):
    """A record that the server took."""

    record: ConversationRecord
    row: str
    key_id: str
    seq: int
    before: ChainState | None
    state: ChainState

    @property
    def roster(self) -> Roster:
        return self.state.roster()


@dataclasses.dataclass
class Talk:
    """A conversation as the server has it: epochs by number, the grants of each, messages by `seq`.

    A message is its sender, device and epoch; `removed` says up to which `seq` a former member is served.
    """

    id: str
    epochs: dict[int, Epoch] = dataclasses.field(default_factory=dict)
    grants: dict[int, list[tuple[str, SignedGrant]]] = dataclasses.field(default_factory=dict)
    messages: dict[int, tuple[str, str, int]] = dataclasses.field(default_factory=dict)
    removed: dict[str, int] = dataclasses.field(default_factory=dict)

    @property
    def head(self) -> Epoch:
        return self.epochs[max(self.epochs)]


class Truth:
    """Everything that the server took so far, checked by the rules."""

    def __init__(self) -> None:
        self.accounts: dict[str, list[Verified[AccountRecord]]] = {}
        self.talks: dict[str, Talk] = {}

    def take(self, db: Any) -> Truth:
        """Take what came since the last time."""
        query = "SELECT user_id, version, record, signature FROM user_keys ORDER BY user_id, version"
        for user, version, record, signature in db.execute(query).fetchall():
            known = self.accounts.setdefault(user, [])
            if version > len(known):
                read = decode(AccountRecord, from_base64(record)), decode(AccountSignatures, from_base64(signature))
                known.append(verify_next(known[-1], *read) if known else verify_first(*read))
        for (conversation_id,) in db.execute("SELECT conversation_id FROM conversations ORDER BY 1").fetchall():
            self._take(db, self.talks.setdefault(conversation_id, Talk(conversation_id)))
        return self

    def _take(self, db: Any, talk: Talk) -> None:
        for row, key, record, signature, seq in db.execute(RECORDS, (talk.id, len(talk.epochs))).fetchall():
            read = decode(ConversationRecord, from_base64(record))
            before = talk.epochs[read.epoch - 1].state if talk.epochs else None
            _, state = check_standing(before, read, from_base64(signature), self.named)
            talk.epochs[read.epoch] = Epoch(read, row, key, seq, before, state)
        by_key = {epoch.key_id: number for number, epoch in talk.epochs.items()}
        query = "SELECT seq, sender_id, device_id, encryption_key_id FROM messages WHERE conversation_id = ?"
        for seq, sender, device, key in db.execute(query, (talk.id,)).fetchall():
            talk.messages[seq] = (sender, device, by_key[key])
        talk.removed = dict(db.execute(REMOVED, (talk.id,)).fetchall())

    def take_grants(self, db: Any) -> None:
        for talk in self.talks.values():
            for number, epoch in talk.epochs.items():
                granted = db.execute(GRANTS, (epoch.row,)).fetchall()
                talk.grants[number] = [(user, decode(SignedGrant, from_base64(raw))) for user, raw in granted]

    def named(self, user: str, hash_named: bytes) -> Verified[AccountRecord] | None:
        return next((each for each in self.accounts.get(user, []) if account_hash(each.value) == hash_named), None)

    def newest(self, user: str) -> AccountRecord:
        return self.accounts[user][-1].value

    def stands(self, user: str, device: str) -> bool:
        """Whether a device is in its account's newest record."""
        return certificate(self.newest(user), device) is not None

    def is_in(self, user: str, roster: Roster) -> bool:
        """Whether an account, under the identity key that it has now, is in a roster."""
        account = self.newest(user)
        return user in roster and roster[user].aik_fingerprint == aik_fingerprint(account.profile, account.aik)


RECORDS: Final = """SELECT id, key_id, record, signature, seq FROM conversation_keys
    WHERE conversation_id = ? AND epoch > ? ORDER BY epoch"""
GRANTS: Final = "SELECT user_id, encrypted_key FROM conversation_key_members WHERE conversation_key_id = ?"
REMOVED: Final = """SELECT user_id, removed_seq FROM conversation_members
    WHERE conversation_id = ? AND removed_seq IS NOT NULL"""


async def truth_of(sim: Simulation) -> Truth:
    if sim.truth is None:
        sim.truth = Truth()
    found: Truth = await sim.backend.store.read(sim.truth.take)
    return found
