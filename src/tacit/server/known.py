"""Account chains as the server has verified them: each record once, however often it is asked for."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple, final

from tacit import errors
from tacit.api.base import binary
from tacit.server.store import accounts
from tacit.server.store.rows import Account
from tacit.server.store.sqlite import Store
from tacit.signed.account import AccountRecord, AccountSignatures, account_hash, verify_chain
from tacit.signed.verify import Verified
from tacit.wire.codec import decode

KEPT: Final = 10_000
"""Account records that are kept in memory; chains that were not asked for lately go first."""
ON_THE_LOOP: Final = 32
"""Verifications that are done on the event loop; more go to a thread."""


class Known(NamedTuple):
    """One verified account record and its hash."""

    record: Verified[AccountRecord]
    hash: bytes


Chain = tuple[Known, ...]


@final
class Chains:
    """The chains of some accounts at one moment; an account that does not exist has an empty one."""

    def __init__(self, chains: Mapping[str, Chain]) -> None:
        self._chains = chains

    def named(self, user_id: str, hash_named: bytes) -> Verified[AccountRecord] | None:
        """The record of a user that has this hash."""
        chain = self._chains.get(user_id, ())
        return next((each.record for each in reversed(chain) if each.hash == hash_named), None)

    def all(self, user_id: str) -> Iterator[AccountRecord]:
        """Every record of a user, oldest first."""
        return (each.record.value for each in self._chains.get(user_id, ()))

    def newest(self, user_id: str) -> Verified[AccountRecord] | None:
        """The newest record of a user."""
        chain = self._chains.get(user_id, ())
        return chain[-1].record if chain else None

    def are_newest(self, db: sqlite3.Connection) -> bool:
        """Whether the store still has nothing newer of any of these accounts."""
        for user_id, chain in self._chains.items():
            newest = accounts.newest(db, user_id)
            if (newest.key_id if newest is not None else "") != (chain[-1].hash.hex() if chain else ""):
                return False
        return True


@final
class KnownAccounts:
    """Verifies what the store has of accounts, and keeps it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: OrderedDict[str, Chain] = OrderedDict()
        self._records = 0

    async def load(self, users: Iterable[str]) -> Chains:
        """The chains of these users as the store has them now; raises `Internal` for a record that does not verify."""
        before = {user: self._kept.get(user, ()) for user in users}
        rows = await self._store.read(lambda db: {user: _after(db, user, len(chain)) for user, chain in before.items()})
        if sum(map(len, rows.values())) > ON_THE_LOOP:
            found = await asyncio.to_thread(_verify, before, rows)
        else:
            found = _verify(before, rows)
        for user, chain in found.items():
            if chain and len(chain) >= len(self._kept.get(user, ())):
                self._records += len(chain) - len(self._kept.pop(user, ()))
                self._kept[user] = chain
        while self._records > KEPT:
            self._records -= len(self._kept.popitem(last=False)[1])
        return Chains(found)


def _after(db: sqlite3.Connection, user_id: str, version: int) -> tuple[Account, ...]:
    return accounts.versions(db, user_id, version) if accounts.newest(db, user_id) is not None else ()


def _verify(before: Mapping[str, Chain], rows: Mapping[str, tuple[Account, ...]]) -> dict[str, Chain]:
    found: dict[str, Chain] = {}
    for user, chain in before.items():
        pairs = [
            (decode(AccountRecord, binary(row.record)), decode(AccountSignatures, binary(row.signature)))
            for row in rows[user]
        ]
        try:
            verified = verify_chain(pairs, chain[-1].record if chain else None)
        except errors.PeerError as error:
            raise errors.Internal("an account in the database does not verify") from error
        found[user] = (*chain, *(Known(each, account_hash(each.value)) for each in verified))
    return found
