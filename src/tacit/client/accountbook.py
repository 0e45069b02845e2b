"""The account records that this device verified: each account's whole chain, from its first version on.

The first version seen of an account is its pin. It stays: a chain that contradicts it is never taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, final

from tacit import errors
from tacit.client.vaultbook import Word, pin_of
from tacit.identity.vault import ContactPin
from tacit.signed.account import AccountRecord, AccountSignatures, account_hash, certificate, verify_chain
from tacit.signed.verify import Verified
from tacit.wire.codec import decode, encode

if TYPE_CHECKING:
    from sqlite3 import Connection

Served = Sequence[tuple[AccountRecord, AccountSignatures]]
"""Versions of one account as they were served, oldest first; nothing of them is checked."""


@final
class AccountBook:
    """Verified account records by user id. Rows are verified again when they are read."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._chains: dict[str, list[Verified[AccountRecord]]] = {}
        self._by_hash: dict[tuple[str, bytes], Verified[AccountRecord]] = {}

    def versions(self, user_id: str) -> Sequence[Verified[AccountRecord]]:
        """All known versions, oldest first; empty for a stranger."""
        if user_id not in self._chains:
            query = "SELECT record, signatures FROM accounts WHERE user_id = ? ORDER BY version"
            rows = self._connection.execute(query, (user_id,)).fetchall()
            chain = [(decode(AccountRecord, record), decode(AccountSignatures, made)) for record, made in rows]
            self._keep(user_id, verify_chain(chain))
        return self._chains[user_id]

    def named(self, user_id: str, hash_named: bytes) -> Verified[AccountRecord] | None:
        """The version with this hash, or None."""
        self.versions(user_id)
        return self._by_hash.get((user_id, hash_named))

    def newest(self, user_id: str) -> Verified[AccountRecord] | None:
        """The newest known version, or None for a stranger."""
        chain = self.versions(user_id)
        return chain[-1] if chain else None

    def knows_device(self, user_id: str, device_id: str) -> bool:
        """Whether any known version certifies the device."""
        return any(certificate(each.value, device_id) is not None for each in self.versions(user_id))

    def take(
        self, server_name: str, user_id: str, served: Served, asked: int = 0, pin: Word[ContactPin] | None = None
    ) -> int:
        """Verify and keep what follows the newest known version; how many versions were new.

        `asked` is the newest version that was known when this was asked for, 0 where none was: `served` begins with it.
        More may be known by now, from another answer. `pin` is what the account's vault knows of somebody who is met
        for the first time here: the chain has to hold it. Raises `ServerMisbehaved` where a known version is another or
        the chain was cut, `InvalidAccountRecord` for a record of another account or server, and what `verify_chain`
        raises.
        """
        check_whose(server_name, user_id, served)
        check_begins(user_id, asked, served)
        served = what_follows(self.versions(user_id), served)
        if not served:
            return 0
        newest = self.newest(user_id)
        added = verify_chain(served, newest)
        if newest is None and pin is not None:
            check_pinned(pin, added)
        for each in added:
            row = (user_id, each.value.version, encode(each.value), self._signatures(served, each.value.version))
            self._connection.execute("INSERT INTO accounts VALUES (?, ?, ?, ?)", row)
        self._keep(user_id, [*self.versions(user_id), *added])
        return len(added)

    @staticmethod
    def _signatures(served: Served, version: int) -> bytes:
        return next(encode(made) for record, made in served if record.version == version)

    def _keep(self, user_id: str, chain: list[Verified[AccountRecord]]) -> None:
        self._chains[user_id] = chain
        for each in chain:
            self._by_hash[user_id, account_hash(each.value)] = each


def check_pinned(word: Word[ContactPin], chain: Sequence[Verified[AccountRecord]]) -> None:
    """Raises `ServerMisbehaved` unless a chain holds what one's own vault knows of the account, version and identity.

    It is no evidence: with the device whose word it is, the word goes.
    """
    pin, device = word.value, word.device_id[:16]
    known = next((each for each in chain if each.value.version == pin.version), None)
    if known is None or pin_of(known.value) != pin:
        raise errors.ServerMisbehaved(
            f"{pin.user_id}'s account is another than your device {device} met; if you have it no more, revoke it"
        )


def check_whose(server_name: str, user_id: str, served: Served) -> None:
    """Raises `InvalidAccountRecord` unless every record is this user's at the configured server."""
    for record, _ in served:
        if record.user_id != user_id or record.server_name != server_name:
            raise errors.InvalidAccountRecord("it is another account's, or another server's")


def check_begins(user_id: str, asked: int, served: Served) -> None:
    """Raises `ServerMisbehaved` unless what was served begins with the version that was known when it was asked for."""
    if asked and (not served or served[0][0].version != asked):
        raise errors.ServerMisbehaved(f"{user_id}'s account record of version {asked} is not served any more")


def what_follows(held: Sequence[Verified[AccountRecord]], served: Served) -> Served:
    """What was served without the versions that are known at its beginning.

    Raises `ServerMisbehaved` where one of those is another.
    """
    known = {each.value.version: account_hash(each.value) for each in held}
    for place, (record, _) in enumerate(served):
        if record.version not in known:
            return served[place:]
        if account_hash(record) != known[record.version]:
            named = f"{record.user_id}'s account record of version {record.version}"
            raise errors.ServerMisbehaved(f"{named} is another now")
    return ()
