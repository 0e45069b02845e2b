"""Accounts that an attacker makes in somebody's name, and what can be done to the server's rows with them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from adversary.craft import encoded
from adversary.stage import Stage
from rsa_pool import pooled_rsa
from tacit.crypto.secret import Secret
from tacit.identity import unlockers
from tacit.identity.account import DeviceSecrets, certificate_of, make_boxes, make_keys, new_device
from tacit.identity.keys import SigningKey, new_signing_key
from tacit.identity.unlockers import Account
from tacit.identity.vault import PrivateKey, Writer, merge, seal_outer
from tacit.signed.account import (
    NO_RESET,
    AccountRecord,
    AccountSignatures,
    EncryptionKeys,
    OuterRef,
    account_hash,
    device_id_of,
    sign_record,
)
from tacit.signed.profiles import KeyAlgorithm, Profile
from tacit.signed.vault import EntryKind, Unlocker, Vault, boxes_hash, header_hash, inner_hash
from tacit.signed.verify import ZERO_HASH, Signer
from tacit.wire.codec import decode
from tacit.wire.text import to_base64

Held = Callable[[Account, Secret], tuple[Unlocker, ...]]
"""The unlockers of an account with this AMK."""


@dataclass(frozen=True, slots=True)
class Puppet:
    """An account with all its secrets; `seed` opens what is wrapped to it."""

    record: AccountRecord
    signatures: AccountSignatures
    vault: Vault
    device: DeviceSecrets
    aik: SigningKey
    seed: Secret


def only_words(account: Account, amk: Secret) -> tuple[Unlocker, ...]:
    """Some recovery key, whose words nobody wants."""
    return (unlockers.new_recovery_key(account, amk, os.urandom)[0],)


@dataclass(frozen=True, slots=True)
class FalseKey:
    """A public key in the place of a true one, and whatever signs for it."""

    public: bytes
    sign: Signer


def make_puppet(
    server_name: str,
    user_id: str,
    held: Held = only_words,
    amk: Secret | None = None,
    profile: Profile = Profile.STANDARD,
    spoil: Mapping[str, FalseKey] = MappingProxyType({}),
) -> Puppet:
    """The first version of an account, made as a registration makes it.

    `spoil` puts false keys in the place of `aik`, `request_key`, `mls_key`, `kem_key` or the first of
    `encryption_keys`.
    """
    amk = amk or Secret(os.urandom(32))
    aik, outer_key = new_signing_key(profile, os.urandom), Secret(os.urandom(32))
    device = new_device(profile, user_id, outer_key, os.urandom, pooled_rsa)
    request_key = spoil.get("request_key") or device.request_key()
    true = certificate_of(device)
    true = replace(true, request_key=request_key.public, device_id=device_id_of(user_id, request_key.public))
    mls_key = spoil["mls_key"].public if "mls_key" in spoil else true.mls_key
    kem_key = spoil["kem_key"].public if "kem_key" in spoil else true.kem_key
    certificate = replace(true, mls_key=mls_key, kem_key=kem_key)
    keys = make_keys(profile, os.urandom, pooled_rsa)
    public = keys.public
    if "encryption_keys" in spoil:
        public = (replace(public[0], public_key=spoil["encryption_keys"].public), *public[1:])
    by = spoil.get("aik") or aik
    account = Account(server_name, user_id, profile, by.public)
    inner = unlockers.wrap_inner(account, held(account, amk), amk, aik, outer_key)
    boxes = make_boxes(profile, server_name, user_id, 1, (true,), outer_key)
    writer = Writer(certificate.device_id, request_key.sign)
    outer = seal_outer(server_name, user_id, 1, None, merge((), keys.entries, 1, writer), outer_key, writer, 1)
    record = AccountRecord(
        server_name,
        user_id,
        1,
        ZERO_HASH,
        by.public,
        profile,
        public,
        keys.archive_key_id,
        (certificate,),
        (),
        NO_RESET,
        inner_hash(inner),
        boxes_hash(boxes),
        OuterRef(1, header_hash(outer.header)),
    )
    signatures = sign_record(record, by.sign, request_key.sign)
    private = [decode(PrivateKey, each.value) for each in keys.entries if each.kind is EntryKind.ENCRYPTION_KEY]
    seed = Secret(next((key.private for key in private if key.algorithm is KeyAlgorithm.X_WING), bytes(32)))
    return Puppet(record, signatures, Vault(inner, boxes, outer), device, aik, seed)


async def put_in_place(stage: Stage, puppet: Puppet) -> None:
    """Serve the puppet in the place of the true account; who proves an unlocker's secret still proves the true one."""
    record, outer, user_id = puppet.record, puppet.vault.outer, puppet.record.user_id
    stage.backend.known._kept.clear()
    await stage.sql("DELETE FROM user_keys WHERE user_id = ? AND version > 1", user_id)
    await stage.sql(
        "UPDATE user_keys SET record = ?, signature = ?, outer_version = 1, public_key = ?, "
        "encrypted_private_key = ?, key_id = ? WHERE user_id = ?",
        encoded(record),
        encoded(puppet.signatures),
        encoded(EncryptionKeys(record.encryption_keys)),
        encoded(puppet.vault),
        account_hash(record).hex(),
        user_id,
    )
    await stage.sql("DELETE FROM outer_headers WHERE user_id = ?", user_id)
    await stage.sql(
        "INSERT INTO outer_headers VALUES (?, 1, 1, ?, ?)", user_id, encoded(outer.header), to_base64(outer.signature)
    )


async def store_version(
    stage: Stage, record: AccountRecord, signatures: AccountSignatures, vault: Vault | None = None
) -> None:
    """Lay a further version beside what the server has, without looking at it."""
    if vault is not None:
        await stage.sql("UPDATE user_keys SET encrypted_private_key = '' WHERE user_id = ?", record.user_id)
    await stage.sql(
        "INSERT INTO user_keys (id, user_id, version, record, signature, outer_version, public_key, "
        "encrypted_private_key, key_id, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0)",
        os.urandom(8).hex(),
        record.user_id,
        record.version,
        encoded(record),
        encoded(signatures),
        record.outer.version,
        encoded(EncryptionKeys(record.encryption_keys)),
        encoded(vault) if vault is not None else "",
        account_hash(record).hex(),
    )
