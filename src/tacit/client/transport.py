"""HTTP to the server: every request signed, every answer read strictly, every problem an error of `errors`."""

from __future__ import annotations

import base64
import copy
import ipaddress
import socket
from collections.abc import Collection, Sequence
from typing import Any, Final, TypeVar, final
from urllib.parse import quote, urlencode

import httpx2

from tacit import errors
from tacit.api import accounts, auth, conversations, messages, reconcile, sync
from tacit.api.base import INCARNATION_HEADER, to_json_bytes
from tacit.api.problems import read_problem
from tacit.client.answers import read_answer
from tacit.client.timing import Clock, Sleep, backoff, told_seconds
from tacit.client.tls import NO_TLS, context_for, refusal
from tacit.crypto.digest import sha256
from tacit.crypto.secret import Randomness, Secret, revealed_key
from tacit.identity.keys import SigningKey
from tacit.signed.account import device_id_of
from tacit.signed.origin import Origin, parse_origin
from tacit.signed.record import DAY
from tacit.signed.request import SocketChallenge, sign_challenge, sign_request
from tacit.wire import limits
from tacit.wire.text import to_base64

T = TypeVar("T")

ATTEMPTS: Final = 4
TIMEOUT_SECONDS: Final = 30.0
LIFETIME_SECONDS: Final = 50
"""How long a request's signature holds: under the profile's 60, so that rounding never makes it too long."""
LARGEST_OFFSET: Final = DAY
"""Milliseconds that a server's clock may be away from this device's."""
NONCE_BYTES: Final = 18
ANSWER_BYTES: Final = 64 * limits.MIB
"""The longest answer that is read: a page of the largest messages, in base64."""
CARRIES_KEY: Final = frozenset({"/api/auth/register", "/api/auth/session", "/api/auth/unlocker", "/api/auth/unlock"})
"""Where a POST carries the key that it is signed with, and no session."""
BUSY: Final = frozenset({408, 502, 503, 504})


@final
class EncryptionAPIClient:
    """The endpoints of one server, as one device uses them: a method an endpoint, named as it.

    The name is the HTTP method and the path after `/api`, joined by `_`; a parameter of the path is left out, and at
    the path's end it is `one`: `POST /api/conversations/{id}/leave` is `post_conversations_leave`.

    Plain HTTP is for loopback alone: raises `NotLoopback`, and `InvalidArgument` for what is no URL. `pins` are the
    keys that the server may have over TLS; without any, its certificate is verified by the system's authorities.
    `server_name` is the configured one; by default the URL's host. Every method raises `PinMismatch` or
    `CertificateRefused`, before anything is sent, for a server that is another.
    """

    def __init__(
        self,
        url: str,
        *,
        pins: Collection[str] = (),
        server_name: str | None,
        clock: Clock,
        random: Randomness,
        sleep: Sleep,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        found = checked_origin(url)
        self.origin, self.authority = str(found), found.authority
        self.url = httpx2.URL(self.origin)
        self.tls = context_for(found, pins)
        self.server_name = server_name or found.host
        self.incarnation = ""
        self._clock = clock
        self._random = random
        self._sleep = sleep
        self._offset = 0
        self._http = httpx2.AsyncClient(
            transport=transport,
            timeout=TIMEOUT_SECONDS,
            follow_redirects=False,
            trust_env=False,
            verify=self.tls or NO_TLS,
        )
        self._user_id = ""
        self._key: SigningKey | None = None
        self.device_id = ""
        self.token = ""
        self._renews = True

    def aside(self) -> EncryptionAPIClient:
        """Another session over the same connections, for what needs an unlocker; it is not closed by itself.

        Once it ended there is no other in its place without the unlocker: then `SessionExpired` is raised.
        """
        found = copy.copy(self)
        found.token, found._key, found._renews = "", None, False
        return found

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    # --- the server and sessions -----------------------------------------------------

    async def get_server(self) -> auth.ServerInfo:
        """What the server says of itself; raises `ServerNameMismatch` where its name is not the configured one."""
        info = await self._request("GET", "/api/server", auth.ServerInfo, signed=False)
        check_server_name(self.server_name, info.name)
        return info

    async def post_auth_register(self, user_id: str, key: SigningKey) -> None:
        """Open a registration session for a new account's first device; raises `AccountExists`."""
        await self._open("/api/auth/register", auth.OpenSession(user_id, to_base64(key.public)), key)

    async def post_auth_session(self, user_id: str, key: SigningKey) -> None:
        """Open a session of a certified device; raises `SignInRefused`."""
        await self._open("/api/auth/session", auth.OpenSession(user_id, to_base64(key.public)), key)

    async def post_auth_unlocker(self, user_id: str, key: SigningKey, kind: str) -> auth.UnlockerFound:
        """What is needed to derive an unlocker's secret, `password` or `recovery_key`; for a stranger it is made up."""
        body = auth.FindUnlocker(user_id, to_base64(key.public), kind)
        self._become(user_id, key)
        return await self._request("POST", "/api/auth/unlocker", auth.UnlockerFound, body)

    async def post_auth_unlock(self, user_id: str, key: SigningKey, unlocker_id: str, proof: Secret) -> None:
        """Open a provisional session for a new device against an unlocker's proof, 32 bytes.

        All devices of the account are told, of a wrong proof too: it is not repeated by itself. Raises `SignInRefused`,
        and `TooManyAttempts` where the proof was not looked at: `facts["retryAfter"]` says for how many seconds.
        """
        body = auth.Unlock(user_id, to_base64(key.public), unlocker_id, to_base64(revealed_key(proof)))
        await self._open("/api/auth/unlock", body, key, repeats=False)

    async def delete_auth_session(self) -> None:
        """End the session."""
        if self.token:
            await self._request("DELETE", "/api/auth/session", auth.Done)
            self.token = ""

    async def renew(self) -> None:
        """Open another session in the place of one that ended; raises `NotSignedIn` where there was none."""
        if self._key is None:
            raise errors.NotSignedIn()
        await self.post_auth_session(self._user_id, self._key)

    async def _open(
        self, path: str, body: auth.OpenSession | auth.Unlock, key: SigningKey, *, repeats: bool = True
    ) -> None:
        self._become(body.user_id, key)
        self.token = (await self._request("POST", path, auth.Session, body, repeats=repeats)).token

    def _become(self, user_id: str, key: SigningKey) -> None:
        """Sign as this device from now on; another's session is not its own."""
        if self._key is not key:
            self.token = ""
        self._user_id, self._key = user_id, key
        self.device_id = device_id_of(user_id, key.public)

    def answer_challenge(self, nonce: bytes) -> sync.Hello:
        """The first frame of a WebSocket: this session and device, signed over the server's nonce of 32 bytes."""
        if self._key is None or not self.token:
            raise errors.NotSignedIn()
        challenge = SocketChallenge(self.origin, sha256(self.token.encode()), self.device_id, nonce)
        return sync.Hello(self.token, self.device_id, to_base64(sign_challenge(challenge, self._key.sign)))

    # --- accounts --------------------------------------------------------------------

    async def post_encryption_keys_generate(self, body: accounts.GenerateKeys) -> accounts.Published:
        """Publish a version of one's account, or let a reset wait; raises `VersionConflict` and `ResetPending`."""
        return await self._request("POST", "/api/encryption/keys/generate", accounts.Published, body, repeats=False)

    async def get_encryption_keys_public(self, users: Sequence[str], after: int) -> accounts.PublicKeys:
        """All versions after `after` of these users' accounts; raises `NoSuchAccount`."""
        query = [*(("userId", user) for user in users), ("after", str(after))]
        return await self._request("GET", "/api/encryption/keys/public", accounts.PublicKeys, query=query)

    async def get_encryption_keys_private(self) -> accounts.PrivateKeys:
        """One's own vault, as a device's session may have it."""
        return await self._request("GET", "/api/encryption/keys/private", accounts.PrivateKeys)

    async def post_encryption_keys_private(self, body: accounts.StoreOuter) -> accounts.Written:
        """Store the next outer part of one's vault; raises `VersionConflict`."""
        path = "/api/encryption/keys/private"
        return await self._request("POST", path, accounts.Written, body, repeats=False)

    # --- conversations ---------------------------------------------------------------

    async def post_encryption_conversation_keys(
        self, body: conversations.ConversationKeys
    ) -> conversations.EpochWritten:
        """Open the next epoch, or add grants; raises `EpochConflict` and `RecordOutdated`.

        It is repeated as it is: where the first one arrived, the answer is a conflict with one's own record.
        """
        return await self._request("POST", "/api/encryption/conversation/keys", conversations.EpochWritten, body)

    async def get_encryption_conversation_keys(self, conversation_id: str, after: int) -> conversations.Epochs:
        """The epochs after `after`, at most 500, with one's own grants."""
        query = [("conversationId", conversation_id), ("after", str(after))]
        path = "/api/encryption/conversation/keys"
        return await self._request("GET", path, conversations.Epochs, query=query)

    async def post_encryption_conversation_members(
        self, body: conversations.ConversationKeys
    ) -> conversations.EpochWritten:
        """`post_encryption_conversation_keys` by its other name."""
        return await self._request("POST", "/api/encryption/conversation/members", conversations.EpochWritten, body)

    async def delete_encryption_conversation_members(
        self, body: conversations.ConversationKeys
    ) -> conversations.EpochWritten:
        """`post_encryption_conversation_keys` by its other name."""
        return await self._request("DELETE", "/api/encryption/conversation/members", conversations.EpochWritten, body)

    async def get_conversations(self) -> conversations.Conversations:
        """The conversations that the server knows this account in; clients go by the account's stream instead."""
        return await self._request("GET", "/api/conversations", conversations.Conversations)

    async def post_conversations_grant_requests(
        self, conversation_id: str, body: conversations.GrantRequest
    ) -> auth.Done:
        """Ask the other members of an epoch for its key."""
        path = f"/api/conversations/{quote(conversation_id, safe='')}/grant-requests"
        return await self._request("POST", path, auth.Done, body)

    async def post_conversations_leave(self, conversation_id: str, body: conversations.LeaveConversation) -> auth.Done:
        """Ask to be taken out of a conversation."""
        path = f"/api/conversations/{quote(conversation_id, safe='')}/leave"
        return await self._request("POST", path, auth.Done, body)

    async def post_messages_encrypted(self, body: messages.SendMessages) -> messages.Sent:
        """Send one sealed message; idempotent by its client message id."""
        return await self._request("POST", "/api/messages/encrypted", messages.Sent, body)

    async def get_messages_encrypted(self, conversation_id: str, after: int, limit: int = limits.PAGE) -> messages.Page:
        """Messages and records after a `seq`."""
        query = [("conversationId", conversation_id), ("after", str(after)), ("limit", str(limit))]
        return await self._request("GET", "/api/messages/encrypted", messages.Page, query=query)

    async def post_sync(self, body: sync.Sync) -> sync.Synced:
        """Everything after these cursors, in one page of each."""
        return await self._request("POST", "/api/sync", sync.Synced, body)

    async def post_reconcile_account(self, body: reconcile.ReconcileAccount) -> reconcile.AccountReconciled:
        """Post back what a restored server may lack of an account; raises `NothingLacking`, `VersionConflict`."""
        return await self._request("POST", "/api/reconcile/account", reconcile.AccountReconciled, body)

    async def post_reconcile_conversation(self, body: reconcile.ReconcileConversation) -> reconcile.Reconciled:
        """Post back what a restored server may lack of a conversation; raises `NothingLacking` and `NotAMember`."""
        return await self._request("POST", "/api/reconcile/conversation", reconcile.Reconciled, body)

    # --- one request -----------------------------------------------------------------

    async def _request(
        self,
        method: str,
        path: str,
        answer: type[T],
        body: object = None,
        *,
        query: Sequence[tuple[str, str]] = (),
        signed: bool = True,
        repeats: bool = True,
    ) -> T:
        """One request and its answer; with `repeats` it may be sent again when its outcome is unknown.

        A request that the server refused for its clock or for an ended session was not looked at: it is signed anew
        and sent once more; as is one that was too many, after as long as the server says, up to a minute each time.
        The server's clock is kept once a request was taken by it.
        """
        content = to_json_bytes(body) if body is not None else b""
        mended: set[str] = set()
        offset = self._offset
        attempt = 0
        while True:
            try:
                status, raw = await self._once(method, path, query, content, signed, offset)
            except errors.Unreachable as error:
                attempt += 1
                if not repeats or attempt == ATTEMPTS:
                    raise
                await self._sleep(told_seconds(error.facts.get("retryAfter")) + backoff(attempt - 1, self._random))
                continue
            if 200 <= status < 300:
                if errors.ClockSkew.code in mended:
                    self._offset = offset
                found: T = read_answer(answer, raw)
                return found
            problem = read_problem(raw)
            if isinstance(problem, errors.TooManyRequests) and attempt + 1 < ATTEMPTS:
                await self._sleep(told_seconds(problem.facts.get("retryAfter")) + backoff(attempt, self._random))
                attempt += 1  # it was not looked at, so that it may be repeated whatever it is
                continue
            if problem.code in mended:
                raise problem
            if isinstance(problem, errors.ClockSkew):
                offset = offset_of(problem, self._clock())
            elif not await self._mend(problem, path):
                raise problem
            mended.add(problem.code)

    async def _mend(self, problem: errors.TacitError, path: str) -> bool:
        """Whether the cause of a refusal was put right, so that the request may be sent once more."""
        if isinstance(problem, errors.SessionExpired) and self._renews and self.token and path not in CARRIES_KEY:
            await self.renew()
            return True
        return False

    async def _once(
        self, method: str, path: str, query: Sequence[tuple[str, str]], content: bytes, signed: bool, offset: int
    ) -> tuple[int, bytes]:
        encoded = urlencode(query, quote_via=quote)
        url = self.url.copy_with(raw_path=path.encode() + (b"?" + encoded.encode() if encoded else b""))
        headers = {"Accept-Encoding": "identity", "Accept": "application/json"}
        if content:
            headers["Content-Type"] = "application/json"
        if signed:
            headers |= self._signature(method, path, encoded, content, offset)
            if self.token and (method != "POST" or path not in CARRIES_KEY):
                headers["Authorization"] = f"Bearer {self.token}"
        request = self._http.build_request(method, url, content=content or None, headers=headers)
        try:
            response = await self._http.send(request, stream=True)
            try:
                raw = await read_limited(response.aiter_raw())
            finally:
                await response.aclose()
        except httpx2.HTTPError as error:
            unreachable = errors.Unreachable(f"{self.authority}: {type(error).__name__}")
            raise refusal(error, self.authority) or unreachable from None
        if response.status_code in BUSY:
            told = told_seconds(response.headers.get("retry-after"))
            raise errors.Unreachable(f"{self.authority} answers {response.status_code}", retryAfter=told)
        self.incarnation = response.headers.get(INCARNATION_HEADER, self.incarnation)
        return response.status_code, raw

    def _signature(self, method: str, path: str, query: str, content: bytes, offset: int) -> dict[str, str]:
        if self._key is None:
            raise errors.NotSignedIn()
        created = (self._clock() + offset) // 1000
        nonce = base64.urlsafe_b64encode(self._random(NONCE_BYTES)).decode("ascii")
        return sign_request(
            method,
            self.authority,
            path,
            query,
            content,
            key_id=self.device_id,
            created=created,
            expires=created + LIFETIME_SECONDS,
            nonce=nonce,
            signer=self._key.sign,
        )


def offset_of(problem: errors.ClockSkew, now: int) -> int:
    """What to add to one's own time so that the server takes a request; raises the problem itself above a day.

    Whoever serves a time could have requests signed that hold then: far from now there is no honest reason for it.
    """
    time = problem.facts.get("time")
    if type(time) is not int or time < 0 or abs(time - now) > LARGEST_OFFSET:
        raise errors.ClockSkew("the server's clock and this device's are more than a day apart")
    return time - now


def checked_origin(url: str) -> Origin:
    """A server's address; raises `InvalidArgument`, and `NotLoopback` for plain HTTP to elsewhere."""
    found = parse_origin(url)
    if found.scheme == "http":
        check_loopback(found.host)
    return found


def check_loopback(host: str) -> None:
    """Raises `NotLoopback` unless the address is this machine's; `localhost` has to lead nowhere else."""
    addresses = addresses_of(host)
    if not addresses or not all(ipaddress.ip_address(each).is_loopback for each in addresses):
        raise errors.NotLoopback(host)


def addresses_of(host: str) -> set[str]:
    """The addresses of this machine's own name `localhost`, whatever its files say, or of an address; else none."""
    if host != "localhost":
        try:
            return {str(ipaddress.ip_address(host))}
        except ValueError:
            return set()
    try:
        return {str(found[4][0]).partition("%")[0] for found in socket.getaddrinfo(host, None)}
    except OSError:
        return set()


def check_server_name(configured: str, served: str) -> None:
    """Raises `ServerNameMismatch` without the server's word: it must not become a proposal."""
    if served != configured:
        raise errors.ServerNameMismatch(f"it is not {configured!r}")


async def read_limited(chunks: Any) -> bytes:
    """An answer's whole body; raises `UnexpectedAnswer` above 64 MiB."""
    found = bytearray()
    async for chunk in chunks:
        found += chunk
        if len(found) > ANSWER_BYTES:
            raise errors.UnexpectedAnswer("the answer is too long")
    return bytes(found)
