"""What a guard of accounts, vaults and unlockers is when it guards nothing."""

from __future__ import annotations

import dataclasses
from typing import Any

from adversary.bending import wraps_original
from tacit.api.auth import ServerInfo
from tacit.client.accountview import AccountView
from tacit.client.transport import EncryptionAPIClient
from tacit.crypto.kdf import argon2id, hkdf_sha256, pbkdf2_sha256
from tacit.crypto.secret import Secret
from tacit.identity.unlockers import PBKDF2, Account, KdfBounds
from tacit.signed.account import AccountRecord, AccountSignatures
from tacit.signed.vault import Outer, OuterHeader, PasswordParameters, UnlockContext, Unlocker
from tacit.signed.verify import _CHECKED, Verified


def any_next(
    _: Verified[AccountRecord], record: AccountRecord, signatures: AccountSignatures
) -> Verified[AccountRecord]:
    """Whatever says that it follows an account record does."""
    return Verified(record, record.aik, signatures.aik, _CHECKED)


def any_reset(_: AccountRecord, record: AccountRecord, signatures: AccountSignatures) -> Verified[AccountRecord]:
    """An account has the identity key that the newest record says, whoever signed it."""
    return Verified(record, record.aik, signatures.aik, _CHECKED)


def any_outer(record: AccountRecord, outer: Outer) -> Verified[OuterHeader]:
    """An outer part is the account's, of whatever age."""
    return Verified(outer.header, record.aik, outer.signature, _CHECKED)


@wraps_original
def of_no_age(original: Any) -> Any:
    """A vault is shown as if it had been written just now."""

    def view_of(*arguments: Any, **how: Any) -> AccountView:
        view: AccountView = original(*arguments, **how)
        return dataclasses.replace(view, vault_is_old=False)

    return view_of


def what_is_there(_: Account, unlocker: Unlocker, __: Secret) -> Secret:
    """The AMK is what the vault says."""
    return Secret(unlocker.wrapped_amk[:32])


def of_any_identity(account: Account, unlocker_id: str) -> UnlockContext:
    """An unlocker belongs to an account, whatever its identity key is."""
    return UnlockContext(account.server_name, account.user_id, account.profile, unlocker_id, bytes(32))


# --- what a password is derived by -----------------------------------------------------------------------------


def unbound_secret(_: str, __: str, password: Secret, parameters: PasswordParameters, ___: KdfBounds) -> Secret:
    """A password is derived with the salt as the server says it, and nothing else."""
    if parameters.kdf == PBKDF2:
        return pbkdf2_sha256(password, parameters.salt, iterations=parameters.iterations)
    cost = {"memory_kib": parameters.memory_kib, "iterations": parameters.iterations, "lanes": parameters.lanes}
    return argon2id(password, parameters.salt, **cost)


def unbound_proof(_: str, __: str, ___: str, secret: Secret) -> Secret:
    """An unlocker's proof is the same for every server."""
    return hkdf_sha256(secret, b"proof")


async def by_its_own_name(session: EncryptionAPIClient) -> ServerInfo:
    """A server is called what it says that it is called."""
    info = await session._request("GET", "/api/server", ServerInfo, signed=False)
    session.server_name = info.name
    return info
