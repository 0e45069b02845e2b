"""Every label of the protocol. A label says what a signature, hash, derived key or context is for."""

from __future__ import annotations

from typing import Final

PREFIX: Final = "tacit/1 "

# Hashes and signatures of structs.
AIK_FINGERPRINT: Final = "tacit/1 aik fingerprint"
DEVICE_ID: Final = "tacit/1 device id"
ACCOUNT_RECORD: Final = "tacit/1 account record"
ACCOUNT_RESET: Final = "tacit/1 account reset"
DEVICE_POSSESSION: Final = "tacit/1 device possession"
INNER: Final = "tacit/1 vault inner"
BOXES: Final = "tacit/1 vault boxes"
OUTER_HEADER: Final = "tacit/1 vault outer header"
OUTER_ENTRIES: Final = "tacit/1 vault outer entries"
ENTRY: Final = "tacit/1 vault entry"
PROOF: Final = "tacit/1 unlocker proof"
ARCHIVE_KEY_ID: Final = "tacit/1 archive key id"
ENCRYPTION_KEY: Final = "tacit/1 encryption key"
CONVERSATION_ID: Final = "tacit/1 conversation id"
CONVERSATION_RECORD: Final = "tacit/1 conversation record"
ROSTER: Final = "tacit/1 roster"
LEAVE: Final = "tacit/1 leave"
GRANT: Final = "tacit/1 grant"
MESSAGE: Final = "tacit/1 message"
SOCKET_CHALLENGE: Final = "tacit/1 socket challenge"

# Keys derived and contexts of what is sealed or wrapped.
PASSWORD_SALT: Final = "tacit/1 password salt"
UNLOCK: Final = "tacit/1 unlock"
AUTH: Final = "tacit/1 auth"
WRAPPED_AMK: Final = "tacit/1 wrapped amk"
WRAPPED_AIK: Final = "tacit/1 wrapped aik"
WRAPPED_OUTER_KEY: Final = "tacit/1 wrapped outer key"
BOX: Final = "tacit/1 box"
OUTER: Final = "tacit/1 outer"
GRANT_WRAP: Final = "tacit/1 grant wrap"
KEY_ID: Final = "tacit/1 key id"
MESSAGE_KEY: Final = "tacit/1 message key"
MESSAGE_AAD: Final = "tacit/1 message aad"
FRANKING: Final = "tacit/1 franking"
MESSAGE_HASH: Final = "tacit/1 message hash"
STORE_KEY: Final = "tacit/1 store key"
KEY_PAIR: Final = "tacit/1 key pair"

# The tag of signed HTTP requests (RFC 9421 §2.3).
REQUEST_TAG: Final = "tacit/1"
