"""What this device holds, as one transaction sees it; read once, until one fails or another program writes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, final

from tacit import errors
from tacit.client import notices
from tacit.client.accountbook import AccountBook, Served
from tacit.client.vaultbook import Contents, Word, contents_of, pin_of, readable
from tacit.conversation.judging import KnownEpoch
from tacit.conversation.judging_records import Place, Standpoint
from tacit.conversation.keys import ConversationKey
from tacit.conversation.sealing import Epoch
from tacit.crypto.digest import sha256
from tacit.crypto.secret import Secret
from tacit.identity import keys
from tacit.identity.account import DeviceSecrets
from tacit.identity.vault import ContactPin, ConversationHead, PrivateKey, counted, fitted, values
from tacit.signed.account import AccountRecord, is_reset
from tacit.signed.profiles import KeyAlgorithm
from tacit.signed.record import ConversationRecord, Roster
from tacit.signed.rights import ChainState, advance
from tacit.signed.vault import Entries, EntryKind, Outer, SignedEntry
from tacit.signed.verify import Verified
from tacit.wire import limits
from tacit.wire.codec import decode, encode

if TYPE_CHECKING:
    from sqlite3 import Connection

COUNTS: Final = frozenset({Place.FOUNDATION, Place.ACCEPTED, Place.READING})
"""The places of records that the chain is built of."""


OWN_RESET: Final = "own_reset"
"""The device that reset this account, while nobody confirmed on this one that it was the account's owner."""
VAULT_OWED: Final = "vault_owed"
UNREADABLE_BY: Final = "vault_unreadable"
"""There while the server's outer part lacks some of what is held; the device that put something unusable in it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Me:
    """This device: its user, its server, its id and the key that signs for it."""

    server_name: str
    user_id: str
    device_id: str
    request_key: keys.SigningKey
    secrets: DeviceSecrets


@dataclasses.dataclass(slots=True)
class Held:
    """One conversation. `states` and `known` are by epoch from 1 without a hole; `pending` says why each waits.

    Up to `highest` everything was received once; `cursor` goes back to 0 when the server was restored.
    """

    id: str
    cursor: int
    highest: int
    name: str | None
    name_seq: int
    stopped: str
    leaving: bytes | None
    leave_sent: bool
    states: dict[int, ChainState]
    known: dict[int, KnownEpoch]
    places: dict[int, Place]
    received_at: dict[int, int]
    pending: dict[int, str]
    confirmed: set[bytes]

    @property
    def epoch(self) -> int:
        """The number of the newest epoch that counts; 0 where there is none."""
        return len(self.states)

    def state(self) -> ChainState | None:
        """The chain at its newest record."""
        return self.states.get(self.epoch)

    def head(self) -> KnownEpoch | None:
        """The newest epoch."""
        return self.known.get(self.epoch)

    def roster(self) -> Roster:
        """The members now."""
        head = self.head()
        return head.roster if head is not None else {}


@final
class Books:
    """The rows of one store, for the length of a transaction; use it in the store's thread only."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.accounts = AccountBook(connection)
        self._conversations: dict[str, Held] = {}
        self._me: Me | None = None
        self._vault: Contents | None = None
        self._private: dict[tuple[bytes, bytes], keys.PrivateKey | None] = {}

    # --- this device -----------------------------------------------------------------

    def meta(self, key: str) -> bytes | None:
        """A value of the device itself, or None."""
        row = self.connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return bytes(row[0]) if row else None

    def set_meta(self, key: str, value: bytes | None) -> None:
        """Keep such a value; None forgets it."""
        if value is None:
            self.connection.execute("DELETE FROM meta WHERE key = ?", (key,))
        else:
            self.connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def number(self, key: str) -> int:
        """A counter or cursor among those values; 0 where there is none."""
        value = self.meta(key)
        return int(value) if value is not None else 0

    def text(self, key: str) -> str:
        """A text among those values; empty where there is none."""
        return (self.meta(key) or b"").decode()

    def find_me(self) -> Me | None:
        """This device, where an account was made in this store."""
        if self._me is None and (raw := self.meta("device")) is not None:
            secrets = decode(DeviceSecrets, raw)
            server_name = (self.meta("server_name") or b"").decode()
            self._me = Me(server_name, secrets.user_id, secrets.device_id(), secrets.request_key(), secrets)
        return self._me

    @property
    def me(self) -> Me:
        """This device; raises `NotSignedIn`."""
        found = self.find_me()
        if found is None:
            raise errors.NotSignedIn("there is no account in this store")
        return found

    def set_device(self, secrets: DeviceSecrets) -> None:
        """Keep this device's own secrets, from now on with another outer key perhaps."""
        self.set_meta("device", encode(secrets))
        self._me = None

    def own_account(self) -> Verified[AccountRecord]:
        """The newest version of one's own account; raises `NotSignedIn`."""
        found = self.accounts.newest(self.me.user_id)
        if found is None:
            raise errors.NotSignedIn("the account's record is not in this store")
        return found

    # --- the vault -------------------------------------------------------------------

    def entries(self) -> tuple[SignedEntry, ...]:
        """The entries of the vault's outer part, as this device holds them."""
        return self._contents().entries

    def hold_vault(
        self, outer: Outer, entries: tuple[SignedEntry, ...], served: tuple[SignedEntry, ...] | None
    ) -> None:
        """Hold these entries from now on, where the server has this outer part, which is kept as it is.

        `served` is what stands in it: anything else is written anew at the next chance. None: nothing that is usable.
        What counts for nothing, or does not fit, is not held.
        """
        entries = fitted(counted(entries, (each.value for each in self.accounts.versions(self.me.user_id))))
        self.set_meta("entries", encode(Entries(entries)))
        header = outer.header
        self.set_meta("outer_header", encode(header))
        self.set_meta("outer", encode(outer))
        row = (header.version, encode(header), outer.signature)
        self.connection.execute("INSERT OR REPLACE INTO outer_headers VALUES (?, ?, ?)", row)
        self.set_meta(VAULT_OWED, b"" if entries != served else None)
        self.set_meta(UNREADABLE_BY, header.device_id.encode() if served is None else None)
        self._vault = None

    def certified(self) -> frozenset[str]:
        """The devices of one's own newest account record: only their word counts in the vault."""
        return frozenset(device.device_id for device in self.own_account().value.devices)

    def vault_head(self, conversation_id: str) -> Word[ConversationHead] | None:
        """The newest record of a conversation that one of one's devices says it knew, or None."""
        return self._contents().heads.get(conversation_id)

    def vault_pin(self, conversation_id: str) -> Word[ConversationHead] | None:
        """The first record of a conversation that one of one's devices says it knew, or None."""
        return self._contents().pins.get(conversation_id)

    def vault_contact(self, user_id: str) -> Word[ContactPin] | None:
        """The pin of a contact, on the word of a device that is still one's own, or None."""
        return self._contents().contacts.get(user_id)

    def _contents(self) -> Contents:
        if self._vault is None:
            raw = self.meta("entries")
            entries = decode(Entries, raw, limits.VAULT_BYTES).entries if raw is not None else ()
            self._vault = contents_of(entries, self.certified() if entries else frozenset())
        return self._vault

    # --- contacts and keys -----------------------------------------------------------

    def take_account(self, server_name: str, user_id: str, served: Served, asked: int, now: int) -> int:
        """Verify and keep what follows of an account; how many versions were new. Raises what `AccountBook.take` does.

        Who is met for the first time is known by the identity key in the vault, else by the newest one. A reset later
        on is told, and followed only once the person confirmed it.
        """
        me = self.find_me()
        own = me is None or user_id == me.user_id
        word = None if own else self.vault_contact(user_id)
        first = not self.accounts.versions(user_id)
        added = self.accounts.take(server_name, user_id, served, asked, word)
        if not added:
            return 0
        pin = word.value if word is not None else None
        versions = [each.value for each in self.accounts.versions(user_id)]
        newest = pin_of(versions[-1])
        resets = [each.reset_by.device_id for each in versions[-added:] if is_reset(each)]
        if (resets and not first) or (pin is not None and pin.aik_fingerprint != newest.aik_fingerprint):
            self.keep_notice(now, "identity", {"userId": user_id, "version": newest.version})
        if own:
            self._vault = None  # the word of other devices counts now
            if me is not None and resets:
                self.set_meta(OWN_RESET, resets[-1].encode() if resets[-1] != me.device_id else None)
        elif first:
            self.keep_contact(pin or newest)
        return added

    def keep_contact(self, pin: ContactPin) -> None:
        """Know somebody by this identity key from now on."""
        row = (pin.user_id, pin.version, pin.account_hash, pin.aik_fingerprint)
        self.connection.execute("INSERT OR REPLACE INTO contacts VALUES (?, ?, ?, ?)", row)

    def contact(self, user_id: str) -> ContactPin | None:
        """What somebody is known by, or None."""
        query = "SELECT version, account_hash, aik_fingerprint FROM contacts WHERE user_id = ?"
        row = self.connection.execute(query, (user_id,)).fetchone()
        return ContactPin(user_id, row[0], bytes(row[1]), bytes(row[2])) if row is not None else None

    def keep_notice(self, at: int, kind: str, body: Mapping[str, object]) -> None:
        """Keep something that the person is to be told of the account."""
        notices.keep(self.connection, at, kind, body)

    def private_key(self, hash_named: bytes, algorithm: KeyAlgorithm) -> keys.PrivateKey | None:
        """One's account's private key of this algorithm, of the account record with this hash; None where none fits.

        An entry whose private half does not belong to its public half is none.
        """
        account = self.accounts.named(self.me.user_id, hash_named)
        named = account.value.encryption_keys if account is not None else ()
        wanted = {key.public_key for key in named if key.algorithm is algorithm}
        for held in readable(PrivateKey, values(self.entries(), EntryKind.ENCRYPTION_KEY)):
            if held.algorithm is algorithm and held.public_key in wanted:
                found = self._read(held)
                if found is not None:
                    return found
        return None

    def _read(self, held: PrivateKey) -> keys.PrivateKey | None:
        """An entry's key where its halves belong together; read once, which for RSA costs 40 to 400 ms."""
        place = (held.public_key, sha256(held.private))
        if place not in self._private:
            self._private[place] = keys.private_key_of(held.algorithm, held.public_key, Secret(held.private))
        return self._private[place]

    # --- conversations ---------------------------------------------------------------

    def conversation_ids(self) -> list[str]:
        """The ids of all conversations."""
        return [row[0] for row in self.connection.execute("SELECT id FROM conversations ORDER BY id")]

    def find(self, conversation_id: str) -> Held | None:
        """A conversation, or None."""
        if conversation_id not in self._conversations:
            row = self.connection.execute(
                "SELECT cursor, highest, name, name_seq, stopped, leaving, leave_sent FROM conversations WHERE id = ?",
                (conversation_id,),
            ).fetchone()
            if row is None:
                return None
            self._conversations[conversation_id] = self._load(conversation_id, *row)
        return self._conversations[conversation_id]

    def held(self, conversation_id: str) -> Held:
        """A conversation; raises `ConversationNotFound`."""
        found = self.find(conversation_id)
        if found is None:
            raise errors.ConversationNotFound()
        return found

    def add(self, conversation_id: str, name: str | None = None) -> Held:
        """A conversation, made where there is none."""
        row = (conversation_id, name)
        self.connection.execute("INSERT OR IGNORE INTO conversations (id, name) VALUES (?, ?)", row)
        return self.held(conversation_id)

    def forget(self, conversation_id: str) -> None:
        """A conversation that never came to be."""
        self.connection.execute("DELETE FROM conversations WHERE id = ?", (conversation_id,))
        self._conversations.pop(conversation_id, None)

    def save(self, held: Held) -> None:
        """Write what changed of a conversation's own row."""
        row = (
            held.cursor,
            held.highest,
            held.name,
            held.name_seq,
            held.stopped,
            held.leaving,
            held.leave_sent,
            held.id,
        )
        self.connection.execute(
            """UPDATE conversations SET cursor = ?, highest = ?, name = ?, name_seq = ?, stopped = ?, leaving = ?,
            leave_sent = ? WHERE id = ?""",
            row,
        )

    def standpoint(self, held: Held) -> Standpoint:
        """What this device judges the conversation's records on."""
        accounts, head = self.accounts, self.vault_head(held.id)
        pinned = head.value.record_hash if head is not None else None
        return Standpoint(
            held.id, self.me.user_id, held.states, accounts.named, accounts.newest, held.confirmed, pinned
        )

    def extend(self, held: Held, state: ChainState, seq: int, place: Place, received_at: int) -> None:
        """Take a record that counts as the next epoch, in memory; its row is the caller's."""
        number = state.head.epoch
        held.states[number] = state
        held.places[number] = place
        held.received_at[number] = received_at
        held.known[number] = KnownEpoch(state.head, state.head_hash, seq, state.roster(), None)
        held.pending.pop(number, None)
        row = self.connection.execute(
            "SELECT key FROM epoch_keys WHERE conversation_id = ? AND record_hash = ?", (held.id, state.head_hash)
        ).fetchone()
        if row is not None:
            self.open_epoch(held, number, ConversationKey(Secret(bytes(row[0]))))

    def open_epoch(self, held: Held, number: int, key: ConversationKey) -> None:
        """Use an epoch's key, in memory; raises `KeyIdMismatch` for another one."""
        known = held.known[number]
        held.known[number] = dataclasses.replace(known, opened=Epoch(known.record, key))

    def keep_key(self, held: Held, number: int, key: ConversationKey) -> None:
        """Keep an epoch's key and use it; raises `KeyIdMismatch` for another one."""
        self.open_epoch(held, number, key)
        row = (held.id, held.known[number].record_hash, key.secret.reveal())
        self.connection.execute("INSERT OR IGNORE INTO epoch_keys VALUES (?, ?, ?)", row)

    def _load(
        self,
        conversation_id: str,
        cursor: int,
        highest: int,
        name: str | None,
        name_seq: int,
        stopped: str,
        leaving: bytes | None,
        leave_sent: int,
    ) -> Held:
        sent = bool(leave_sent)
        held = Held(conversation_id, cursor, highest, name, name_seq, stopped, leaving, sent, {}, {}, {}, {}, {}, set())
        state: ChainState | None = None
        query = """SELECT epoch, seq, record, place, detail, received_at, hash, confirmed FROM records
            WHERE conversation_id = ? ORDER BY epoch"""
        for epoch, seq, record, place, detail, received_at, own_hash, confirmed in self.connection.execute(
            query, (conversation_id,)
        ).fetchall():
            if confirmed:
                held.confirmed.add(bytes(own_hash))
            if Place(place) in COUNTS:
                state = advance(state, decode(ConversationRecord, record))
                self.extend(held, state, seq, Place(place), received_at)
            elif Place(place) is Place.PENDING:
                held.pending[epoch] = detail
        return held

    # --- evidence --------------------------------------------------------------------

    def keep_evidence(self, at: int, about: str, subject: str, error: errors.TacitError, body: bytes) -> None:
        """Keep what contradicts what was signed before; `about` is `account`, `conversation`, `grant` or `vault`."""
        row = (at, about, subject, error.code, error.detail, body)
        self.connection.execute(
            "INSERT OR IGNORE INTO evidence (at, about, subject, code, detail, body) VALUES (?, ?, ?, ?, ?, ?)", row
        )

    def alarmed_accounts(self) -> dict[str, str]:
        """The user ids whose account records contradict what is pinned, each with what was seen."""
        query = "SELECT subject, detail FROM evidence WHERE about = 'account' ORDER BY id"
        return {row[0]: row[1] for row in self.connection.execute(query)}
