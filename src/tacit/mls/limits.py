"""What an MLS group may grow to: a decoder refuses what is larger before it allocates for it."""

from __future__ import annotations

from typing import Final

from tacit.wire import limits

LEAVES: Final = 1 << 16
"""Leaves of a ratchet tree, blank ones among them."""
NODES: Final = 2 * LEAVES - 1
"""Nodes of a ratchet tree."""
GROUP_ID_BYTES: Final = 4 * limits.KIB
KEY_BYTES: Final = limits.KEY_BYTES
"""A public key, a KEM output, or a key's reference."""
SIGNATURE_BYTES: Final = limits.SIGNATURE_BYTES
SECRET_BYTES: Final = limits.KIB
"""One secret, hash or MAC."""
EXTENSION_BYTES: Final = 32 * limits.MIB
"""One extension's data; a tree of `LEAVES` members fits for most credentials."""
EXTENSIONS: Final = 256
"""Extensions of one struct."""
CAPABILITIES: Final = 1024
"""Numbers in one list of capabilities."""
CREDENTIAL_BYTES: Final = 64 * limits.KIB
"""One identity, or one certificate."""
CERTIFICATES: Final = 16
"""Certificates of one chain."""
PSKS: Final = 256
"""Pre-shared keys of one epoch."""
PROPOSALS: Final = LEAVES
"""Proposals in one commit: a whole group can be added at once."""
AAD_BYTES: Final = limits.MIB
"""Authenticated data of one message."""
CONTENT_BYTES: Final = 64 * limits.MIB
"""One message's content: a commit that adds a whole group carries their key packages."""
MESSAGE_BYTES: Final = 128 * limits.MIB
"""One MLSMessage: a Welcome for a whole group."""
PATH: Final = 32
"""Nodes of one path: more than a tree of `LEAVES` leaves is high."""
PAST: Final = 1024
"""Past epochs of which something is kept."""
SKIPPED: Final = 1 << 16
"""Message keys of one chain that are kept for messages that may still come."""
