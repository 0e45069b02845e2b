"""Account records out of the database, each verified on the one before it."""

from __future__ import annotations

import sqlite3
from collections import OrderedDict
from collections.abc import Iterator
from typing import Final, final

from tacit.api.base import binary
from tacit.server.admin.findings import UNREADABLE
from tacit.server.store.rows import Account
from tacit.signed.account import AccountRecord, AccountSignatures, account_hash, verify_first, verify_next
from tacit.signed.verify import Verified
from tacit.wire import limits
from tacit.wire.codec import decode

KEPT: Final = 10_000
"""Account records that are kept in memory; those that were not asked for lately go first."""
_COLUMNS = "user_id, version, key_id, public_key, record, signature, outer_version, created_at"


def walk(db: sqlite3.Connection, user_id: str) -> Iterator[tuple[Account, Verified[AccountRecord]]]:
    """The versions of an account, oldest first, one at a time; raises what reading and verifying raise."""
    before: Verified[AccountRecord] | None = None
    query = f"SELECT {_COLUMNS} FROM user_keys WHERE user_id = ? ORDER BY version"
    for found in db.execute(query, (user_id,)):
        row = Account._make(found)
        record = decode(AccountRecord, binary(row.record, limits.RECORD_BYTES))
        signatures = decode(AccountSignatures, binary(row.signature, limits.RECORD_BYTES))
        before = verify_first(record, signatures) if before is None else verify_next(before, record, signatures)
        yield row, before


@final
class Known:
    """Verified account records by user and hash; of a chain that does not verify, those before the breach."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._kept: OrderedDict[str, dict[bytes, Verified[AccountRecord]]] = OrderedDict()
        self._records = 0

    def named(self, user_id: str, hash_named: bytes) -> Verified[AccountRecord] | None:
        """The record of a user that has this hash, or None."""
        return self._chain(user_id).get(hash_named)

    def newest(self, user_id: str) -> Verified[AccountRecord] | None:
        """The newest record of a user, or None."""
        return next(reversed(self._chain(user_id).values()), None)

    def _chain(self, user_id: str) -> dict[bytes, Verified[AccountRecord]]:
        found = self._kept.get(user_id)
        if found is not None:
            self._kept.move_to_end(user_id)
            return found
        found = {}
        try:
            for _, verified in walk(self._db, user_id):
                found[account_hash(verified.value)] = verified
        except UNREADABLE:
            pass  # the account's own check tells it
        self._kept[user_id] = found
        self._records += 1 + len(found)
        while self._records > KEPT and len(self._kept) > 1:
            self._records -= 1 + len(self._kept.popitem(last=False)[1])
        return found
