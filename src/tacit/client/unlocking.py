"""Opening the account with what the person knows: a session against a proof, the vault, and nothing of it kept."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from tacit import errors
from tacit.api import accounts as api
from tacit.api.auth import UnlockerFound
from tacit.api.base import binary
from tacit.client.answers import check_vault as check_beside_vault
from tacit.client.transport import EncryptionAPIClient
from tacit.client.vaults import check_follows
from tacit.crypto.secret import Secret
from tacit.identity.account import DeviceSecrets
from tacit.identity.changes import Unlocked, account_of
from tacit.identity.unlockers import KdfBounds, open_inner, password_bytes, password_secret, proof_of
from tacit.identity.vault import counted, read_outer, writers_of
from tacit.identity.words import from_words
from tacit.signed.account import AccountRecord
from tacit.signed.vault import Boxes, Inner, Outer, PasswordParameters, UnlockerKind, Vault, check_vault, inner_hash
from tacit.signed.verify import Verified
from tacit.wire import limits
from tacit.wire.codec import decode

NAMES: Final = {UnlockerKind.PASSWORD: "password", UnlockerKind.RECOVERY_KEY: "recovery_key"}
PARAMETER_BYTES: Final = 1024
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Key:
    """What a person opens the account with: a password, or the recovery key of 24 words."""

    kind: UnlockerKind
    secret: Secret


def password_key(password: str) -> Key:
    """The account's password; raises `InvalidArgument` for an empty one."""
    return Key(UnlockerKind.PASSWORD, password_bytes(password))


def words_key(words: str | Sequence[str]) -> Key:
    """The 24 words, in one text or one by one.

    Raises `InvalidArgument`, which names unknown words by their position, else says that the checksum is wrong.
    """
    every = words.split() if isinstance(words, str) else list(words)
    return Key(UnlockerKind.RECOVERY_KEY, from_words(every))


@dataclass(frozen=True, slots=True)
class Proven:
    """An unlocker whose proof the server took: its id and its 32-byte secret."""

    unlocker_id: str
    secret: Secret


async def prove(
    session: EncryptionAPIClient, user_id: str, device: DeviceSecrets, key: Key, bounds: KdfBounds
) -> Proven:
    """Open a provisional session for this device; raises `SignInRefused` for a wrong password or wrong words.

    What the derivation may cost is the client's configuration: `InvalidVault` is raised before anything is derived
    where the server says otherwise.
    """
    request_key = device.request_key()
    found = await session.post_auth_unlocker(user_id, request_key, NAMES[key.kind])
    secret = await asyncio.to_thread(derive, session.server_name, user_id, key, found, bounds)
    proof = proof_of(session.server_name, user_id, found.unlocker_id, secret)
    await session.post_auth_unlock(user_id, request_key, found.unlocker_id, proof)
    return Proven(found.unlocker_id, secret)


def derive(server_name: str, user_id: str, key: Key, found: UnlockerFound, bounds: KdfBounds) -> Secret:
    """The unlocker's secret; raises `InvalidVault` for parameters that are none, or outside the bounds."""
    if key.kind is not UnlockerKind.PASSWORD:
        return key.secret
    try:
        parameters = decode(PasswordParameters, binary(found.parameters, PARAMETER_BYTES))
    except errors.PeerError:
        raise errors.InvalidVault("the password's parameters cannot be read") from None
    return password_secret(server_name, user_id, key.secret, parameters, bounds)


def read_vault(
    answer: api.PrivateKeys,
    versions: Sequence[Verified[AccountRecord]],
    proven: Proven,
    outer_key: Secret | None = None,
) -> Unlocked:
    """The account as the unlocker opens it, under its newest version; nothing of it was believed before.

    With the `outer_key` that a device holds, whose server was restored, the inner part may be an earlier version's
    under the same identity key: it opens that key, and the next version brings a new inner part.

    Raises `ServerMisbehaved` where the vault is of a version that is not served, `InvalidVault` where it is cut,
    swapped or made by somebody else, and `UnexpectedAnswer` where it is another account's.
    """
    record = versions[-1].value
    if answer.account_version > record.version:
        raise errors.ServerMisbehaved(f"it names version {answer.account_version} of the account, which is not served")
    check_beside_vault(answer, record.user_id, [each.value for each in versions])
    if answer.account_version < record.version or not isinstance(answer.inner, str):
        raise errors.InvalidVault("it is of an earlier version of the account, or without its inner part")
    vault = Vault(_part(Inner, answer.inner), _part(Boxes, answer.boxes), _part(Outer, answer.outer))
    own_hash = inner_hash(vault.inner)
    earlier = {each.value.inner_hash for each in versions if each.value.aik == record.aik} if outer_key else set()
    check_vault(record, vault, earlier)
    try:
        opened = open_inner(account_of(record), vault.inner, proven.unlocker_id, proven.secret)
    except errors.DecryptionError:
        raise errors.InvalidVault(
            "your password or recovery key does not open it: it is not the one you made"
        ) from None
    check_follows(record, record.outer, vault.outer.header, answer)
    if outer_key is not None and own_hash != record.inner_hash:
        opened = dataclasses.replace(opened, outer_key=outer_key)
    records = [each.value for each in versions]
    entries = read_outer(record, vault.outer, opened.outer_key, writers_of(records))
    return Unlocked(record, vault, opened, counted(entries or (), records), entries is not None)


def _part(kind: type[T], text: str) -> T:
    try:
        return decode(kind, binary(text, limits.VAULT_BYTES), limits.VAULT_BYTES)
    except errors.PeerError:
        raise errors.InvalidVault(f"its part {kind.__name__.lower()} cannot be read") from None
