"""Every size limit of the protocol, in one table. Parsers check them before they allocate."""

from __future__ import annotations

from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB

ID_BYTES: Final = 255
"""An id's UTF-8 bytes: 1 to this many."""
KEY_BYTES: Final = 4096
"""A public key's encoding."""
SIGNATURE_BYTES: Final = 512
"""One signature."""
WRAPPED_KEY_BYTES: Final = 8192
"""One wrapped key or short sealed secret."""
DEVICES: Final = 64
"""Devices in one account record."""
REVOKED_DEVICES: Final = 4096
"""Devices that an account ever revoked."""
UNLOCKERS: Final = 32
"""Unlockers in one vault."""
ENCRYPTION_KEYS: Final = 8
"""Present encryption keys in one account record."""
SUITES: Final = 32
"""MLS suites in one device certificate."""
MEMBERS: Final = 10_000
"""Members in one roster, and changes in one conversation record."""
REQUESTS: Final = 1_000
"""Leaves and re-adds carried out by one conversation record."""
VAULT_ENTRIES: Final = 100_000
"""Entries in the vault's outer part."""
RECORD_BYTES: Final = 4 * MIB
"""One account or conversation record."""
VAULT_BYTES: Final = 4 * MIB
"""One whole vault."""
LOST_PLACES: Final = 1_000_000
"""Places of a conversation that one restore of a server gives to nothing."""
OUTER_AHEAD: Final = 1 << 20
"""By so much the outer part of an account version runs ahead; fewer are written by devices before the next one."""
OUTER_BYTES: Final = 3 * MIB
"""The sealed entries of a vault's outer part, which a device writes alone: what else is in the vault fits beside it."""
OUTER_HEADERS: Final = 5_000
"""Headers of outer parts that a server keeps of an account, the newest."""
OUTER_VERSION: Final = 1 << 52
"""What the version of an outer part stays below."""
GRANTS: Final = 1_000
"""Grants in one request."""
CONTENT_BYTES: Final = 64 * KIB
"""One message's content after padding."""
CIPHERTEXT_BYTES: Final = CONTENT_BYTES + 16
"""One message's ciphertext with its tag."""
SEEN_HASHES: Final = 32
"""Hashes of messages seen, in one content."""
MESSAGES: Final = 100
"""Messages in one request."""
PAGE: Final = 500
"""Messages and records in one page."""
USERS: Final = 50
"""Accounts asked for in one request."""
CONVERSATIONS: Final = 1_000
"""Conversations asked for in one sync."""
BODY_BYTES: Final = 8 * MIB
"""One HTTP request body."""
FRAME_BYTES: Final = 256 * KIB
"""One WebSocket frame."""
JSON_DEPTH: Final = 16
"""How deep arrays and objects of one JSON text are nested."""
JSON_VALUES: Final = 1 << 18
"""Values of one JSON text; an answer has the most."""
REQUEST_VALUES: Final = 1 << 14
"""Values of one request's or client's frame's JSON."""
