"""A version of one's own account that this device is making: kept before it is sent, until its outcome is known.

Runs inside a transaction of the store.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Annotated, Final, NamedTuple

from tacit import errors
from tacit.api.accounts import GenerateKeys
from tacit.client.books import Books
from tacit.client.enrolment import Word, publication
from tacit.client.ownwords import drop_written
from tacit.crypto.secret import Secret
from tacit.identity.account import DeviceSecrets
from tacit.identity.changes import Version
from tacit.identity.vault import combine, open_outer, writers_of
from tacit.signed.account import AccountRecord, AccountSignatures, account_hash
from tacit.signed.vault import Vault
from tacit.wire import limits
from tacit.wire.codec import Many, decode, encode, struct
from tacit.wire.encodings import U64, Id

CERTIFY: Final = "certify"
UNLOCKERS: Final = "unlockers"
REVOKE: Final = "revoke"
RESET: Final = "reset"
_META: Final = "account_change"
OFFERED_FOR: Final = "offered_for"
"""The account version with which this store's next password counts; empty until that version is made."""
_WORDS: Final = "unseen_words"


@struct
class AccountChange:
    """What is sent, byte for byte, and what this device holds once it counts.

    `words` are a new recovery key's, shown once it counts; `waits_until` is 0 unless the server lets a reset wait.
    """

    kind: Id
    record: AccountRecord
    signatures: AccountSignatures
    vault: Vault
    device: DeviceSecrets
    words: Annotated[tuple[Word, ...], Many(24)]
    waits_until: U64

    def __repr__(self) -> str:
        return f"AccountChange({self.kind!r}, version {self.record.version})"


def keep(
    books: Books, kind: str, version: Version, device: DeviceSecrets, words: tuple[str, ...] = ()
) -> AccountChange:
    """Keep a change; raises `InvalidArgument` while another one is under way, but for a reset that waits."""
    earlier = find(books)
    if earlier is not None and not earlier.waits_until:
        raise errors.InvalidArgument("an earlier change of the account is under way: sync first")
    device = dataclasses.replace(device, outer_key=version.outer_key.reveal())
    said = tuple(Word(word) for word in words)
    change = AccountChange(kind, version.record, version.signatures, version.vault, device, said, 0)
    books.set_meta(_META, encode(change))
    if books.meta(OFFERED_FOR) == b"":
        books.set_meta(OFFERED_FOR, account_hash(version.record))
    return change


def find(books: Books) -> AccountChange | None:
    """The change that is under way, or None."""
    raw = books.meta(_META)
    return decode(AccountChange, raw, 2 * limits.VAULT_BYTES) if raw is not None else None


def wait(books: Books, until: int) -> None:
    """The server lets the change wait: it is sent again from that time on, in Unix milliseconds."""
    change = find(books)
    if change is not None:
        books.set_meta(_META, encode(dataclasses.replace(change, waits_until=until)))


def drop(books: Books) -> None:
    """Forget the change."""
    books.set_meta(_META, None)


def request_of(change: AccountChange) -> GenerateKeys:
    """What is sent."""
    return publication(change.record, change.signatures, change.vault)


def finish(books: Books, server_name: str, change: AccountChange) -> None:
    """The change counts: hold what it made, and remember the conversations that need an epoch after it."""
    record = change.record
    user_id = record.user_id
    newest = books.accounts.newest(user_id)
    if newest is None or newest.value.version < record.version:
        books.accounts.take(server_name, user_id, [(record, change.signatures)])
    books.set_device(change.device)
    books.set_meta("server_name", server_name.encode())
    writers = writers_of([each.value for each in books.accounts.versions(user_id)])
    entries = open_outer(record, change.vault.outer, Secret(change.device.outer_key), writers)
    # A reset's vault has all that is carried over, under clocks that begin anew.
    all_held = entries if change.kind == RESET else combine(books.entries(), entries, books.certified())
    books.hold_vault(change.vault.outer, all_held, entries)
    books.set_meta("boxes", encode(change.vault.boxes))
    drop_written(books, entries)
    _remember(books, change)


def counts_already(books: Books, change: AccountChange) -> bool:
    """Whether a change is in the account's chain although its answer was lost, and another version follows it.

    Then what it leaves to be done is remembered; the vault is the later version's.
    """
    if change.kind == CERTIFY or books.accounts.named(change.record.user_id, account_hash(change.record)) is None:
        return False
    _remember(books, change)
    return True


def _remember(books: Books, change: AccountChange) -> None:
    if change.kind == REVOKE:
        for conversation_id in books.conversation_ids():
            if change.record.user_id in books.held(conversation_id).roster():
                books.connection.execute(
                    "INSERT OR REPLACE INTO rotations (conversation_id) VALUES (?)", (conversation_id,)
                )
    if change.words:
        books.set_meta(_WORDS, " ".join(each.word for each in change.words).encode())
    drop(books)


def unseen_words(books: Books) -> tuple[str, ...]:
    """The words of a recovery key that counts and that nobody was shown, because the process ended before."""
    raw = books.meta(_WORDS)
    return tuple(raw.decode().split()) if raw is not None else ()


def words_seen(books: Books) -> None:
    """The person has the words: keep them no longer."""
    books.set_meta(_WORDS, None)
    change = find(books)
    if change is not None and change.words:
        books.set_meta(_META, encode(dataclasses.replace(change, words=())))


# --- what follows a revocation ---------------------------------------------------------------


class Rotations(NamedTuple):
    """How many of the conversations have had their epoch after a revocation, and which still wait for it."""

    done: int
    waiting: tuple[str, ...]


def rotations(books: Books) -> Rotations:
    """The conversations that a revocation concerns; none once all of them have had their epoch."""
    rows = books.connection.execute("SELECT conversation_id, done FROM rotations ORDER BY conversation_id").fetchall()
    waiting = tuple(row[0] for row in rows if not row[1])
    if rows and not waiting:
        books.connection.execute("DELETE FROM rotations")
        rows = []
    return Rotations(len(rows) - len(waiting), waiting)


def rotated(books: Books, conversation_id: str) -> None:
    """A conversation has had its epoch, or none can be opened from here."""
    books.connection.execute("UPDATE rotations SET done = 1 WHERE conversation_id = ?", (conversation_id,))


# --- what the person is told -----------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True)
class Notice:
    """Something about the account that the person should know; `at` in Unix milliseconds, `facts` by kind.

    `unlocker` {kind, deviceId, succeeded}: somebody used the password or the recovery key, or tried to. `reset`
    {version, deviceId, dueAt}: a device asks for a reset; it can be cancelled until then. `reset_cancelled` {version}.
    `vault_unreadable` {deviceId}: a device put something unusable in the vault; who has it may not be its owner.
    `identity` {userId, version}: an account was reset and has another identity key now. `change_refused` {kind}: a
    change of the account that this device had begun was overtaken by another one. `branches` {conversationId, epoch,
    deviceId}: a device knew a conversation's record of that epoch otherwise than this one; the server may have shown
    them two histories, or somebody else has the device.
    """

    at: int
    kind: str
    facts: dict[str, object]


def notices(books: Books) -> list[Notice]:
    """All notices, oldest first."""
    query = "SELECT at, kind, body FROM notices ORDER BY id"
    return [Notice(at, kind, json.loads(body)) for at, kind, body in books.connection.execute(query)]
