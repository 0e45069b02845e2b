"""People at a real server without a socket between: they sign what a test says, right or wrong."""

from __future__ import annotations

import dataclasses
import hashlib
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any

import httpx2

from rsa_pool import pooled_rsa, rsa_key
from server.described import wrong
from tacit.conversation.content import FRANKING_KEY_BYTES, Content, TextBody, kind_and_bytes
from tacit.conversation.envelope import make_grants
from tacit.conversation.keys import ConversationKey, finish_record
from tacit.conversation.sealing import INSTANCE_BYTES, Epoch, Sender, seal
from tacit.crypto.rsa import RsaKey
from tacit.crypto.secret import Randomness
from tacit.crypto.sign import Ed25519Key
from tacit.identity.account import Registration, register
from tacit.identity.keys import SigningKey
from tacit.identity.unlockers import (
    Cost,
    KdfBounds,
    find_unlocker,
    password_bytes,
    password_secret,
    proof_of,
)
from tacit.identity.words import from_words
from tacit.server.app import application
from tacit.server.backend import Backend
from tacit.signed.account import AccountRecord, EncryptionKeys, account_hash, aik_fingerprint
from tacit.signed.grant import Granter, SignedGrant
from tacit.signed.message import to_fields
from tacit.signed.profiles import Profile
from tacit.signed.record import (
    DEFAULT_POLICY,
    Change,
    ConversationRecord,
    Leave,
    Opener,
    Protocol,
    Request,
    RequestKind,
    Role,
    Roster,
    SignedLeave,
    conversation_id_of,
    fold,
    in_order,
    roster_hash,
    sign_leave,
    sign_record,
)
from tacit.signed.request import sign_request
from tacit.signed.rights import ChainState, advance
from tacit.signed.vault import PasswordParameters, UnlockerKind
from tacit.signed.verify import ZERO_HASH, Verified
from tacit.wire.codec import decode, encode
from tacit.wire.text import from_json, to_base64, to_json

NAME = "127.0.0.1"
AUTHORITY = "127.0.0.1:8080"
KEYS = "/api/encryption/conversation/keys"
MESSAGES = "/api/messages/encrypted"


def seeded(seed: str) -> Randomness:
    """Randomness that is the same each time."""
    stream = hashlib.shake_256(seed.encode())
    position = 0

    def draw(count: int) -> bytes:
        nonlocal position
        position += count
        return stream.digest(position)[position - count :]

    return draw


def one_rsa_key() -> RsaKey:
    """One RSA key for everybody: making one is slow."""
    return rsa_key(0)


@cache
def registration(user_id: str, server_name: str = NAME, profile: Profile = Profile.STANDARD) -> Registration:
    """Somebody's account, made once for all tests; each takes it to a server of its own."""
    return register(
        server_name,
        user_id,
        password_bytes(f"the password of {user_id}"),
        now=1,
        random=seeded(user_id),
        generate_rsa=one_rsa_key if profile is Profile.STANDARD else pooled_rsa,
        cost=Cost(8, 1, 1, 1),
        profile=profile,
    )


@dataclasses.dataclass(frozen=True)
class Answer:
    """A status and the answer's JSON."""

    status: int
    body: Any
    headers: Mapping[str, str]

    @property
    def code(self) -> str:
        """The problem's code; the empty text for a success."""
        return "" if self.status == 200 else str(self.body["code"])


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1_700_000_000_000

    def __call__(self) -> int:
        return self.now


class Town:
    """A server and the people who talk to it."""

    def __init__(self, backend: Backend, clock: Clock) -> None:
        self.backend = backend
        self.clock = clock
        self.arrivals = 0
        self.http = httpx2.AsyncClient(
            transport=httpx2.ASGITransport(application(backend)), base_url=f"http://{AUTHORITY}"
        )

    async def ask(
        self, method: str, target: str, content: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Answer:
        """One request as it is."""
        url = httpx2.URL(f"http://{AUTHORITY}").copy_with(raw_path=target.encode())
        response = await self.http.request(method, url, content=content, headers=dict(headers or {}))
        assert not wrong(method, target, content, response.status_code, response.headers, response.content)
        return Answer(response.status_code, from_json(response.content), dict(response.headers))

    async def people(self, *names: str) -> list[Person]:
        """Registered and signed in."""
        found = [Person(self, name) for name in names]
        for person in found:
            answer = await person.register()
            assert answer.status == 200, answer.body
        return found


class Person:
    """Somebody with one device; `token` is the session's."""

    def __init__(self, town: Town, user_id: str, profile: Profile = Profile.STANDARD) -> None:
        self.town = town
        self.user_id = user_id
        self.made = registration(user_id, profile=profile)
        self.key: SigningKey = self.made.device.request_key()
        self.device_id = self.made.device.device_id()
        self.token = ""
        town.arrivals += 1
        self.random = seeded(f"{user_id} asks, {town.arrivals}")

    @property
    def record(self) -> AccountRecord:
        """The account's first record."""
        return self.made.record.value

    def signature(
        self,
        method: str,
        target: str,
        content: bytes,
        *,
        key: Ed25519Key | None = None,
        key_id: str | None = None,
        nonce: str | None = None,
        authority: str = AUTHORITY,
    ) -> dict[str, str]:
        """The headers that sign a request."""
        path, _, query = target.partition("?")
        created = self.town.clock() // 1000
        return sign_request(
            method,
            authority,
            path,
            query,
            content,
            key_id=key_id or self.device_id,
            created=created,
            expires=created + 50,
            nonce=nonce or self.random(16).hex(),
            signer=(key or self.key).sign,
        )

    async def ask(self, method: str, target: str, body: object = None, **bent: Any) -> Answer:
        """One signed request; a body of bytes goes out as it is."""
        content = body if isinstance(body, bytes) else b"" if body is None else to_json(body).encode()
        headers = self.signature(method, target, content, **bent)
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        return await self.town.ask(method, target, content, headers)

    def wish(self, **more: Any) -> dict[str, Any]:
        """A body that carries the key which signs it."""
        return {"userId": self.user_id, "requestKey": to_base64(self.key.public), **more}

    def proof(self, kind: UnlockerKind = UnlockerKind.PASSWORD) -> dict[str, Any]:
        """The proof of one's password or recovery key."""
        unlocker = find_unlocker(self.made.vault.inner, kind)
        if kind is UnlockerKind.PASSWORD:
            parameters = decode(PasswordParameters, unlocker.parameters)
            bounds = KdfBounds((8, 8), (1, 1), (1, 1))
            password = password_bytes(f"the password of {self.user_id}")
            secret = password_secret(NAME, self.user_id, password, parameters, bounds)
        else:
            secret = from_words(self.made.words)
        proof = proof_of(NAME, self.user_id, unlocker.id, secret).reveal()
        return {"unlockerId": unlocker.id, "proof": to_base64(proof)}

    async def unlock(self, kind: UnlockerKind = UnlockerKind.PASSWORD, **bent: Any) -> Answer:
        """Open a provisional session; its token is kept."""
        self.token = ""
        answer = await self.ask("POST", "/api/auth/unlock", self.wish(**self.proof(kind) | bent))
        if answer.status == 200:
            self.token = answer.body["token"]
        return answer

    async def open(self, path: str) -> Answer:
        """Open a session; its token is kept."""
        self.token = ""
        answer = await self.ask("POST", path, {"userId": self.user_id, "requestKey": to_base64(self.key.public)})
        if answer.status == 200:
            self.token = answer.body["token"]
        return answer

    async def register(self) -> Answer:
        """A new account."""
        await self.open("/api/auth/register")
        return await self.ask("POST", "/api/encryption/keys/generate", self.publication())

    def publication(self, **bent: Any) -> dict[str, Any]:
        """What is posted to register."""
        record = bent.pop("record", self.record)
        return {
            "userId": self.user_id,
            "keyId": account_hash(record).hex(),
            "publicKey": to_base64(encode(EncryptionKeys(record.encryption_keys))),
            "record": to_base64(encode(record)),
            "signature": to_base64(encode(self.made.signatures)),
            "encryptedPrivateKey": to_base64(encode(self.made.vault)),
            **bent,
        }

    def place(self, role: Role = Role.MEMBER) -> Change:
        """The account's place in a roster."""
        record = self.record
        return Change(
            self.user_id, aik_fingerprint(record.profile, record.aik), role, record.version, account_hash(record)
        )


Grants = Callable[[list[SignedGrant]], list[SignedGrant]]


class Talk:
    """A conversation as its members keep it; it builds what they post."""

    def __init__(self, founder: Person, *members: Person) -> None:
        self.random = seeded(f"talk of {founder.user_id}")
        self.everybody = {person.user_id: person for person in (founder, *members)}
        self.genesis_random = self.random(32)
        self.id = conversation_id_of(founder.user_id, self.genesis_random)
        self.founder = founder
        self.state: ChainState | None = None
        self.key: ConversationKey | None = None
        self.posted: dict[str, Any] = {}
        self.grants: list[SignedGrant] = []

    @classmethod
    async def opened(cls, founder: Person, *members: Person) -> Talk:
        """One whose first epoch the server has."""
        talk = cls(founder, *members)
        answer = await founder.ask("POST", KEYS, talk.genesis())
        assert answer.status == 200, answer.body
        return talk

    @property
    def epoch(self) -> Epoch:
        """The newest epoch with its key."""
        assert self.state is not None
        assert self.key is not None
        return Epoch(self.state.head, self.key)

    def genesis(self, **bent: Any) -> dict[str, Any]:
        """The first epoch: the founder admin, the others members."""
        changes = [person.place() for person in self.everybody.values() if person is not self.founder]
        return self.next(self.founder, *changes, self.founder.place(Role.ADMIN), **bent)

    def next(self, by: Person, *changes: Change, **bent: Any) -> dict[str, Any]:
        """The next epoch, which counts from here on; with `keep=False` it does not."""
        keep = bent.pop("keep", True)
        leaves: Iterable[SignedLeave] = bent.pop("leaves", ())
        on = self.state
        before: Roster = on.roster() if on is not None else {}
        ordered = tuple(in_order(changes))
        after = fold(before, ordered)
        bare = ConversationRecord(
            self.id,
            on.head.epoch + 1 if on is not None else 1,
            on.head_hash if on is not None else ZERO_HASH,
            Protocol.ENVELOPE,
            Profile.STANDARD,
            0,
            b"",
            0,
            b"",
            roster_hash(after),
            ordered,
            tuple(Request(RequestKind.LEAVE, encode(each)) for each in leaves),
            DEFAULT_POLICY,
            b"" if on is not None else self.genesis_random,
            b"",
            "",
            1000,
            Opener(by.user_id, by.device_id, account_hash(by.record)),
        )
        bare = dataclasses.replace(bare, **bent)
        key = ConversationKey.generate(self.random)
        record = finish_record(bare, key)
        state = advance(on, record) if "roster_hash" not in bent else on
        granter = Granter(by.user_id, by.device_id, account_hash(by.record))
        recipients: list[Verified[AccountRecord]] = [
            self.everybody[change.user_id].made.record for change in in_order(after.values())
        ]
        grants = make_grants(record, key, granter, by.key.sign, recipients, after)
        body = {
            "conversationId": record.conversation_id,
            "keyId": record.key_id.hex(),
            "encryptedKeys": [as_posted(each) for each in grants],
            "memberIds": list(after),
            "record": to_base64(encode(record)),
            "signature": to_base64(sign_record(record, by.key.sign)),
        }
        if keep:
            self.state, self.key, self.posted, self.grants = state, key, body, grants
        return body

    def removal(self, person: Person) -> Change:
        """Somebody's removal."""
        return person.place(Role.REMOVED)

    def leave(self, person: Person, **bent: Any) -> SignedLeave:
        """Somebody's leave of the present stay."""
        assert self.state is not None
        leave = Leave(
            self.id,
            self.state.added()[person.user_id],
            person.user_id,
            person.device_id,
            1,
            account_hash(person.record),
        )
        return sign_leave(dataclasses.replace(leave, **bent), person.key.sign)

    def payload(self, by: Person, text: str = "hello", *, counter: int = 0, id: str = "one") -> dict[str, Any]:
        """A sealed message of the newest epoch."""
        kind, raw = kind_and_bytes(TextBody(text))
        content = Content(kind, 1000, (), b"", self.random(FRANKING_KEY_BYTES), raw)
        sender = Sender(by.user_id, by.device_id, bytes(INSTANCE_BYTES), by.key.sign)
        sealed = seal(self.epoch, sender, content, counter=counter, client_message_id=id, random=self.random)
        return to_fields(sealed.message, sealed.signature)

    def message(self, by: Person, text: str = "hello", **of_payload: Any) -> dict[str, Any]:
        """The body that sends one."""
        return {"conversationId": self.id, "encryptedPayload": self.payload(by, text, **of_payload)}


def as_posted(signed: SignedGrant) -> dict[str, str]:
    """A grant as it travels."""
    return {"userId": signed.grant.recipient, "encryptedKey": to_base64(encode(signed))}


async def rows(town: Town) -> list[tuple[Any, ...]]:
    """Everything that the database holds, but the nonces that requests use up."""

    def all_rows(db: sqlite3.Connection) -> list[tuple[Any, ...]]:
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")]
        return [
            (table, *row)
            for table in tables
            if table != "nonces"
            for row in db.execute(f'SELECT * FROM "{table}"').fetchall()
        ]

    return await town.backend.store.read(all_rows)
