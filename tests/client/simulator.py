"""A server in memory for the client's tests: what is said on the wire and the rules that the client relies on.

An ASGI application of its own, without the product's server, so that the client can be tested alone. It checks what the
client sends: signatures of requests, account records, vaults, conversation records by both rule sets, grants' form.
"""

from __future__ import annotations

import base64
import itertools
from collections import defaultdict
from collections.abc import Callable
from typing import Any, NamedTuple, cast
from urllib.parse import parse_qs, unquote

import msgspec

from signed.chains import follow
from tacit import errors
from tacit.api import accounts, auth, conversations, messages, sync
from tacit.api.base import binary, read, to_json_bytes
from tacit.api.problems import to_problem
from tacit.crypto.digest import sha256
from tacit.identity import unlockers
from tacit.signed.account import (
    AccountRecord,
    AccountSignatures,
    EncryptionKeys,
    account_hash,
    certificate,
    device_id_of,
    sign_record,
    verify_first,
    verify_next,
)
from tacit.signed.grant import SignedGrant
from tacit.signed.message import from_fields, verify_message
from tacit.signed.record import ConversationRecord, SignedLeave
from tacit.signed.request import SocketChallenge, read_signature, verify_challenge, verify_request
from tacit.signed.rights import ChainState, check_leave, check_standing
from tacit.signed.taking import check_taking
from tacit.signed.vault import Outer, Vault, check_vault, verify_outer_next
from tacit.signed.verify import Verified
from tacit.wire import limits
from tacit.wire.codec import decode, encode
from tacit.wire.text import to_base64

INCARNATION = "first"
NONCE = bytes(range(32))


class Session(NamedTuple):
    """Who a token stands for."""

    user_id: str
    request_key: bytes


class Account(NamedTuple):
    """A registered account, its records oldest first."""

    records: list[Verified[AccountRecord]]
    versions: list[accounts.AccountVersion]
    vault: Vault
    headers: list[accounts.SignedHeader]


class Talk:
    """One conversation; an item comes with the grants of its record by recipient."""

    def __init__(self) -> None:
        self.state: ChainState | None = None
        self.items: list[tuple[messages.Item, dict[str, str]]] = []
        self.removed: dict[str, int] = {}
        self.leaves: dict[str, SignedLeave] = {}


class Simulator:
    """The server. `authority` is set once it is known where it listens."""

    def __init__(self, clock: Callable[[], int], authority: str = "127.0.0.1:8080") -> None:
        self.clock = clock
        self.authority = authority
        self.accounts: dict[str, Account] = {}
        self.sessions: dict[str, Session] = {}
        self.talks: dict[str, Talk] = {}
        self.events: dict[str, list[sync.AccountEvent]] = defaultdict(list)
        self.outer: dict[str, Outer] = {}
        self.sockets: list[tuple[str, Callable[[bytes], Any], Callable[[], Any]]] = []
        self.silent = False
        self.versions_a_page = 100
        self._pushes: list[tuple[set[str], bytes]] = []
        self._nonces: set[str] = set()
        self._numbers = itertools.count(1)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
        elif scope["type"] == "websocket":
            await self._socket(receive, send)
        else:
            body = b""
            while True:
                part = await receive()
                body += part.get("body", b"")
                if not part.get("more_body"):
                    break
            status, answer = self._respond(scope, body)
            headers = [(b"content-type", b"application/json"), (b"tacit-incarnation", INCARNATION.encode())]
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": answer})
            await self._push()

    async def _push(self) -> None:
        waiting, self._pushes = self._pushes, []
        for users, frame in waiting:
            for user, say, _ in list(self.sockets):
                if user in users and not self.silent:
                    await say(frame)

    async def hang_up(self) -> None:
        """Close all sockets."""
        for _, _, close in list(self.sockets):
            await close()

    def _respond(self, scope: Any, body: bytes) -> tuple[int, bytes]:
        path = cast(bytes, scope["raw_path"]).decode().partition("?")[0]
        try:
            return 200, to_json_bytes(self._route(scope, path, body))
        except errors.TacitError as error:
            return error.status, to_json_bytes(to_problem(error))

    def _route(self, scope: Any, path: str, body: bytes) -> object:
        method, query = scope["method"], scope["query_string"].decode()
        if (method, path) == ("GET", "/api/server"):
            return auth.ServerInfo("127.0.0.1", self.authority, "0", INCARNATION, self.clock(), {}, ["standard"])
        opens = method == "POST" and path in ("/api/auth/register", "/api/auth/session")
        headers = [(name.decode(), value.decode()) for name, value in scope["headers"]]
        if opens:
            wish = read(auth.OpenSession, body)
            session = Session(wish.user_id, binary(wish.request_key))
        else:
            session = self._session(dict(headers))
        signed = read_signature(headers)
        now = self.clock() // 1000
        verify_request(signed, method, self.authority, path, query, body, public=session.request_key, now=now)
        if signed.key_id != device_id_of(*session) or signed.nonce in self._nonces:
            raise errors.RequestReplayed
        self._nonces.add(signed.nonce)
        if opens:
            return self._open(path, session)
        return self._handle(method, path, parse_qs(query), body, session, dict(headers))

    def _session(self, headers: dict[str, str]) -> Session:
        token = headers.get("authorization", "").removeprefix("Bearer ")
        if token not in self.sessions:
            raise errors.SessionExpired
        return self.sessions[token]

    def _open(self, path: str, session: Session) -> auth.Session:
        account = self.accounts.get(session.user_id)
        device_id = device_id_of(*session)
        if path.endswith("register"):
            if account is not None:
                raise errors.AccountExists
        elif account is None or certificate(account.records[-1].value, device_id) is None:
            raise errors.SignInRefused
        token = f"token {next(self._numbers)}"
        self.sessions[token] = session
        return auth.Session(token, 0, device_id)

    def _handle(
        self,
        method: str,
        path: str,
        query: dict[str, list[str]],
        body: bytes,
        session: Session,
        headers: dict[str, str],
    ) -> object:
        user = session.user_id
        match method, path.split("/")[2:]:
            case "DELETE", ["auth", "session"]:
                del self.sessions[headers["authorization"].removeprefix("Bearer ")]
                return auth.Done(True)
            case "POST", ["encryption", "keys", "generate"]:
                return self._publish(user, read(accounts.GenerateKeys, body))
            case "GET", ["encryption", "keys", "public"]:
                return accounts.PublicKeys([self._versions(each, int(query["after"][0])) for each in query["userId"]])
            case "GET", ["encryption", "keys", "private"]:
                return self._private(user)
            case "POST", ["encryption", "keys", "private"]:
                return self._store_outer(user, read(accounts.StoreOuter, body))
            case "POST", ["encryption", "conversation", "keys"]:
                return self._open_epoch(session, read(conversations.ConversationKeys, body))
            case "POST", ["conversations", conversation_id, "leave"]:
                return self._leave(unquote(conversation_id), user, read(conversations.LeaveConversation, body))
            case "POST", ["messages", "encrypted"]:
                return self._send(user, read(messages.SendMessages, body))
            case "GET", ["messages", "encrypted"]:
                return self._page(user, query["conversationId"][0], int(query["after"][0]), int(query["limit"][0]))
            case "POST", ["sync"]:
                return self._sync(user, read(sync.Sync, body))
        raise errors.NotFound

    # --- accounts --------------------------------------------------------------------

    def _publish(self, user: str, body: accounts.GenerateKeys) -> accounts.Written:
        if user in self.accounts:
            raise errors.VersionConflict
        record = decode(AccountRecord, binary(body.record))
        verified = verify_first(record, decode(AccountSignatures, binary(body.signature)))
        vault = decode(Vault, binary(body.encrypted_private_key), limits.VAULT_BYTES)
        check_vault(record, vault)
        assert (record.user_id, body.key_id) == (user, account_hash(record).hex())
        version = accounts.AccountVersion(1, body.key_id, body.public_key, body.record, body.signature)
        header = accounts.SignedHeader(to_base64(encode(vault.outer.header)), to_base64(vault.outer.signature))
        self.accounts[user] = Account([verified], [version], vault, [header])
        self.outer[user] = vault.outer
        return accounts.Written(True, body.key_id)

    def _versions(self, user: str, after: int) -> accounts.AccountVersions:
        if user not in self.accounts:
            raise errors.NoSuchAccount(user)
        found = [each for each in self.accounts[user].versions if each.version > after]
        return accounts.AccountVersions(user, found[: self.versions_a_page], len(found) > self.versions_a_page)

    def _private(self, user: str) -> accounts.PrivateKeys:
        account = self.accounts[user]
        return accounts.PrivateKeys(
            user,
            account.versions[-1].key_id,
            account.versions[-1].version,
            to_base64(encode(account.vault.boxes)),
            to_base64(encode(self.outer[user])),
            account.headers,
        )

    def _store_outer(self, user: str, body: accounts.StoreOuter) -> accounts.Written:
        outer = decode(Outer, binary(body.encrypted_private_key), limits.VAULT_BYTES)
        before = self.outer[user].header
        if outer.header.version != before.version + 1:
            raise errors.VersionConflict
        verify_outer_next(self.accounts[user].records[-1].value, before, outer)
        self.outer[user] = outer
        header = accounts.SignedHeader(to_base64(encode(outer.header)), to_base64(outer.signature))
        self.accounts[user].headers.append(header)
        return accounts.Written(True, body.key_id)

    def _named(self, user: str, hash_named: bytes) -> Verified[AccountRecord] | None:
        records = self.accounts[user].records if user in self.accounts else []
        return next((each for each in records if account_hash(each.value) == hash_named), None)

    def _newest(self, user: str) -> Verified[AccountRecord] | None:
        return self.accounts[user].records[-1] if user in self.accounts else None

    def follow(self, user: str, password: str, change: Callable[[AccountRecord], AccountRecord]) -> None:
        """The next version of an account, made as its owner would with an unlocker."""
        account = self.accounts[user]
        before = account.records[-1]
        old = before.value
        whose = unlockers.Account(old.server_name, user, old.profile, old.aik)
        bounds = unlockers.KdfBounds((8, 65536), (1, 3), (1, 4))
        opened = unlockers.open_with_password(whose, account.vault.inner, unlockers.password_bytes(password), bounds)
        record = change(follow(old, account.vault.inner, account.vault.boxes))
        signatures = sign_record(record, opened.aik.sign)
        account.records.append(verify_next(before, record, signatures))
        account.versions.append(
            accounts.AccountVersion(
                record.version,
                account_hash(record).hex(),
                to_base64(encode(EncryptionKeys(record.encryption_keys))),
                to_base64(encode(record)),
                to_base64(encode(signatures)),
            )
        )

    # --- conversations ---------------------------------------------------------------

    def _open_epoch(self, session: Session, body: conversations.ConversationKeys) -> conversations.EpochWritten:
        assert isinstance(body.record, str)
        assert isinstance(body.signature, str)
        talk = self.talks.setdefault(body.conversation_id, Talk())
        for item, _ in talk.items:
            if isinstance(item, messages.RecordItem) and item.record == body.record:
                return conversations.EpochWritten(True, body.key_id, item.epoch, item.seq)
        record = decode(ConversationRecord, binary(body.record))
        before = talk.state
        if record.epoch != (before.head.epoch + 1 if before is not None else 1):
            raise errors.EpochConflict(epoch=record.epoch)
        _, state = check_standing(before, record, binary(body.signature), self._named)
        check_taking(before, record, self._newest, talk.leaves.values())
        roster = state.roster()
        grants = {each.user_id: each.encrypted_key for each in body.encrypted_keys}
        assert (record.conversation_id, record.key_id.hex()) == (body.conversation_id, body.key_id)
        assert record.opener.user_id == session.user_id
        assert list(grants) == body.member_ids == list(roster)
        for user, grant in grants.items():
            assert decode(SignedGrant, binary(grant)).grant.recipient == user
        gone = set(before.roster() if before is not None else ()) - set(roster)
        talk.state = state
        seq = len(talk.items) + 1
        item = messages.RecordItem(
            seq, self.clock(), record.epoch, body.key_id, "envelope", body.record, body.signature, []
        )
        self._append(body.conversation_id, talk, item, grants)
        for user in gone:
            talk.removed[user] = seq
            talk.leaves.pop(user, None)
        for user in [*roster, *gone]:
            kind = "removed" if user in gone else "conversation"
            talk.removed.pop(user, None) if kind == "conversation" else None
            self._tell(user, kind, {"conversationId": body.conversation_id, "epoch": record.epoch})
        return conversations.EpochWritten(True, body.key_id, record.epoch, seq)

    def _append(self, conversation_id: str, talk: Talk, item: messages.Item, grants: dict[str, str]) -> None:
        talk.items.append((item, grants))
        assert talk.state is not None
        for user in talk.state.roster():
            push = sync.ItemPush(conversation_id, self._seen_by(user, item, grants))
            self._pushes.append(({user}, to_json_bytes(push)))

    def _tell(self, user: str, kind: str, body: dict[str, Any]) -> None:
        stream = self.events[user]
        stream.append(sync.AccountEvent(len(stream) + 1, kind, body, self.clock()))
        self._pushes.append(({user}, to_json_bytes(sync.AccountPush(len(stream)))))

    def _leave(self, conversation_id: str, user: str, body: conversations.LeaveConversation) -> auth.Done:
        talk = self.talks[conversation_id]
        signed = decode(SignedLeave, binary(body.leave))
        assert talk.state is not None
        check_leave(talk.state, signed, self._named)
        talk.leaves[user] = signed
        for other in talk.state.roster():
            if other != user:
                self._tell(other, "leave", {"conversationId": conversation_id, "leave": body.leave})
        return auth.Done(True)

    def _send(self, user: str, body: messages.SendMessages) -> messages.Sent:
        assert not isinstance(body.encrypted_payload, msgspec.UnsetType)
        payload = body.encrypted_payload
        talk = self.talks.get(body.conversation_id)
        if talk is None or talk.state is None or user not in talk.state.roster():
            raise errors.NotAMember
        for item, _ in talk.items:
            if isinstance(item, messages.MessageItem) and _name(item.encrypted_payload) == _name(payload):
                if item.encrypted_payload != payload:
                    raise errors.MessageIdConflict
                return messages.Sent(True, payload.key_id, item.seq, item.created_at)
        if payload.epoch != talk.state.head.epoch:
            raise errors.EpochClosed
        message, signature = from_fields(msgspec.to_builtins(payload))
        account = self.accounts[user].records[-1].value
        device = certificate(account, payload.device_id)
        assert device is not None
        assert payload.sender_id == user
        assert message.aad.key_id == talk.state.head.key_id
        verify_message(message, signature, device.request_key, account.profile)
        item = messages.MessageItem(len(talk.items) + 1, self.clock(), payload)
        self._append(body.conversation_id, talk, item, {})
        return messages.Sent(True, payload.key_id, item.seq, item.created_at)

    def _seen_by(self, user: str, item: messages.Item, grants: dict[str, str]) -> messages.Item:
        if isinstance(item, messages.RecordItem) and user in grants:
            granter = decode(SignedGrant, binary(grants[user])).grant.granter
            granted = conversations.Grant(user, grants[user], f"{granter.user_id}/{granter.device_id}")
            return msgspec.structs.replace(item, encrypted_keys=[granted])
        return item

    def _page(self, user: str, conversation_id: str, after: int, limit: int) -> messages.Page:
        talk = self.talks.get(conversation_id)
        if talk is None or talk.state is None:
            raise errors.NotAMember
        last = talk.removed.get(user, len(talk.items))
        if user not in talk.state.roster() and user not in talk.removed:
            raise errors.NotAMember
        found = [self._seen_by(user, *each) for each in talk.items[after:last]]
        page = found[:limit]
        return messages.Page(page, page[-1].seq if page else after, len(found) > limit)

    def _sync(self, user: str, body: sync.Sync) -> sync.Synced:
        events = self.events[user][body.account_cursor :]
        cursor = events[-1].seq if events else body.account_cursor
        pages = {each: self._page(user, each, after, limits.PAGE) for each, after in body.conversations.items()}
        return sync.Synced(sync.AccountPage(cursor, False, events), pages)

    # --- the socket ------------------------------------------------------------------

    async def _socket(self, receive: Any, send: Any) -> None:
        async def say(frame: bytes) -> None:
            await send({"type": "websocket.send", "text": frame.decode()})

        async def close() -> None:
            await send({"type": "websocket.close", "code": 1012})

        await receive()
        await send({"type": "websocket.accept"})
        await say(to_json_bytes(sync.Challenge(to_base64(NONCE))))
        hello = msgspec.json.decode((await receive())["text"], type=sync.Hello)
        if hello.token not in self.sessions:
            await say(to_json_bytes(sync.ProblemFrame("", to_problem(errors.SessionExpired()))))
            await close()
            return
        session = self.sessions[hello.token]
        challenge = SocketChallenge(f"http://{self.authority}", sha256(hello.token.encode()), hello.device_id, NONCE)
        verify_challenge(challenge, base64.b64decode(hello.signature), session.request_key)
        await say(to_json_bytes(sync.Welcome(INCARNATION)))
        line = (session.user_id, say, close)
        self.sockets.append(line)
        try:
            while (message := await receive())["type"] == "websocket.receive":
                frame = msgspec.json.decode(message["text"], type=sync.Send)
                try:
                    sent = self._send(
                        session.user_id, messages.SendMessages(frame.conversation_id, frame.encrypted_payload)
                    )
                    await say(to_json_bytes(sync.SentFrame(frame.id, sent.seq, sent.created_at)))
                except errors.TacitError as error:
                    await say(to_json_bytes(sync.ProblemFrame(frame.id, to_problem(error))))
                await self._push()
        finally:
            self.sockets.remove(line)


def _name(payload: messages.EncryptedPayload) -> tuple[str, str]:
    return payload.device_id, payload.client_message_id
