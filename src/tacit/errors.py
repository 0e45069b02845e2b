"""Every error that tacit raises, each with a stable code, an HTTP status and a remedy.

A class's docstring is the text that the person reads. The same codes are used in Python,
in HTTP problems (RFC 9457, `type` is `tacit:<code>`) and in other clients.
There is one root and three faults: `UsageError` (the caller), `PeerError` (bytes received)
and `ServiceError` (transport or storage).
"""

from __future__ import annotations

from typing import ClassVar


class TacitError(Exception):
    """tacit could not do this."""

    code: ClassVar[str] = ""
    status: ClassVar[int] = 500
    remedy: ClassVar[str] = ""

    def __init__(self, detail: str = "", /, **facts: object) -> None:
        """`detail` is for people and never holds a secret; `facts` are for programs."""
        super().__init__(detail)
        self.detail = detail
        self.facts = facts

    @classmethod
    def title(cls) -> str:
        """The class's docstring as one line."""
        return " ".join((cls.__doc__ or "").split())

    def __str__(self) -> str:
        return f"{self.title()} {self.detail}".strip()


class UsageError(TacitError):
    """This was asked for in a way that cannot work."""


class PeerError(TacitError):
    """Bytes that were received are not acceptable."""


class ServiceError(TacitError):
    """The network, the server or the storage failed."""


def concrete() -> dict[str, type[TacitError]]:
    """All error classes that have a code, by code."""
    found: dict[str, type[TacitError]] = {}
    waiting: list[type[TacitError]] = [TacitError]
    while waiting:
        cls = waiting.pop()
        waiting.extend(cls.__subclasses__())
        if "code" in cls.__dict__ and cls.code:
            assert cls.code not in found, cls.code
            found[cls.code] = cls
    return found


def from_code(code: str, detail: str = "", **facts: object) -> TacitError:
    """The error that a problem document names; an unknown code becomes `UnexpectedAnswer`."""
    cls = concrete().get(code)
    if cls is None:
        return UnexpectedAnswer(f"unknown problem code {code[:64]!r}")
    return cls(detail, **facts)


# --- bytes that cannot be parsed -------------------------------------------------------


class Malformed(PeerError):
    """The bytes are not a valid encoding of what they should be."""

    code = "malformed"
    status = 400
    remedy = "Send exactly the struct that the specification names."


class MalformedJson(PeerError):
    """The body is not the JSON that this endpoint takes."""

    code = "malformed_json"
    status = 400
    remedy = "Send a JSON object with the documented fields and types."


class UnknownField(PeerError):
    """The body has a field that this endpoint does not know."""

    code = "unknown_field"
    status = 400
    remedy = "Remove the field; its name is in the detail."


class Base64NotCanonical(PeerError):
    """A binary field is not canonical padded base64."""

    code = "base64_not_canonical"
    status = 400
    remedy = "Use standard base64 with padding, no white space and zero trailing bits."


class WrongLength(PeerError):
    """A value has the wrong length."""

    code = "wrong_length"
    status = 400
    remedy = "Check the sizes in the specification's table of limits."


class TooLarge(PeerError):
    """The value is larger than the limit."""

    code = "too_large"
    status = 413
    remedy = "Split it; the limits are in the answer of GET /api/server."


class HeaderTooLarge(PeerError):
    """The request's line and headers are too large or too many."""

    code = "header_too_large"
    status = 431
    remedy = "Send fewer headers; a proxy in between may add some."


class UnknownVersion(PeerError):
    """The struct has a version that this program does not know."""

    code = "unknown_version"
    status = 400
    remedy = "Update the program."


class SecretKeyRefused(PeerError):
    """A key field holds something that looks like a secret or foreign key; it was refused and not logged."""

    code = "secret_key_refused"
    status = 422
    remedy = "Publish only the exact public struct; treat the key that was sent as compromised."


class FieldMismatch(PeerError):
    """A JSON field differs from the signed struct beside it."""

    code = "field_mismatch"
    status = 422
    remedy = "Make the JSON fields from the signed struct."


# --- signatures, records, keys ---------------------------------------------------------


class BadSignature(PeerError):
    """A signature does not verify."""

    code = "bad_signature"
    status = 422
    remedy = "Nothing was taken. If this goes on, the sender's program or the server is broken or dishonest."


class InvalidAccountRecord(PeerError):
    """The account record breaks a rule of its chain."""

    code = "invalid_account_record"
    status = 422
    remedy = (
        "Nothing was taken. Received: keep to what you know, and ask the account's owner outside this chat. "
        "Sent by a program of yours: build it on the newest version by the specification's rules; the detail names one."
    )


class InvalidRecord(PeerError):
    """The conversation record breaks a rule that no honest client breaks."""

    code = "invalid_record"
    status = 422
    remedy = "The conversation is stopped; go on in a new one and keep the evidence."


class RecordPending(PeerError):
    """The conversation record cannot be judged yet."""

    code = "record_pending"
    status = 409
    remedy = "Sync again, or ask a member of the conversation whether the change is right."


class RecordOutdated(PeerError):
    """The conversation record does not name the newest state of its members."""

    code = "record_outdated"
    status = 409
    remedy = "Fetch the newest account records and build the record again."


class InvalidGrant(PeerError):
    """A grant does not belong to its epoch, granter or recipient."""

    code = "invalid_grant"
    status = 422
    remedy = "Ask another member of the conversation for the key."


class InvalidVault(PeerError):
    """The vault does not belong to this account record."""

    code = "invalid_vault"
    status = 422
    remedy = (
        "Nothing was taken. Received: the server or a device of the account wrote it: look at the account on a device "
        "that is signed in, revoke one that is not yours, and try again. Sent by a program of yours: build it by the "
        "specification's rules; the detail names one."
    )


class KeyIdMismatch(PeerError):
    """The key id is not that of the epoch's key."""

    code = "key_id_mismatch"
    status = 422
    remedy = "Fetch the conversation's newest epoch and seal the message again."


class InvalidMessage(PeerError):
    """The message contradicts itself or its conversation."""

    code = "invalid_message"
    status = 422
    remedy = "Nothing was taken; the detail names the rule."


class DecryptionError(PeerError):
    """These bytes do not open with this key."""

    code = "decryption_failed"
    status = 422
    remedy = "Nothing is known about why; ask the sender to send it again."


# --- sessions and requests -------------------------------------------------------------


class RequestUnsigned(PeerError):
    """The request carries no signature."""

    code = "request_unsigned"
    status = 401
    remedy = "Sign every request with the device's request key (RFC 9421)."


class RequestSignatureInvalid(PeerError):
    """The request's signature does not cover this request or does not verify."""

    code = "request_signature_invalid"
    status = 401
    remedy = "Sign exactly the components of the profile, for the configured authority."


class RequestReplayed(PeerError):
    """This signed request was received before."""

    code = "request_replayed"
    status = 401
    remedy = "Sign each request anew with a fresh nonce."


class ClockSkew(PeerError):
    """The request's time is too far from the server's."""

    code = "clock_skew"
    status = 401
    remedy = "Use the server's time in the answer as an offset for requests."


class SessionExpired(PeerError):
    """There is no such session, or it has ended."""

    code = "session_expired"
    status = 401
    remedy = "Sign in again."


class SessionForbidden(PeerError):
    """This session may not do that."""

    code = "session_forbidden"
    status = 403
    remedy = "Finish the registration or sign-in first."


class OriginRefused(PeerError):
    """A page of another origin may not open a WebSocket to this server."""

    code = "origin_refused"
    status = 403
    remedy = "On the server, set --origins to the origins of the pages that may."


class SignInRefused(PeerError):
    """The sign-in was refused."""

    code = "sign_in_refused"
    status = 401
    remedy = "Check the name, the password and the server."


class TooManyAttempts(PeerError):
    """Too many wrong passwords or recovery keys were tried: the next one is looked at later."""

    code = "too_many_attempts"
    status = 429
    remedy = "Wait that long (`retryAfter` seconds) and try again; a device that is signed in waits for itself only."


class UserMismatch(PeerError):
    """The user in the body is not the session's."""

    code = "user_mismatch"
    status = 403
    remedy = "Leave the field out or send the session's own user id."


class NotAMember(PeerError):
    """There is no such conversation, or you are not in it."""

    code = "not_a_member"
    status = 404
    remedy = "Ask an admin of the conversation to add you."


class NoSuchAccount(PeerError):
    """There is no such account."""

    code = "no_such_account"
    status = 404
    remedy = "Check the spelling of the user id."


class AccountExists(PeerError):
    """This name is taken."""

    code = "account_exists"
    status = 409
    remedy = "Choose another name, or sign in."


class VersionConflict(PeerError):
    """Another device wrote a newer version first."""

    code = "version_conflict"
    status = 409
    remedy = "Fetch the newest version, merge and try again."


class IdentityChanged(PeerError):
    """The account has another identity key than the one that was known: it was reset."""

    code = "identity_changed"
    status = 409
    remedy = "Ask the person by another way than this chat, then confirm the new identity."


class ProfileMismatch(UsageError):
    """The account has another profile than this client is configured for."""

    code = "profile_mismatch"
    remedy = (
        "Where you know that the account was made with the profile named, configure that one; else stay with yours."
    )


class NotConfirmed(UsageError):
    """A person has to look at the account's devices first, and did not confirm them."""

    code = "not_confirmed"
    remedy = "Compare version and devices with what you know of the account; then confirm."


class ResetPending(PeerError):
    """A reset of this account waits already."""

    code = "reset_pending"
    status = 409
    remedy = "Cancel it with the password or the recovery key, or ask once it has lapsed (`lapsesAt`)."


class EpochConflict(PeerError):
    """Another device opened this epoch first."""

    code = "epoch_conflict"
    status = 409
    remedy = "Fetch the newest record, build on it with a fresh key and try again."


class EpochClosed(PeerError):
    """The epoch is closed: a newer one is open."""

    code = "epoch_closed"
    status = 409
    remedy = "Fetch the newest epoch and seal the message again."


class EpochOutdated(PeerError):
    """The epoch names an account that has since revoked a device or was reset."""

    code = "epoch_outdated"
    status = 409
    remedy = "Open the next epoch, then seal the message again."


class MessageIdConflict(PeerError):
    """This client message id was used for other bytes."""

    code = "message_id_conflict"
    status = 409
    remedy = "Use a fresh client message id."


class NothingLacking(PeerError):
    """The server was not restored, or nothing of this can be missing there since: nothing is put back."""

    code = "nothing_lacking"
    status = 409
    remedy = "Nothing is to be done: send and change things as always."


class NotFound(PeerError):
    """There is nothing at this address."""

    code = "not_found"
    status = 404
    remedy = "Check the path against the documentation."


class MethodNotAllowed(PeerError):
    """This address does not take that method."""

    code = "method_not_allowed"
    status = 405
    remedy = "Check the method against the documentation."


# --- what an undecryptable message says of itself --------------------------------------


class NoGrant(PeerError):
    """You were not given the key of this epoch."""

    code = "no_grant"
    status = 422
    remedy = "Ask a member who was there to hand the key on, if the conversation's policy allows it."


class SenderNotCertified(PeerError):
    """The sending device is not certified for this epoch."""

    code = "sender_not_certified"
    status = 422
    remedy = "Ask the sender, outside this chat, whether the message is theirs."


class RecordMissing(PeerError):
    """The record of this message's epoch was not served."""

    code = "record_missing"
    status = 422
    remedy = "Sync again; if it stays, the server withholds it."


class MessageTampered(PeerError):
    """The message was changed after it was sent."""

    code = "message_tampered"
    status = 422
    remedy = "Ask the sender to send it again."


class Replayed(PeerError):
    """The message was already received once."""

    code = "replayed"
    status = 422
    remedy = "Nothing is lost: the first one is shown."


class LateAfterRemoval(PeerError):
    """The message arrived after its sender or device was removed."""

    code = "late_after_removal"
    status = 422
    remedy = "Ask the sender, outside this chat, whether it matters."


class UnsupportedSuite(PeerError):
    """The message needs a protocol, profile or suite that this program does not have."""

    code = "unsupported_suite"
    status = 422
    remedy = "Update the program."


# --- MLS groups ------------------------------------------------------------------------


class InvalidGroupMessage(PeerError):
    """A message of a group breaks a rule of RFC 9420."""

    code = "invalid_group_message"
    status = 422
    remedy = "Do not apply it; the group's state is as it was."


class WrongEpoch(PeerError):
    """A message belongs to another group, or to an epoch that is not kept here."""

    code = "wrong_epoch"
    status = 409
    remedy = "Process the commits in their order; what is older than the kept epochs is lost."


class KeyConsumed(PeerError):
    """The key of this message was used before, or is outside of the window."""

    code = "key_consumed"
    status = 409
    remedy = "It is a repetition, or too many messages were skipped."


class ProposalMissing(PeerError):
    """A commit names a proposal that was not received."""

    code = "proposal_missing"
    status = 409
    remedy = "Process the proposals of the epoch first."


class PskMissing(PeerError):
    """A pre-shared key that is needed is not known here."""

    code = "psk_missing"
    status = 409
    remedy = "Have the application give the key, and process the message again."


class GroupEnded(UsageError):
    """This member was removed, or the group was reinitialised."""

    code = "group_ended"
    status = 409
    remedy = "Join again, or go on in the group that follows."


# --- what the client refuses -----------------------------------------------------------


class ServerMisbehaved(PeerError):
    """The server contradicted what it or a member had signed before; the earlier state is kept."""

    code = "server_misbehaved"
    status = 502
    remedy = "Tell the other members outside this chat; the evidence is kept."


class ServerBehind(PeerError):
    """The server was restored from a backup, and has an earlier version of this than you hold; yours stays."""

    code = "server_behind"
    status = 409
    remedy = "Sync: what the server lacks is posted back to it."


class SendingBlocked(PeerError):
    """Nothing is sent in this conversation for now."""

    code = "sending_blocked"
    status = 409
    remedy = "The detail says what has to be settled first."


class NoRight(UsageError):
    """You may not make this change in this conversation."""

    code = "no_right"
    status = 403
    remedy = "Ask an admin of the conversation."


class CannotFollow(UsageError):
    """An account cannot take part under this conversation's profile."""

    code = "cannot_follow"
    status = 422
    remedy = "Leave it out, or choose a profile that all accounts have."


class ConversationNotFound(UsageError):
    """You have no conversation of this name."""

    code = "conversation_not_found"
    status = 404
    remedy = "List them with `tacit conversations`."


class NotSignedIn(UsageError):
    """Nobody is signed in."""

    code = "not_signed_in"
    status = 401
    remedy = "Sign in or register first."


class StoreLocked(UsageError):
    """The local store does not open with this password or belongs to someone else."""

    code = "store_locked"
    status = 401
    remedy = "Check the password and the store's path."


class NoKeychain(UsageError):
    """There is no keychain on this system that can be used."""

    code = "no_keychain"
    status = 409
    remedy = "Unlock the system's keychain (on Linux a Secret Service or KWallet), or use a passphrase instead."


class UserKeysNotFound(UsageError):
    """User keys not found: no account was registered in this store, or nobody signed in with it."""

    code = "user_keys_not_found"
    status = 404
    remedy = "Call generate_and_register_user_keys once for a new account, else sign_in with its store."


class NoKeyForUser(UsageError):
    """No key found for user: who is to read this has no account, or none that can be given a key."""

    code = "no_key_for_user"
    status = 404
    remedy = "The person registers first; the detail names who it is."


class WrongRecipients(UsageError):
    """The recipients are not the members of the conversation."""

    code = "wrong_recipients"
    status = 409
    remedy = "Name exactly the members; the detail says who is missing or too many. Add and remove members first."


class NotLoopback(UsageError):
    """Without TLS only loopback addresses are used."""

    code = "not_loopback"
    status = 400
    remedy = "Use https://, or 127.0.0.1, ::1 or localhost. A server listens elsewhere once it has a certificate."


class ServerNameMismatch(UsageError):
    """The server goes by another name than the one configured here."""

    code = "server_name_mismatch"
    status = 421
    remedy = "On the server, set --name to the host that the clients use."


class InvalidArgument(UsageError):
    """An argument has a value that cannot be used."""

    code = "invalid_argument"
    status = 400
    remedy = "The detail names it."


class DatabaseDamaged(UsageError):
    """The database is damaged; no copy of it was kept."""

    code = "database_damaged"
    status = 500
    remedy = "Keep the file; `tacit admin check` tells more of it. Go on from an earlier backup."


class DatabaseTooNew(UsageError):
    """The database was made by a newer version of tacit; nothing was changed."""

    code = "database_too_new"
    status = 500
    remedy = "Run the version that made it, or a newer one."


# --- service ---------------------------------------------------------------------------


class Unreachable(ServiceError):
    """The server cannot be reached."""

    code = "unreachable"
    status = 503
    remedy = "Check the address and the connection; what was written is kept and sent later."


class PinMismatch(ServiceError):
    """The server's key is not one of those that were pinned; nothing was sent."""

    code = "pin_mismatch"
    status = 502
    remedy = "Somebody may stand in between. Ask the operator for the pin by another way before you give a new one."


class CertificateRefused(ServiceError):
    """The server's certificate is not one that can be trusted; nothing was sent."""

    code = "certificate_refused"
    status = 502
    remedy = (
        "The detail says why. For a server that signs its certificate itself, give the pin that its operator tells."
    )


class UnexpectedAnswer(ServiceError):
    """The server's answer is not one that it should give."""

    code = "unexpected_answer"
    status = 502
    remedy = "Check that this is a tacit server of the same version."


class TooManyConnections(ServiceError):
    """The server has no room for another connection for now."""

    code = "too_many_connections"
    status = 503
    remedy = "Try again later; a program of yours keeps fewer connections open."


class TooManyHandshakes(ServiceError):
    """Too many WebSockets wait to say whose they are."""

    code = "too_many_handshakes"
    status = 503
    remedy = "Try again (`retryAfter` seconds); a program of yours answers the challenge at once."


class RequestTimeout(ServiceError):
    """The request did not arrive in time."""

    code = "request_timeout"
    status = 408
    remedy = "Nothing was looked at: send it again, all of it at once."


class TooManyRequests(ServiceError):
    """This device or address asks too often for now."""

    code = "too_many_requests"
    status = 429
    remedy = "Wait that long (`retryAfter` seconds) and send it again; nothing was looked at."


class Internal(ServiceError):
    """The server failed; nothing was written."""

    code = "internal"
    status = 500
    remedy = "Try again; the operator finds the cause in the server's log."


class StorageFull(ServiceError):
    """The server's disk is full; nothing was written."""

    code = "storage_full"
    status = 507
    remedy = "What was written is kept and sent later; the operator makes room, and need not start the server again."


class StoreFailed(ServiceError):
    """The local store cannot be read or written; the state before is kept."""

    code = "store_failed"
    status = 500
    remedy = "Check the disk's free space and the file's permissions."
