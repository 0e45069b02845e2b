"""What each request to the server takes and is refused with: what its handler does not say by its types.

A row is found by method and path as the server's routes have them; `tools/openapi.py` makes the description of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tacit.api import accounts, auth, conversations, messages, reconcile, sync
from tacit.server.events import LIVE, READY
from tacit.wire import limits

OPEN: Final = "open"
"""Takes no signature."""
OPENING: Final = "opening"
"""Signed by the key that its body carries."""
SIGNED: Final = "signed"
"""Signed by the device of a session, whose token it carries."""

OF_CONNECTIONS: Final = ("header_too_large", "request_timeout", "too_many_connections")
"""Answered before it is known what is asked for."""
EVERY: Final = ("internal", "malformed", *OF_CONNECTIONS)
OF_ALL_BUT_HEALTH: Final = ("too_many_requests",)
OF_SIGNATURES: Final = (
    *("request_unsigned", "request_signature_invalid", "clock_skew", "request_replayed", "too_large"),
    "storage_full",  # what is signed uses a nonce up
)
OF_ACCESS: Final[Mapping[str, tuple[str, ...]]] = {
    OPEN: EVERY,
    OPENING: (*EVERY, *OF_ALL_BUT_HEALTH, *OF_SIGNATURES),
    SIGNED: (*EVERY, *OF_ALL_BUT_HEALTH, *OF_SIGNATURES, "session_expired"),
}
OF_BODIES: Final = ("malformed_json", "unknown_field", "secret_key_refused")
OF_STRUCTS: Final = ("malformed", "wrong_length", "base64_not_canonical", "unknown_version")
OF_QUERIES: Final = ("malformed", "unknown_field", "wrong_length")
OF_PATHS: Final = ("not_found",)
OF_REQUEST_KEYS: Final = ("malformed", "wrong_length", "base64_not_canonical")
OF_EPOCHS: Final = (
    *OF_STRUCTS,
    *("session_forbidden", "user_mismatch", "field_mismatch", "unsupported_suite", "bad_signature", "not_a_member"),
    *("invalid_record", "record_pending", "record_outdated", "epoch_conflict", "key_id_mismatch", "invalid_grant"),
)

USER: Final = {"type": "string", "minLength": 1, "maxLength": limits.ID_BYTES}
NUMBER: Final = {"type": "integer", "minimum": 0, "maximum": (1 << 53) - 1}
CONVERSATION: Final = ("conversationId", USER, True)
AFTER: Final = ("after", NUMBER, False)
USERS: Final = {"type": "array", "items": USER, "minItems": 1, "maxItems": limits.USERS, "uniqueItems": True}
LIMIT: Final = {"type": "integer", "minimum": 1, "maximum": limits.PAGE}


@dataclass(frozen=True, slots=True)
class Operation:
    """`query`: name, schema and whether it has to be there."""

    codes: tuple[str, ...] = ()
    takes: Any = None
    query: tuple[tuple[str, dict[str, Any], bool], ...] = ()
    access: str = SIGNED
    statuses: tuple[int, ...] = field(default=(200,))


OPERATIONS: Final[Mapping[tuple[str, str], Operation]] = {
    ("GET", LIVE): Operation(access=OPEN),
    ("GET", READY): Operation(access=OPEN, statuses=(200, 503)),
    ("GET", "/openapi.json"): Operation(OF_ALL_BUT_HEALTH, access=OPEN),
    ("GET", "/api/server"): Operation(OF_ALL_BUT_HEALTH, access=OPEN),
    ("POST", "/api/auth/register"): Operation(
        (*OF_BODIES, *OF_REQUEST_KEYS, "account_exists"), auth.OpenSession, access=OPENING
    ),
    ("POST", "/api/auth/session"): Operation(
        (*OF_BODIES, *OF_REQUEST_KEYS, "sign_in_refused"), auth.OpenSession, access=OPENING
    ),
    ("DELETE", "/api/auth/session"): Operation(),
    ("POST", "/api/auth/unlocker"): Operation((*OF_BODIES, *OF_REQUEST_KEYS), auth.FindUnlocker, access=OPENING),
    ("POST", "/api/auth/unlock"): Operation(
        (*OF_BODIES, *OF_REQUEST_KEYS, "sign_in_refused", "too_many_attempts"), auth.Unlock, access=OPENING
    ),
    ("POST", "/api/encryption/keys/generate"): Operation(
        (
            *OF_BODIES,
            *OF_STRUCTS,
            *("session_forbidden", "user_mismatch", "field_mismatch", "server_name_mismatch", "unsupported_suite"),
            *("invalid_account_record", "bad_signature", "invalid_vault", "version_conflict", "account_exists"),
            "reset_pending",
        ),
        accounts.GenerateKeys,
    ),
    ("GET", "/api/encryption/keys/public"): Operation(
        (*OF_QUERIES, "session_forbidden", "no_such_account"), query=(("userId", USERS, True), AFTER)
    ),
    ("GET", "/api/encryption/keys/private"): Operation(("unknown_field", "session_forbidden", "no_such_account")),
    ("POST", "/api/encryption/keys/private"): Operation(
        (
            *OF_BODIES,
            *OF_STRUCTS,
            *("session_forbidden", "user_mismatch", "invalid_vault", "bad_signature", "version_conflict"),
        ),
        accounts.StoreOuter,
    ),
    ("POST", "/api/encryption/conversation/keys"): Operation((*OF_BODIES, *OF_EPOCHS), conversations.ConversationKeys),
    ("POST", "/api/encryption/conversation/members"): Operation(
        (*OF_BODIES, *OF_EPOCHS), conversations.ConversationKeys
    ),
    ("DELETE", "/api/encryption/conversation/members"): Operation(
        (*OF_BODIES, *OF_EPOCHS), conversations.ConversationKeys
    ),
    ("GET", "/api/encryption/conversation/keys"): Operation(
        (*OF_QUERIES, "session_forbidden", "not_a_member"), query=(CONVERSATION, AFTER)
    ),
    ("GET", "/api/conversations"): Operation(("unknown_field", "session_forbidden")),
    ("POST", "/api/conversations/{conversation_id}/grant-requests"): Operation(
        (*OF_PATHS, *OF_BODIES, "session_forbidden", "not_a_member", "key_id_mismatch"), conversations.GrantRequest
    ),
    ("POST", "/api/conversations/{conversation_id}/leave"): Operation(
        (
            *OF_PATHS,
            *OF_BODIES,
            *OF_STRUCTS,
            *("session_forbidden", "user_mismatch", "not_a_member", "bad_signature", "invalid_record"),
            "record_pending",
        ),
        conversations.LeaveConversation,
    ),
    ("POST", "/api/messages/encrypted"): Operation(
        (
            *OF_BODIES,
            *OF_STRUCTS,
            *("session_forbidden", "user_mismatch", "field_mismatch", "not_a_member", "invalid_message"),
            *("key_id_mismatch", "epoch_closed", "epoch_outdated", "message_id_conflict"),
        ),
        messages.SendMessages,
    ),
    ("GET", "/api/messages/encrypted"): Operation(
        (*OF_QUERIES, "session_forbidden", "not_a_member"), query=(CONVERSATION, AFTER, ("limit", LIMIT, False))
    ),
    ("POST", "/api/sync"): Operation(
        (*OF_BODIES, "wrong_length", "malformed", "session_forbidden", "not_a_member"), sync.Sync
    ),
    ("POST", "/api/reconcile/account"): Operation(
        (
            *OF_BODIES,
            *OF_STRUCTS,
            *("session_forbidden", "user_mismatch", "field_mismatch", "nothing_lacking", "no_such_account"),
            *("version_conflict", "invalid_account_record", "bad_signature", "reset_pending", "invalid_vault"),
        ),
        reconcile.ReconcileAccount,
    ),
    ("POST", "/api/reconcile/conversation"): Operation(
        (
            *OF_BODIES,
            *("wrong_length", "malformed", "session_forbidden", "nothing_lacking", "not_a_member", "version_conflict"),
        ),
        reconcile.ReconcileConversation,
    ),
}
