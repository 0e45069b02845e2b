"""Making an account in a store, and coming back to it."""

from __future__ import annotations

import asyncio
from typing import Annotated, Final, final

from tacit import errors
from tacit.api.accounts import GenerateKeys
from tacit.client.books import Books, Me
from tacit.client.store import Store
from tacit.client.timing import Clock
from tacit.client.transport import EncryptionAPIClient
from tacit.crypto import rsa
from tacit.crypto.secret import Randomness, Secret
from tacit.identity import account as identity
from tacit.identity.account import DeviceSecrets, Registration
from tacit.identity.unlockers import Cost
from tacit.identity.vault import open_outer
from tacit.signed.account import AccountRecord, AccountSignatures, EncryptionKeys, account_hash
from tacit.signed.profiles import Profile, name_of
from tacit.signed.vault import Vault
from tacit.wire import limits
from tacit.wire.codec import Many, decode, encode, struct
from tacit.wire.encodings import Id, Text
from tacit.wire.text import to_base64

SENT: Final = "enrolment_sent"
"""Set before an account is sent for the first time: from then on its keys may be the only ones of an account."""


@struct
class Word:
    """One of the recovery key's words."""

    word: Annotated[str, Text(16, 1)]

    def __repr__(self) -> str:
        return "Word(...)"


@struct
class Enrolment:
    """A registration as it is kept until the server has taken it, so that a crash loses neither account nor words."""

    server_name: Id
    record: AccountRecord
    signatures: AccountSignatures
    vault: Vault
    device: DeviceSecrets
    words: Annotated[tuple[Word, ...], Many(24)]

    def __repr__(self) -> str:
        return f"Enrolment({self.record.user_id!r})"


@final
class Enroller:
    """Registers the store's account, and opens sessions for its device."""

    def __init__(
        self,
        store: Store,
        api_client: EncryptionAPIClient,
        clock: Clock,
        random: Randomness,
        profile: Profile,
        cost: Cost | None = None,
    ) -> None:
        self._store = store
        self._api = api_client
        self._clock = clock
        self._random = random
        self._profile = profile
        self._cost = cost

    async def register(self, user_id: str, password: Secret) -> tuple[str, ...]:
        """Make the account and publish it; the 24 recovery words, which are kept nowhere afterwards.

        All of it is persisted before it is sent: called again after a crash, it goes on with the same keys. Raises
        `AccountExists`, which takes away nothing that was ever sent, `StoreLocked` where the store holds another
        account, and `ProfileMismatch` where this one was begun with another profile.
        """
        begun = await self._store.run(lambda books: find_enrolment(books, user_id))
        enrolment = await self.prepare(user_id, password)
        if begun is None or not await self._arrived(enrolment):
            await self._publish(enrolment)
        await self._store.run(lambda books: finish(books, enrolment))
        return tuple(each.word for each in enrolment.words)

    async def prepare(self, user_id: str, password: Secret) -> Enrolment:
        """Make an account's keys and keep them, unless that was done before; nothing is sent. Raises `StoreLocked`.

        `ProfileMismatch` where that was for another profile.
        """
        begun = await self._store.run(lambda books: find_enrolment(books, user_id))
        if begun is not None:
            check_profile(self._profile, begun.record.profile)
            return begun
        made = await asyncio.to_thread(self._make, user_id, password)
        enrolment = _enrolment(self._api.server_name, made)
        await self._store.run(lambda books: books.set_meta("enrolment", encode(enrolment)))
        return enrolment

    def _make(self, user_id: str, password: Secret) -> Registration:
        return identity.register(
            self._api.server_name,
            user_id,
            password,
            now=self._clock(),
            random=self._random,
            generate_rsa=rsa.generate,
            cost=self._cost,
            profile=self._profile,
        )

    async def _publish(self, enrolment: Enrolment) -> None:
        """Send the account. Where the name is taken it may be by this very account: what was sent is kept then."""
        try:
            await self._api.post_auth_register(enrolment.record.user_id, enrolment.device.request_key())
            await self._store.run(lambda books: books.set_meta(SENT, b"1"))
            record, signatures, vault = enrolment.record, enrolment.signatures, enrolment.vault
            await self._api.post_encryption_keys_generate(publication(record, signatures, vault))
        except (errors.AccountExists, errors.VersionConflict):
            if await self._store.run(drop_unsent) or not await self._arrived(enrolment):
                raise

    async def _arrived(self, enrolment: Enrolment) -> bool:
        """Whether an earlier attempt reached the server although its answer was lost."""
        try:
            await self._api.post_auth_session(enrolment.record.user_id, enrolment.device.request_key())
        except errors.SignInRefused:
            return False
        return True

    async def sign_in(self, user_id: str) -> Me:
        """Open a session of this store's device; raises `StoreLocked` where the store is not this account's.

        `ProfileMismatch` where its profile is not the one configured.
        """
        me = await self._store.run(lambda books: own(books, user_id, self._api.server_name))
        check_profile(self._profile, me.secrets.profile)
        await self._api.post_auth_session(me.user_id, me.request_key)
        return me


def check_profile(configured: Profile, own: Profile) -> None:
    """Raises `ProfileMismatch` unless an account, whose profile is for life, has the one that is configured.

    On a server's word alone a client would take another profile's means: to derive the password by, to begin with.
    """
    if own is not configured:
        raise errors.ProfileMismatch(f"{name_of(own)}, not {name_of(configured)}")


def own(books: Books, user_id: str, server_name: str) -> Me:
    """This store's device; raises `StoreLocked` for another account's store, `NotSignedIn` for an empty one."""
    me = books.find_me()
    if me is None:
        raise errors.NotSignedIn(f"this store holds no keys of {user_id}: register with it first")
    if me.user_id != user_id:
        raise errors.StoreLocked("it belongs to another account")
    if me.server_name != server_name:
        raise errors.StoreLocked("it belongs to an account at another server")
    return me


def find_enrolment(books: Books, user_id: str) -> Enrolment | None:
    """A registration of this user that is under way; raises `StoreLocked` where the store holds an account."""
    if books.find_me() is not None:
        raise errors.StoreLocked("it holds an account already")
    raw = books.meta("enrolment")
    if raw is None:
        return None
    enrolment = decode(Enrolment, raw, 2 * limits.VAULT_BYTES)
    if enrolment.record.user_id != user_id:
        raise errors.StoreLocked("another account is being registered in it")
    return enrolment


def drop_unsent(books: Books) -> bool:
    """Forget a registration of which nothing was ever sent; False where the server may have the account."""
    if books.meta(SENT) is not None:
        return False
    books.set_meta("enrolment", None)
    return True


def is_empty(books: Books) -> bool:
    """Whether a store holds the keys of no account, nor of one that may have come to be."""
    return not any(books.meta(name) for name in ("device", "enrolment", "account_change"))


def _enrolment(server_name: str, made: Registration) -> Enrolment:
    words = tuple(Word(word) for word in made.words)
    return Enrolment(server_name, made.record.value, made.signatures, made.vault, made.device, words)


def publication(record: AccountRecord, signatures: AccountSignatures, vault: Vault) -> GenerateKeys:
    """What publishes a version of an account."""
    return GenerateKeys(
        record.user_id,
        account_hash(record).hex(),
        to_base64(encode(EncryptionKeys(record.encryption_keys))),
        to_base64(encode(record)),
        to_base64(encode(signatures)),
        to_base64(encode(vault)),
    )


def finish(books: Books, enrolment: Enrolment) -> None:
    """The server has the account: keep what this device needs of it, and forget the rest, the words with it."""
    record = enrolment.record
    books.set_device(enrolment.device)
    books.set_meta("server_name", enrolment.server_name.encode())
    books.accounts.take(enrolment.server_name, record.user_id, [(record, enrolment.signatures)])
    outer = enrolment.vault.outer
    entries = open_outer(record, outer, Secret(enrolment.device.outer_key))
    books.hold_vault(outer, entries, entries)
    books.set_meta("boxes", encode(enrolment.vault.boxes))
    books.set_meta("enrolment", None)
    books.set_meta(SENT, None)
