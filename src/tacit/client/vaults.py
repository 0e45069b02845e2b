"""The vault's outer part: rewritten when pins and heads change, and never taken back to an earlier one."""

from __future__ import annotations

import dataclasses
from contextlib import suppress
from functools import partial
from typing import Final, final

from tacit import errors
from tacit.api import accounts as api
from tacit.api.base import binary
from tacit.client.accounts import Directory
from tacit.client.answers import check_vault
from tacit.client.books import OWN_RESET, UNREADABLE_BY, VAULT_OWED, Books
from tacit.client.comparing import compare
from tacit.client.conversations import after_update
from tacit.client.lost import RESTORED, is_restored
from tacit.client.ownwords import drop_written, tell_confirmed, wanted_entries
from tacit.client.store import Store
from tacit.client.timing import Clock
from tacit.client.transport import EncryptionAPIClient
from tacit.crypto.secret import Randomness, Secret
from tacit.identity.account import open_box
from tacit.identity.vault import (
    NewEntry,
    Writer,
    combine,
    fitted,
    keys_among,
    merge,
    read_outer,
    seal_outer,
    writers_of,
)
from tacit.signed import labels
from tacit.signed.account import AccountRecord, OuterRef, account_hash, certificate, is_reset
from tacit.signed.record import DAY
from tacit.signed.vault import (
    Boxes,
    Outer,
    OuterHeader,
    boxes_hash,
    header_hash,
    verify_outer,
)
from tacit.signed.verify import verify
from tacit.wire import limits
from tacit.wire.codec import decode, encode
from tacit.wire.text import to_base64

ATTEMPTS: Final = 3


@final
class VaultKeeper:
    """Keeps the outer part on the server as new as what this device knows."""

    def __init__(
        self,
        store: Store,
        api_client: EncryptionAPIClient,
        directory: Directory,
        clock: Clock,
        random: Randomness,
    ) -> None:
        self._store = store
        self._random = random
        self._api = api_client
        self._directory = directory
        self._clock = clock

    async def check(self) -> None:
        """Compare what the server has with what this device holds; a newer part by the account's devices is taken.

        A lower or different one than was held when it was asked for is refused and kept as evidence; what is held
        stays. Another program on the same store may have written the next one meanwhile.
        """
        asked = await self._store.run(held_header)
        with suppress(errors.PeerError):  # what contradicts is kept as evidence; nothing else waits for the vault
            await self.take(await self._api.get_encryption_keys_private(), asked)

    async def take(self, answer: api.PrivateKeys, asked: OuterHeader | None) -> None:
        """Take what the server has, see `take_outer`; raises what contradicts, having kept it as evidence."""
        now = self._clock()

        def take(books: Books) -> None:
            check_version_known(books, answer)
            before = books.entries()
            take_outer(books, answer, asked, now)
            compare_heads(books, now)
            if books.entries() != before:
                # Grants that came before the keys which open them, records that another device judged meanwhile.
                after_update(books, now, self._random)

        if await self._store.run(lambda books: is_account_newer(books, answer)):
            await self._directory.refresh([answer.user_id])
        try:
            await self._store.run(take)
        except errors.PeerError as error:
            incarnation = self._api.incarnation
            if await self._store.run(lambda books: is_restored(books, incarnation) and is_lower(books, answer)):
                raise errors.ServerBehind("the vault is an earlier one") from None
            raw = answer.outer.encode()
            refusal = errors.ServerMisbehaved(f"the vault: {error.detail}")
            await self._store.run(lambda books: books.keep_evidence(now, "vault", books.me.user_id, refusal, raw))
            raise

    async def write(self) -> None:
        """Write the next outer part where pins or heads changed, or the last one is a day old."""
        for _ in range(ATTEMPTS):
            if await self._store.run(is_behind):
                await self.check()
                if await self._store.run(is_behind):
                    return  # never under a key that a revoked device may have
            now = self._clock()
            made = await self._store.run(partial(next_outer, now=now))
            if made is None:
                return
            outer, hash_of_account, user_id = made
            body = api.StoreOuter(user_id, hash_of_account.hex(), to_base64(encode(outer)))
            try:
                await self._api.post_encryption_keys_private(body)
            except errors.VersionConflict:
                await self.check()  # another write was first, perhaps one of ours whose answer was lost
                continue
            await self._store.run(partial(keep_outer, outer=outer, now=now))
            return


def is_behind(books: Books) -> bool:
    """Whether the account record names a later outer part than the one held, or one of another chain.

    Then the outer key may have been replaced: what is sealed under the one held is open to a revoked device.
    """
    held = of_this_chain(books, held_header(books))
    return held is None or held.version < books.own_account().value.outer.version


def next_outer(books: Books, now: int) -> tuple[Outer, bytes, str] | None:
    """The next outer part with the hash of the account record it goes under, or None where nothing is to be written.

    Nothing is while the account was reset and its owner did not confirm that here: somebody else may open it.
    """
    if books.text(OWN_RESET):
        return None
    compare_heads(books, now)
    me = books.me
    before = held_header(books)
    held = books.entries()
    writer = Writer(me.device_id, me.request_key.sign)
    version = before.version + 1 if before is not None else 1
    entries = fitted(merge(held, wanted_entries(books), version, writer, books.certified()))
    is_fresh = before is not None and abs(now - before.written_at) < DAY
    if entries == held and is_fresh and books.meta(VAULT_OWED) is None:
        return None
    account = books.own_account().value
    key = Secret(me.secrets.outer_key)
    outer = seal_outer(me.server_name, me.user_id, account.version, before, entries, key, writer, now)
    return outer, account_hash(account), me.user_id


def compare_heads(books: Books, now: int) -> None:
    """Hold what is known of conversations and contacts against what the vault says of them.

    Where a conversation is another than this device itself said, that is evidence; of another device's word on a
    contact's identity the person is told.
    """
    for conversation_id in books.conversation_ids():
        compare(books, books.held(conversation_id), now)
    tell_confirmed(books, now)


def keep_outer(books: Books, outer: Outer, now: int) -> None:
    """An outer part that the server has: its header and entries are held from now on.

    Where a device put something unusable in it, what was held stays, the person is told which device it was, and this
    device's next write mends it.
    """
    me, record = books.me, books.own_account().value
    writers = writers_of([each.value for each in books.accounts.versions(me.user_id)])
    entries = read_outer(record, outer, Secret(me.secrets.outer_key), writers)
    held, header = books.entries(), outer.header
    if of_this_chain(books, held_header(books)) is None:
        # After a reset the clocks begin anew: what only this device holds of keys goes in with its next write.
        new = [NewEntry(each.entry.kind, each.entry.key, each.entry.value) for each in keys_among(held)]
        held = merge((), new, header.version + 1, Writer(me.device_id, me.request_key.sign))
    if entries is not None:
        drop_written(books, entries)
    elif books.text(UNREADABLE_BY) != header.device_id:
        books.keep_notice(now, "vault_unreadable", {"deviceId": header.device_id})
    books.hold_vault(outer, combine(held, entries or (), books.certified()), entries)


def held_header(books: Books) -> OuterHeader | None:
    """The header of the outer part that is held, or None."""
    raw = books.meta("outer_header")
    return decode(OuterHeader, raw) if raw is not None else None


def is_account_newer(books: Books, answer: api.PrivateKeys) -> bool:
    """Whether the vault was stored under a later version of one's own account than is known here."""
    me = books.own_account().value
    return answer.user_id == me.user_id and answer.account_version > me.version


def is_lower(books: Books, answer: api.PrivateKeys) -> bool:
    """Whether the vault is below the one that is held, or was stored under an earlier version of the account."""
    held = held_header(books)
    outer = decode(Outer, binary(answer.outer, limits.VAULT_BYTES), limits.VAULT_BYTES)
    is_earlier = held is not None and outer.header.version < held.version
    return is_earlier or answer.account_version < books.own_account().value.version


def check_version_known(books: Books, answer: api.PrivateKeys) -> None:
    """Raises `ServerMisbehaved` where the account, fetched later, has not the version that the vault names."""
    if is_account_newer(books, answer):
        raise errors.ServerMisbehaved(f"it names version {answer.account_version} of the account, which is not served")


def take_outer(books: Books, answer: api.PrivateKeys, asked: OuterHeader | None, now: int) -> None:
    """Take what the server has where it follows what is held; `asked` is what was held when it was asked for.

    The outer key comes in this device's box, where another device revoked one. Raises `ServerMisbehaved` or
    `InvalidVault`, `DecryptionError` for a box that does not open, and `UnexpectedAnswer` where it is not one's own.
    """
    record = books.own_account().value
    check_vault(answer, record.user_id, [each.value for each in books.accounts.versions(record.user_id)])
    outer = decode(Outer, binary(answer.outer, limits.VAULT_BYTES), limits.VAULT_BYTES)
    verify_outer(record, outer)
    asked, held = of_this_chain(books, asked), of_this_chain(books, held_header(books))
    branched = may_branch(books, held, outer.header)
    if asked is not None and not branched and check_not_older(asked, outer.header):
        return
    if held is not None:
        if not branched and (outer.header.version < held.version or check_not_older(held, outer.header)):
            return
        later = branched or record.outer.version > held.version  # its word is the identity key's
        start = record.outer if later else OuterRef(held.version, header_hash(held))
        check_follows(record, start, outer.header, answer)
    keep_headers(books, record, answer)
    take_box(books, record, decode(Boxes, binary(answer.boxes, limits.VAULT_BYTES), limits.VAULT_BYTES))
    keep_outer(books, outer, now)


def may_branch(books: Books, held: OuterHeader | None, served: OuterHeader) -> bool:
    """Whether a device that did not know what this one holds may have written another part on a restored server.

    Then it has only to lead from the part that the account record names. Nothing is lost: all entries that are held go
    into the next one. Before this device met a restore it is evidence.
    """
    if held is None or books.meta(RESTORED) is None or served.version < held.version:
        return False
    return header_hash(served) != header_hash(held)


def keep_headers(books: Books, record: AccountRecord, answer: api.PrivateKeys) -> None:
    """Keep the headers that lead to an outer part that was taken: a restored server is given them back."""
    books.connection.execute("DELETE FROM outer_headers WHERE version < ?", (record.outer.version,))
    for each in answer.outer_headers:
        raw = binary(each.header, limits.RECORD_BYTES)
        row = (decode(OuterHeader, raw).version, raw, binary(each.signature, limits.SIGNATURE_BYTES))
        if row[0] >= record.outer.version:
            books.connection.execute("INSERT OR REPLACE INTO outer_headers VALUES (?, ?, ?)", row)


def take_box(books: Books, record: AccountRecord, boxes: Boxes) -> None:
    """The outer key out of this device's box; raises `InvalidVault` where the record names other boxes."""
    if boxes_hash(boxes) != record.boxes_hash:
        raise errors.InvalidVault("the boxes are not those that the record names")
    me = books.me
    box = next((each for each in boxes.boxes if each.device_id == me.device_id), None)
    if box is None:
        raise errors.InvalidVault("there is no box for this device: it was revoked")
    outer_key = open_box(record, box, Secret(me.secrets.kem_private))
    books.set_meta("boxes", encode(boxes))
    if outer_key.reveal() != me.secrets.outer_key:
        books.set_device(dataclasses.replace(me.secrets, outer_key=outer_key.reveal()))


def of_this_chain(books: Books, header: OuterHeader | None) -> OuterHeader | None:
    """A header that is held, or None where the account was reset since: then the outer part begins anew."""
    if header is None:
        return None
    versions = [each.value for each in books.accounts.versions(books.me.user_id)]
    resets = [record.version for record in versions if is_reset(record)]
    return header if not resets or header.account_version >= resets[-1] else None


def check_not_older(held: OuterHeader, served: OuterHeader) -> bool:
    """Whether the served outer part is the one that is held.

    Raises `ServerMisbehaved` for a lower version, or another part under the same version.
    """
    if served.version < held.version:
        raise errors.ServerMisbehaved("an earlier outer part is served")
    if served.version > held.version:
        return False
    if header_hash(served) != header_hash(held):
        raise errors.ServerMisbehaved("another outer part is served under the same version")
    return True


def check_follows(record: AccountRecord, start: OuterRef, served: OuterHeader, answer: api.PrivateKeys) -> None:
    """Raises `ServerMisbehaved` unless signed headers lead from the outer part `start` to the served one.

    A server keeps `limits.OUTER_HEADERS` of them: where `start` is further back, those lead on from the first of them.
    """
    before: OuterRef | None = None
    led, needed = 0, 1
    for each in answer.outer_headers:
        header = decode(OuterHeader, binary(each.header, limits.RECORD_BYTES))
        named = OuterRef(header.version, header_hash(header))
        if named.version < start.version:
            continue
        writer = certificate(record, header.device_id)
        if before is None and named.version > start.version:
            needed = limits.OUTER_HEADERS
        follows = leads(before, header) if before else named == start or needed > 1
        if writer is None or not follows:
            raise errors.ServerMisbehaved("the outer part does not follow the one that is known")
        signature = binary(each.signature, limits.SIGNATURE_BYTES)
        verify(labels.OUTER_HEADER, header, writer.request_key, signature, record.profile)
        before, led = named, led + 1
    if before is None or before.hash != header_hash(served) or led < needed:
        raise errors.ServerMisbehaved("the outer part does not follow the one that is known")


def leads(before: OuterRef, header: OuterHeader) -> bool:
    """Whether a header is the next one."""
    return header.version == before.version + 1 and header.previous_hash == before.hash
