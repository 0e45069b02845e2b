"""What attackers make: records and grants signed by whatever key they have, and hooks of a server that takes them."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec

from adversary.bending import wraps_original
from adversary.stage import Stage
from tacit.api.messages import EncryptedPayload, SendMessages
from tacit.client import Client
from tacit.client.books import Books, Me
from tacit.client.timing import wall_clock
from tacit.conversation.content import Body, TextBody
from tacit.conversation.keys import ConversationKey, finish_record
from tacit.conversation.sealing import Epoch, Sender, make_content, seal
from tacit.identity.keys import wrap
from tacit.server import epochs
from tacit.server.epochs import Posted
from tacit.server.messages import Delivered
from tacit.server.store import conversations
from tacit.server.store import messages as stored
from tacit.server.store.rows import Epoch as EpochRow
from tacit.server.store.rows import Grant as GrantRow
from tacit.server.store.rows import Inserted, Lost, Message, NewGrant, Page, Place
from tacit.signed import labels
from tacit.signed.account import AccountRecord, account_hash, aik_fingerprint
from tacit.signed.grant import WRAPS, Grant, GrantContext, Granter, SignedGrant, sign_grant
from tacit.signed.message import to_fields
from tacit.signed.profiles import KeyAlgorithm, Profile
from tacit.signed.record import (
    DEFAULT_POLICY,
    Change,
    ConversationRecord,
    Opener,
    Protocol,
    Role,
    conversation_id_of,
    fold,
    in_order,
    record_hash,
    roster_hash,
    sign_record,
)
from tacit.signed.rights import ChainState, advance
from tacit.signed.verify import _CHECKED, ZERO_HASH, Signer, Verified, labelled
from tacit.wire.codec import encode
from tacit.wire.text import to_base64


def new_key() -> ConversationKey:
    """A key that the attacker knows, because the attacker made it."""
    return ConversationKey.generate(os.urandom)


async def me(client: Client) -> Me:
    """A client's own device, with its keys."""
    return await client.device._run(lambda books: books.me)


async def account_of(stage: Stage, user_id: str) -> AccountRecord:
    """Somebody's newest account record, as the server has it."""
    found = (await stage.backend.known.load([user_id])).newest(user_id)
    assert found is not None
    return found.value


def key_to_wrap_to(account: AccountRecord, algorithm: KeyAlgorithm) -> bytes:
    """The key of an account that grants are wrapped to."""
    return next(key.public_key for key in account.encryption_keys if key.algorithm is algorithm)


def x_wing_key(account: AccountRecord) -> bytes:
    """The key that grants are wrapped to in the profile standard."""
    return key_to_wrap_to(account, KeyAlgorithm.X_WING)


def place(account: AccountRecord, role: Role) -> Change:
    """An account's place in a roster."""
    fingerprint = aik_fingerprint(account.profile, account.aik)
    return Change(account.user_id, fingerprint, role, account.version, account_hash(account))


@dataclasses.dataclass(frozen=True, slots=True)
class Forged:
    """A record of the attacker's, its signature, its key (empty: in a client's store) and its grants."""

    before: ChainState | None
    record: ConversationRecord
    signature: bytes
    key: bytes
    grants: tuple[SignedGrant, ...] = ()

    @property
    def row(self) -> EpochRow:
        """As the store has it; `seq` and time are to be set."""
        record = self.record
        own_hash = record_hash(record).hex()
        protocol = record.protocol.name.lower()
        key_id = record.key_id.hex()
        return EpochRow(0, 0, record.epoch, key_id, own_hash, protocol, encoded(record), to_base64(self.signature), ())

    def served_to(self, user_id: str) -> EpochRow:
        """As it is served to somebody, with the grants to that account."""
        grants = tuple(
            GrantRow(user_id, encoded(each), granted_by(each))
            for each in self.grants
            if each.grant.recipient == user_id
        )
        return self.row._replace(created_at=wall_clock(), grants=grants)


def encoded(struct: object) -> str:
    """A struct as it travels."""
    return to_base64(encode(struct))


def granted_by(signed: SignedGrant) -> str:
    """Who granted, as the store says it."""
    return f"{signed.grant.granter.user_id}/{signed.grant.granter.device_id}"


def forge(
    before: ChainState,
    changes: Iterable[Change],
    opener: Opener,
    signer: Signer,
    key: ConversationKey | None = None,
    **fields: object,
) -> Forged:
    """The next record of a chain in this opener's name, signed by whatever the attacker has; `fields` are replaced."""
    changed = tuple(in_order(changes))
    bare = dataclasses.replace(
        before.head,
        epoch=before.head.epoch + 1,
        previous_record_hash=before.head_hash,
        key_id=b"",
        roster_hash=roster_hash(fold(before.roster(), changed)),
        changes=changed,
        requests=(),
        genesis_random=b"",
        predecessor=b"",
        created_at=wall_clock(),
        opener=opener,
    )
    return _finished(before, dataclasses.replace(bare, **fields), signer, key)  # type: ignore[arg-type]


def forge_genesis(conversation_id: str, changes: Iterable[Change], opener: Opener, signer: Signer) -> Forged:
    """The first record of a chain under an id that belongs to another founder's."""
    changed = tuple(in_order(changes))
    bare = ConversationRecord(
        conversation_id,
        1,
        ZERO_HASH,
        Protocol.ENVELOPE,
        Profile.STANDARD,
        0,
        b"",
        0,
        b"",
        roster_hash(fold({}, changed)),
        changed,
        (),
        DEFAULT_POLICY,
        os.urandom(32),
        b"",
        "",
        wall_clock(),
        opener,
    )
    assert conversation_id_of(opener.user_id, bare.genesis_random) != conversation_id
    return _finished(None, bare, signer)


def _finished(
    before: ChainState | None, bare: ConversationRecord, signer: Signer, key: ConversationKey | None = None
) -> Forged:
    key = key or new_key()
    record = finish_record(bare, key)
    return Forged(before, record, sign_record(record, signer), key.secret.reveal())


def granted(
    forged: Forged,
    granter: Granter,
    signer: Signer,
    *recipients: AccountRecord,
    algorithm: KeyAlgorithm = KeyAlgorithm.X_WING,
) -> Forged:
    """The record with its key wrapped to these accounts."""
    own_hash, key = record_hash(forged.record), forged.key
    grants = tuple(wrapped(own_hash, key, granter, signer, account, algorithm) for account in recipients)
    return dataclasses.replace(forged, grants=grants)


def wrapped(
    hash_of_record: bytes,
    key: bytes,
    granter: Granter,
    signer: Signer,
    account: AccountRecord,
    algorithm: KeyAlgorithm = KeyAlgorithm.X_WING,
) -> SignedGrant:
    """A key wrapped to an account, in this granter's name, signed by whatever the attacker has."""
    context = GrantContext(hash_of_record, account.user_id, account_hash(account))
    info = labelled(labels.GRANT_WRAP, context)
    ciphertext = wrap(algorithm, key_to_wrap_to(account, algorithm), info, key)
    grant = Grant(hash_of_record, granter, account.user_id, context.account_hash, WRAPS[algorithm], ciphertext)
    return sign_grant(grant, signer)


async def state_of(stage: Stage, conversation_id: str) -> ChainState:
    """A conversation's chain, as the server has it."""
    return await stage.backend.store.read(lambda db: epochs.chain_state(db, conversation_id))


async def lay(stage: Stage, forged: Forged) -> None:
    """The server stores a record without looking at it: its own function, without the judging before."""
    new = tuple(NewGrant(each.grant.recipient, granted_by(each), encoded(each)) for each in forged.grants)
    own_hash = record_hash(forged.record)
    grants = tuple(each.grant for each in forged.grants)
    posted = Posted(forged.record, own_hash, forged.signature, None, grants, forged.row, new)
    state = advance(forged.before, forged.record)
    await stage.backend.store.write(lambda db: epochs.put(db, posted, state, wall_clock()))


Rows = tuple[Message | EpochRow, ...]
Served = Callable[[str, Rows], Rows]
"""What a bent server serves in the place of all that it has of a conversation, by the user who asks."""


def unchanged(_: str, rows: Rows) -> Rows:
    """What there is."""
    return rows


def serving(change: Served = unchanged, *, all_rows: bool = False) -> dict[str, Any]:
    """The server's hook for pages; with `all_rows` nobody's removal ends what is served.

    What it serves is numbered anew, without a gap.
    """

    @wraps_original
    def hook(original: Any) -> Any:
        def stored_page(db: Any, session: Any, conversation_id: str, after: int, limit: int) -> Page:
            if all_rows:
                whole = stored.page(db, conversation_id, 0, limit, user_id=session.user_id)
            else:
                whole = original(db, session, conversation_id, 0, limit)
            assert not whole.more
            rows = tuple(item for item in whole.items if not isinstance(item, Lost))
            assert rows == whole.items
            served = change(session.user_id, rows)
            numbered = [item._replace(seq=number) for number, item in enumerate(served, 1)]
            rest = tuple(numbered[after:])
            return Page(rest, after + len(rest), False)

        return stored_page

    return {"tacit.server.messages:stored_page": hook}


def without_records(rows: Rows) -> tuple[Message, ...]:
    """The messages alone."""
    return tuple(row for row in rows if isinstance(row, Message))


def moved(rows: Rows, row: Message, place: int) -> Rows:
    """The same rows, one of them at another place (from 0)."""
    others = [each for each in rows if each is not row]
    return (*others[:place], row, *others[place:])


def newest_message(rows: Rows) -> Message:
    """The message that came last."""
    return without_records(rows)[-1]


@wraps_original
def trusting_chain(_: Any) -> Any:
    """The server's hook for account records: it takes them as they lie in its database."""

    def verify_chain(chain: Any, pin: Any = None) -> list[Verified[AccountRecord]]:
        return [Verified(record, record.aik, signatures.aik, _CHECKED) for record, signatures in chain]

    return verify_chain


TRUSTING: Final = {"tacit.server.known:verify_chain": trusting_chain}


async def own_opener(stage: Stage, client: Client) -> Opener:
    """Who opens an epoch, named truly or not."""
    own = await me(client)
    return Opener(own.user_id, own.device_id, account_hash(await account_of(stage, own.user_id)))


def granter_of(opener: Opener) -> Granter:
    """The same, as a granter."""
    return Granter(opener.user_id, opener.device_id, opener.account_hash)


def keeping(stage: Stage) -> dict[str, Any]:
    """The server's hook for messages: it keeps what it gets, and says that it took it."""

    def insert(db: Any, session: Any, conversation_id: str, sealed: Any, posted: Any, now: int) -> Any:
        stage.caught.append(sealed.payload)
        return Delivered(sealed, Inserted(10_000 + len(stage.caught), now, False), ())

    return {"tacit.server.messages:insert": insert}


def colluding() -> dict[str, Any]:
    """The server's hooks for messages: it stores what anybody sends, in whatever name and epoch."""

    def insert(db: Any, session: Any, conversation_id: str, sealed: Any, posted: Any, now: int) -> Any:
        aad = sealed.aad
        head = conversations.head(db, conversation_id)
        assert head is not None
        name = os.urandom(16).hex()  # what it knows messages by: no id was used before
        free = Place(head.head_seq, head.epoch, head.key_id, head.record_hash, 0, None, 0)
        given = (aad.user_id, aad.device_id, name, sealed.text, head.key_id, sealed.payload.iv, now)
        taken = stored.insert(db, conversation_id, *given, free)
        return Delivered(sealed, taken, ())

    return {"tacit.server.messages:check_sender": lambda *_: None, "tacit.server.messages:insert": insert}


async def send_as(
    client: Client,
    conversation_id: str,
    text: str,
    *,
    user_id: str | None = None,
    device_id: str | None = None,
    client_message_id: str | None = None,
    body: Body | None = None,
) -> int:
    """A message of a malicious member, sealed by the client's own code under its own key, with fields as it likes."""

    def sealed(books: Books) -> EncryptedPayload:
        own = books.me
        head = books.held(conversation_id).head()
        assert head is not None
        assert isinstance(head.opened, Epoch)
        sender = Sender(user_id or own.user_id, device_id or own.device_id, os.urandom(16), own.request_key.sign)
        made = seal(
            head.opened,
            sender,
            make_content(body or TextBody(text), sent_at=wall_clock(), random=os.urandom),
            counter=0,
            client_message_id=client_message_id or os.urandom(16).hex(),
            random=os.urandom,
        )
        return msgspec.convert(to_fields(made.message, made.signature), EncryptedPayload)

    payload = await client.device._run(sealed)
    return (await client.device.api.post_messages_encrypted(SendMessages(conversation_id, payload))).seq
