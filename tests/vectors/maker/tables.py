"""The structs of docs/structs.md, written out by hand: name, fields in order, and how each is encoded.

`u8` to `u64`: big-endian; `flag`: one byte, 0 or 1; `b32`: so many bytes; `v0-64`: `opaque<V>` of so many bytes;
`t1-16`: the same with UTF-8; `id` and `dev`: `t1-255` and `t64-64`; `[X]`: a vector `X<V>`; else an enum or a struct.
"""

from __future__ import annotations

from typing import Final

ENUMS: Final[dict[str, tuple[str, tuple[int, ...]]]] = {
    "Profile": ("u8", (1, 2, 3)),
    "KeyAlgorithm": ("u16", (1, 2, 3, 5)),
    "ResetBy": ("u8", (0, 1, 2, 3)),
    "WrapAlgorithm": ("u16", (1, 2, 3)),
    "Protocol": ("u8", (0, 1, 2)),
    "Role": ("u8", (0, 1, 2)),
    "History": ("u8", (1, 2)),
    "RequestKind": ("u8", (1, 2)),
    "UnlockerKind": ("u8", (1, 2, 3, 4)),
    "EntryKind": ("u8", (1, 2, 3, 4, 5, 6, 7, 8)),
}

_TEXT: Final = """
EncryptionKey: algorithm KeyAlgorithm, public_key v0-4096
EncryptionKeys: keys [EncryptionKey]
DeviceKey: user_id id, request_key v0-4096
DeviceCertificate: user_id id, device_id dev, request_key v0-4096, mls_key v0-4096, kem_key v0-4096, suites [u16]
RevokedDevice: device_id dev, version u64
OuterRef: version u64, hash b32
ResetNote: by ResetBy, device_id t0-64
AccountRecord: server_name id, user_id id, version u64, previous_hash b32, aik v0-4096, profile Profile, \
encryption_keys [EncryptionKey], archive_key_id v0-32, devices [DeviceCertificate], revoked [RevokedDevice], \
reset_by ResetNote, inner_hash b32, boxes_hash b32, outer OuterRef
AccountSignatures: aik v0-512, device v0-512, old_aik v0-512
AikKey: profile Profile, aik v0-4096
Granter: user_id id, device_id dev, account_hash b32
Grant: record_hash b32, granter Granter, recipient id, account_hash b32, algorithm WrapAlgorithm, ciphertext v0-8192
SignedGrant: grant Grant, signature v0-512
GrantContext: record_hash b32, recipient id, account_hash b32
MessageAad: version u16, record_hash b32, key_id b32, epoch u64, user_id id, device_id dev, instance_id b16, \
counter u64, client_message_id id, content_type u16, franking_tag b32
Message: aad MessageAad, iv b12, ciphertext v16-65552
Change: user_id id, aik_fingerprint b32, role Role, account_version u64, account_hash b32
Leave: conversation_id id, adding_record_hash b32, user_id id, device_id dev, account_version u64, account_hash b32
SignedLeave: leave Leave, signature v0-512
Request: kind RequestKind, body v0-2048
Rotation: max_age u64, max_messages u64
Policy: history History, rotation Rotation, retention u64, member_history flag
Opener: user_id id, device_id dev, account_hash b32
ConversationRecord: conversation_id id, epoch u64, previous_record_hash b32, protocol Protocol, profile Profile, \
suite u16, group_id v0-255, mls_epoch u64, key_id v0-32, roster_hash b32, changes [Change], requests [Request], \
policy Policy, genesis_random v0-32, predecessor v0-32, reason t0-255, created_at u64, opener Opener
Founding: user_id id, genesis_random b32
RosterList: members [Change]
SocketChallenge: origin id, session b32, device_id dev, nonce b32
Member: change Change, added b32
ChainState: head ConversationRecord, head_hash b32, genesis_hash b32, members [Member]
PasswordParameters: kdf u8, memory_kib u32, iterations u32, lanes u8, salt v16-64
Unlocker: id id, kind UnlockerKind, parameters v0-1024, proof_hash b32, wrapped_amk v0-8192
Inner: unlockers [Unlocker], wrapped_aik v0-8192, wrapped_outer_key v0-8192
Box: device_id dev, wrapped_outer_key v0-8192
Boxes: boxes [Box]
OuterHeader: server_name id, user_id id, account_version u64, version u64, previous_hash b32, written_at u64, \
device_id dev, entries_hash b32
Outer: header OuterHeader, signature v0-512, sealed_entries v0-4194304
Vault: inner Inner, boxes Boxes, outer Outer
Sealed: sealed_entries v0-4194304
Proof: proof b32
Entry: kind EntryKind, key v0-1024, value v0-4194304, clock u64, device_id dev
SignedEntry: entry Entry, signature v0-512
Entries: entries [SignedEntry]
PasswordSalt: server_name id, user_id id, salt v16-64
UnlockContext: server_name id, user_id id, profile Profile, unlocker_id id, aik_fingerprint b32
AuthContext: server_name id, user_id id, unlocker_id id
AccountContext: server_name id, user_id id, aik_fingerprint b32
BoxContext: server_name id, user_id id, account_version u64, device_id dev
NoContext:
DeviceSecrets: user_id id, profile Profile, request_seed b32, mls_seed v0-32, kem_private v0-4096, outer_key b32
OuterContext: server_name id, user_id id, account_version u64, version u64
PrivateKey: algorithm KeyAlgorithm, public_key v0-4096, private v0-4096
ContactPin: user_id id, version u64, account_hash b32, aik_fingerprint b32
ConversationHead: conversation_id id, epoch u64, record_hash b32
NewEntry: kind EntryKind, key v0-1024, value v0-4194304
Content: kind u16, sent_at u64, seen [b32], checkpoint v0-4096, franking_key b32, body v0-65536
Name: user_id id, device_id dev, client_message_id id
TextBody: text t0-65536
EditBody: target Name, text t0-65536
DeleteBody: target Name
NoticeBody: what u16, value v0-65536
NameNotice: name t1-255
Unknown: kind u16, body v0-65536
KeyIdContext: record_hash b32
MessageKeyContext: device_id dev, instance_id b16, counter u64
AccountChange: kind id, record AccountRecord, signatures AccountSignatures, vault Vault, device DeviceSecrets, \
words [Word], waits_until u64
Word: word t1-16
Enrolment: server_name id, record AccountRecord, signatures AccountSignatures, vault Vault, device DeviceSecrets, \
words [Word]
StoreKeyContext: version u8, parameters v0-1024
KeychainParameters: entry id
KeyPairContext: store_key StoreKeyContext, name id, public v0-8192
Grants: grants [SignedGrant]
"""


def _read() -> dict[str, list[tuple[str, str]]]:
    found: dict[str, list[tuple[str, str]]] = {}
    for line in _TEXT.strip().splitlines():
        name, _, fields = line.partition(":")
        pairs = [field.split() for field in fields.split(",") if field.strip()]
        found[name] = [(pair[0], pair[1]) for pair in pairs]
    return found


STRUCTS: Final = _read()
ALIASES: Final = {"id": "t1-255", "dev": "t64-64"}
