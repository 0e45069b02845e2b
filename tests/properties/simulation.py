"""People with several devices each at one server, a schedule of what they do, and what goes wrong on the way.

The clients, their stores and the server are the real ones, in one process. The clock stands still unless a step moves
it, randomness is seeded (but for what the primitives draw themselves), and whatever a race is, is said in the schedule:
another step that is done whole while a request of the first one is on its way.
"""

from __future__ import annotations

import dataclasses
import random
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, Final, TypeVar
from unittest import mock

import httpx2

from client.world import CHEAP, Crash, abandon, no_wait, yes
from rsa_pool import pooled_rsa
from tacit import errors
from tacit.client import Client, Conversation
from tacit.client.books import Books
from tacit.client.store import Store
from tacit.conversation.content import TextBody
from tacit.conversation.keys import ConversationKey
from tacit.conversation.sealing import Epoch, Sender, make_content, seal
from tacit.crypto.secret import Secret
from tacit.server.app import application, open_backend
from tacit.server.backend import Backend
from tacit.server.config import Config
from tacit.signed.account import AccountRecord
from tacit.signed.message import to_fields
from tacit.wire.text import to_json

T = TypeVar("T")

URL: Final = "http://127.0.0.1:8080"
START: Final = 1_800_000_000_000
HOUR: Final = 60 * 60 * 1000
NAMES: Final = ("alice", "bob", "carol", "dave", "erin")
MOST_DEVICES: Final = 3
MOST_CONVERSATIONS: Final = 3
MEMORY: Final = Path("/dev/shm")
"""Where there is one, files need no disk to wait for."""

EXPECTED: Final = (
    errors.SendingBlocked,
    errors.NoRight,
    errors.Unreachable,
    errors.NotAMember,
    errors.InvalidArgument,
    errors.IdentityChanged,
    errors.SignInRefused,
    errors.NotSignedIn,
    errors.NotConfirmed,
    errors.ResetPending,
    errors.VersionConflict,
    errors.ConversationNotFound,
    errors.RecordMissing,
)
"""What may be said to a person in an honest run. Whatever accuses the server or a member is not among it."""


class Violation(AssertionError):
    """Something ended badly in an honest run."""


@dataclasses.dataclass(frozen=True, slots=True)
class Trouble:
    """What goes wrong at the request numbered `at` of a step.

    `answer`: its answer is lost once. `cut`: from there on no request arrives. `answers`: from there on no answer
    comes back. `crash`: the process ends once the server has the request. `meanwhile`: another step is done first.
    """

    kind: str
    at: int
    meanwhile: Step | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """What a device does; the numbers pick from what there is."""

    deed: str
    who: int
    what: int = 0
    whom: int = 0
    trouble: Trouble | None = None

    def __repr__(self) -> str:
        said = f"Step({self.deed!r}, {self.who}, {self.what}, {self.whom}"
        return f"{said}, {self.trouble!r})" if self.trouble is not None else f"{said})"


class Line(httpx2.AsyncBaseTransport):
    """One device's way to the server."""

    def __init__(self, server: Any) -> None:
        self._inner = httpx2.ASGITransport(server)
        self.trouble: Trouble | None = None
        self.meanwhile: Callable[[Step], Awaitable[None]] | None = None
        self.count = 0

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        number, trouble = self.count, self.trouble
        self.count += 1
        if trouble is None or number < trouble.at:
            return await self._inner.handle_async_request(request)
        if trouble.kind == "meanwhile":
            self.trouble = None
            assert self.meanwhile is not None and trouble.meanwhile is not None
            await self.meanwhile(trouble.meanwhile)
            return await self._inner.handle_async_request(request)
        if trouble.kind == "cut":
            raise httpx2.ConnectError("no request arrives")
        response = await self._inner.handle_async_request(request)
        await response.aread()
        if trouble.kind == "crash":
            raise Crash
        if trouble.kind == "answer":
            self.trouble = None
        raise httpx2.ReadError("no answer comes back")


@dataclasses.dataclass
class Person:
    """Somebody with an account. Of `passwords` the last ones may or may not count yet."""

    name: str
    passwords: list[str]
    phones: list[Phone] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Phone:
    """A device: its store, and the program on it while it runs. `device_id` is empty until it was signed in."""

    person: Person
    number: int
    line: Line
    client: Client | None = None
    device_id: str = ""
    offline: bool = False
    dropped: bool = False

    def __repr__(self) -> str:
        return f"{self.person.name}{self.number}"

    async def look(self, work: Callable[[Books], T]) -> T:
        """What `work` finds in the device's own store, whatever the server says of its session."""
        assert self.client is not None
        store = self.client.device._box.store
        assert store is not None
        return await store.run(work)


class Committing:
    """Commits a batch of the server's store where it is, instead of in a thread."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self._queue = store._batches

    def get(self) -> Any:
        return self._queue.get()

    def put(self, batch: Any) -> None:
        if batch is None:
            self._queue.put(None)
        else:
            self._store._writer.execute("COMMIT")
            self._store._loop.call_soon(self._store._committed, batch, None)


@contextmanager
def quick() -> Iterator[None]:
    """No thread to wait for in the clients' stores, and RSA keys out of the pool."""

    async def run(self: Store, work: Callable[[Books], Any]) -> Any:
        if self._closed:
            raise errors.NotSignedIn("the store is closed")
        return self._transaction(work)

    with mock.patch.object(Store, "run", run), mock.patch("tacit.crypto.rsa.generate", pooled_rsa):
        yield


class Simulation:
    """The server, everybody's devices, and the deeds. `log` is what was done so far."""

    def __init__(self, backend: Backend, folder: Path, seed: int) -> None:
        self.backend = backend
        self.server = application(backend)
        self.folder = folder
        self.random = random.Random(seed)
        self.now = START
        self.people: list[Person] = []
        self.phones: list[Phone] = []
        self.log: list[str] = []
        self.acting: list[Phone] = []
        self.injected: dict[tuple[str, int], str] = {}
        self.said = 0
        self.truth: Any = None

    def clock(self) -> int:
        return self.now

    # --- coming and going ------------------------------------------------------------

    async def register(self, count: int) -> None:
        """The first `count` people, with a device each."""
        for name in NAMES[:count]:
            person = Person(name, [f"the password of {name}"])
            self.people.append(person)
            phone = self.new_phone(person)
            phone.client = await self.open(phone)
            await phone.client.register(name, person.passwords[0])
            await self.signed_in(phone)

    def new_phone(self, person: Person) -> Phone:
        phone = Phone(person, len(person.phones) + 1, Line(self.server))
        person.phones.append(phone)
        self.phones.append(phone)
        return phone

    async def open(self, phone: Phone) -> Client:
        """A program on the device's store."""
        phone.line.trouble = None
        phone.line.meanwhile = self.meanwhile
        client = Client(
            URL,
            store=self.folder / f"{phone!r}.db",
            passphrase="of every store",
            clock=self.clock,
            random=random.Random(self.random.random()).randbytes,
            sleep=no_wait,
            transport=phone.line,
            cost=CHEAP,
        )
        return await client.__aenter__()

    async def signed_in(self, phone: Phone) -> None:
        phone.device_id = await phone.look(lambda books: books.me.device_id)

    async def come_back(self, phone: Phone) -> None:
        """The next process on a store, or the next attempt to sign a new device in."""
        if phone.client is None:
            phone.client = await self.open(phone)
        if phone.client.device._parts is not None:
            return
        if phone.device_id:
            await phone.client.sign_in(phone.person.name)
            return
        await self.with_password(
            phone.person,
            lambda password: phone.client.sign_in_new_device(  # type: ignore[union-attr]
                phone.person.name, password=password, name=repr(phone), confirm=yes
            ),
        )
        await self.signed_in(phone)

    async def with_password(self, person: Person, use: Callable[[str], Awaitable[T]]) -> T:
        """Use the password that counts: after a lost answer nobody knows which one does."""
        for password in reversed(person.passwords[1:]):
            with suppress(errors.SignInRefused):
                return await use(password)
        return await use(person.passwords[0])

    async def end(self, phone: Phone) -> None:
        """The process on a device ends without a word."""
        client, phone.client = phone.client, None
        if client is not None:
            await abandon(client)
            await client.device.api.close()

    async def close(self) -> None:
        for phone in self.phones:
            await self.end(phone)
        await self.backend.store.close()

    # --- a step ----------------------------------------------------------------------

    async def step(self, step: Step) -> None:
        """Do what a step says, with what goes wrong in it. Raises `Violation`."""
        self.log.append(repr(step))
        self.now += 1000
        awake = self.awake()
        if awake:
            await self.act(awake[step.who % len(awake)], step)
        else:
            await self.everybody_online()

    def awake(self) -> list[Phone]:
        return [each for each in self.phones if not each.dropped and not each.offline]

    async def act(self, phone: Phone, step: Step) -> None:
        self.log.append(f"    {phone!r}: {step.deed}")
        phone.line.count, phone.line.trouble = 0, step.trouble
        self.acting.append(phone)
        try:
            await self.come_back(phone)
            await getattr(self, f"do_{step.deed}")(phone, step)
        except Crash:
            self.log.append("    crashed")
            await self.end(phone)
        except EXPECTED as refusal:
            self.log.append(f"    {type(refusal).__name__}: {refusal.detail}")
        except errors.TacitError as refusal:
            raise self.violation(f"{phone!r} is told {refusal.code}: {refusal.detail}") from refusal
        finally:
            phone.line.trouble = None
            self.acting.remove(phone)
        await self.check_quiet(phone)

    async def meanwhile(self, step: Step) -> None:
        """A step within another one, by a device that is not in the midst of one."""
        others = [each for each in self.awake() if each not in self.acting]
        if others:
            await self.act(others[step.who % len(others)], step)

    async def everybody_online(self) -> None:
        for each in self.phones:
            each.offline = False

    async def check_quiet(self, phone: Phone) -> None:
        """No device of an honest run accuses anybody, and none has stopped a conversation."""
        if phone.client is None or phone.client.device._box.store is None or not phone.device_id:
            return

        def look(books: Books) -> list[Any]:
            said: list[Any] = books.connection.execute("SELECT about, subject, code, detail FROM evidence").fetchall()
            return said + [held.stopped for held in map(books.held, books.conversation_ids()) if held.stopped]

        found = await phone.look(look)
        if found:
            raise self.violation(f"{phone!r} accuses: {found}")

    def violation(self, what: str) -> Violation:
        return Violation("\n".join([what, *self.log[-80:]]))

    # --- picking ---------------------------------------------------------------------

    async def pick(self, phone: Phone, step: Step) -> Conversation:
        assert phone.client is not None
        every = sorted(await phone.client.conversations(), key=lambda each: each.id)
        if not every:
            raise errors.ConversationNotFound
        return every[step.what % len(every)]

    def whom(self, step: Step) -> str:
        return self.people[step.whom % len(self.people)].name

    # --- conversations ---------------------------------------------------------------

    async def do_create(self, phone: Phone, step: Step) -> None:
        assert phone.client is not None
        if len(await phone.client.conversations()) < MOST_CONVERSATIONS:
            members = [each.name for place, each in enumerate(self.people) if step.whom >> place & 1]
            await phone.client.create_conversation(f"talk {step.what}", members)

    async def do_add(self, phone: Phone, step: Step) -> None:
        await (await self.pick(phone, step)).add(self.whom(step))

    async def do_remove(self, phone: Phone, step: Step) -> None:
        await (await self.pick(phone, step)).remove(self.whom(step))

    async def do_promote(self, phone: Phone, step: Step) -> None:
        await (await self.pick(phone, step)).set_role(self.whom(step), "admin")

    async def do_demote(self, phone: Phone, step: Step) -> None:
        await (await self.pick(phone, step)).set_role(self.whom(step), "member")

    async def do_leave(self, phone: Phone, step: Step) -> None:
        await (await self.pick(phone, step)).leave()

    async def do_rotate(self, phone: Phone, step: Step) -> None:
        await (await self.pick(phone, step)).rotate()

    async def do_send(self, phone: Phone, step: Step) -> None:
        """What is said names the epoch that its sender was in when it was said."""
        conversation = await self.pick(phone, step)
        self.said += 1
        known = await phone.look(lambda books: newest_known(books, conversation.id))
        sent = await conversation.send(f"{self.said}/{conversation.epoch}/{phone!r}")
        named = await phone.look(lambda books: named_records(books, conversation.id, sent.epoch))
        gone = [user for user in named if ends_something(named[user], known.get(user))]
        if gone:
            raise self.violation(f"{phone!r} sends in epoch {sent.epoch}, knowing that devices of {gone} are gone")

    async def do_accept(self, phone: Phone, step: Step) -> None:
        conversation = await self.pick(phone, step)
        for each in await conversation.pending():
            await conversation.accept(each.record_hash)

    # --- catching up, whole and in part ----------------------------------------------

    async def do_sync(self, phone: Phone, step: Step) -> None:
        assert phone.client is not None
        await phone.client.sync()

    async def do_sync_account(self, phone: Phone, step: Step) -> None:
        """The account's own stream alone."""
        assert phone.client is not None
        syncer = phone.client.device._parts_now().syncer
        async with syncer._lock:
            cursor = await phone.look(lambda books: books.number("account_cursor"))
            await syncer._pull_round(cursor, {})

    async def do_sync_one(self, phone: Phone, step: Step) -> None:
        """One conversation alone."""
        assert phone.client is not None
        await phone.client.device.pull((await self.pick(phone, step)).id)

    async def do_sync_people(self, phone: Phone, step: Step) -> None:
        """Other accounts' records alone."""
        assert phone.client is not None
        known = await phone.look(lambda books: [row[0] for row in books.connection.execute(ACCOUNTS)])
        await phone.client.device._parts_now().directory.try_refresh(known)

    async def do_settle(self, phone: Phone, step: Step) -> None:
        """What was interrupted, without fetching anything first."""
        assert phone.client is not None
        await phone.client.device._parts_now().settle()

    async def do_vault(self, phone: Phone, step: Step) -> None:
        assert phone.client is not None
        await phone.client.device.check_vault()
        await phone.client.device._write_vault()

    async def do_restart(self, phone: Phone, step: Step) -> None:
        """The program is closed; the next deed opens it again."""
        client, phone.client = phone.client, None
        assert client is not None
        await client.device.close()

    async def do_offline(self, phone: Phone, step: Step) -> None:
        """The device is out of reach until everybody is back."""
        phone.offline = True

    async def do_online(self, phone: Phone, step: Step) -> None:
        await self.everybody_online()

    async def do_wait(self, phone: Phone, step: Step) -> None:
        self.now += (HOUR, 10 * HOUR, 80 * HOUR)[step.what % 3]

    # --- accounts --------------------------------------------------------------------

    async def do_arrive(self, phone: Phone, step: Step) -> None:
        """Another device of the account signs in."""
        standing = [each for each in phone.person.phones if not each.dropped]
        if len(standing) < MOST_DEVICES:
            await self.act(self.new_phone(phone.person), dataclasses.replace(step, deed="sync"))

    async def do_revoke(self, phone: Phone, step: Step) -> None:
        """One of the account's other devices is revoked."""
        assert phone.client is not None
        others = [each.device_id for each in (await phone.client.account.view()).devices if not each.this]
        if others:
            account, gone = phone.client.account, others[step.whom % len(others)]
            await self.with_password(
                phone.person, lambda password: account.revoke(gone, password=password, confirm=yes)
            )

    async def do_password(self, phone: Phone, step: Step) -> None:
        assert phone.client is not None
        account, person = phone.client.account, phone.person
        new = f"password {len(person.passwords)} of {person.name}"
        earlier = dataclasses.replace(person, passwords=[*person.passwords])
        person.passwords.append(new)
        await self.with_password(earlier, lambda password: account.change_password(new, password=password, confirm=yes))

    async def do_words(self, phone: Phone, step: Step) -> None:
        assert phone.client is not None
        account = phone.client.account
        await self.with_password(phone.person, lambda each: account.new_recovery_key(password=each, confirm=yes))

    async def do_reset(self, phone: Phone, step: Step) -> None:
        """The account is made anew, with all devices or without the others."""
        assert phone.client is not None
        account, person = phone.client.account, phone.person
        others = [each.device_id for each in (await account.view()).devices if not each.this]
        keep = others if step.whom % 2 else []
        new = f"password {len(person.passwords)} of {person.name}"
        earlier = dataclasses.replace(person, passwords=[*person.passwords])
        person.passwords.append(new)
        if step.whom % 4 < 3:
            await self.with_password(earlier, lambda each: account.reset(new, keep=keep, password=each, confirm=yes))
        else:
            await account.reset(new, keep=keep)

    async def do_cancel_reset(self, phone: Phone, step: Step) -> None:
        assert phone.client is not None
        account = phone.client.account
        await self.with_password(phone.person, lambda each: account.cancel_reset(password=each, confirm=yes))

    async def do_confirm(self, phone: Phone, step: Step) -> None:
        """The person compared everybody's identity with them."""
        assert phone.client is not None
        for each in await phone.client.account.contacts():
            if each.changed:
                await phone.client.account.confirm_identity(each.user_id, each.fingerprint_now)

    # --- a former member and the server together --------------------------------------

    async def do_slip_in(self, phone: Phone, step: Step) -> None:
        """With the server's help a device lays a message of an epoch that is closed behind what came since."""
        conversation = await self.pick(phone, step)

        def sealed(books: Books) -> tuple[Any, ...] | None:
            known = books.held(conversation.id).known
            query = "SELECT record_hash, key FROM epoch_keys WHERE conversation_id = ?"
            keys = {bytes(row[0]): row[1] for row in books.connection.execute(query, (conversation.id,))}
            able = [each for each in known.values() if each.record_hash in keys]
            if not able:
                return None
            chosen = able[step.whom % len(able)]
            epoch = Epoch(chosen.record, ConversationKey(Secret(bytes(keys[chosen.record_hash]))))
            content = make_content(TextBody("slipped in"), sent_at=self.now, random=self.random.randbytes)
            by = Sender(books.me.user_id, books.me.device_id, self.random.randbytes(16), books.me.request_key.sign)
            name = self.random.randbytes(16).hex()
            made = seal(epoch, by, content, counter=0, client_message_id=name, random=self.random.randbytes)
            fields = to_fields(made.message, made.signature)
            return (books.me.user_id, books.me.device_id, name, chosen.record.key_id.hex(), to_json(fields), fields)

        made = await phone.look(sealed)
        if made is not None:
            await self.slip_in(conversation.id, *made)

    async def slip_in(
        self, conversation_id: str, user: str, device: str, name: str, key: str, text: str, fields: Any
    ) -> None:
        def job(db: Any) -> int | None:
            query = "SELECT head_seq, key_id FROM conversations WHERE conversation_id = ?"
            seq, head_key = db.execute(query, (conversation_id,)).fetchone()
            if head_key == key:
                return None  # that is what the server takes from anybody in the conversation
            db.execute("UPDATE conversations SET head_seq = head_seq + 1 WHERE conversation_id = ?", (conversation_id,))
            db.execute(
                "INSERT INTO messages (conversation_id, seq, sender_id, device_id, client_message_id, created_at,"
                " encrypted, encryption_key_id, encrypted_payload, iv) VALUES (?, ?, ?, ?, ?, ?, TRUE, ?, ?, ?)",
                (conversation_id, seq + 1, user, device, name, self.now, key, text, fields["iv"]),
            )
            return int(seq) + 1

        seq = await self.backend.store.write(job)
        if seq is not None:
            self.injected[conversation_id, seq] = user
            self.log.append(f"    at {seq}")


def newest_known(books: Books, conversation_id: str) -> dict[str, AccountRecord]:
    """The newest record of everybody in a conversation that a device knows."""
    newest = {user: books.accounts.newest(user) for user in books.held(conversation_id).roster()}
    return {user: account.value for user, account in newest.items() if account is not None}


def named_records(books: Books, conversation_id: str, epoch: int) -> dict[str, AccountRecord]:
    """The records of everybody in an epoch that its roster names."""
    roster = books.held(conversation_id).known[epoch].roster
    named = {user: books.accounts.named(user, change.account_hash) for user, change in roster.items()}
    return {user: account.value for user, account in named.items() if account is not None}


def ends_something(named: AccountRecord, known: AccountRecord | None) -> bool:
    """Whether a device knows of a record that ends a device or the identity key of one that is named."""
    if known is None or known.version <= named.version:
        return False
    present = {device.device_id for device in known.devices}
    return known.aik != named.aik or any(device.device_id not in present for device in named.devices)


LENIENT: Final = """CREATE TRIGGER lenient AFTER UPDATE OF outdated ON conversations WHEN NEW.outdated = 1
    BEGIN UPDATE conversations SET outdated = 0 WHERE conversation_id = NEW.conversation_id; END"""
ACCOUNTS: Final = "SELECT DISTINCT user_id FROM accounts ORDER BY user_id"


@asynccontextmanager
async def simulation(people: int, seed: int, *, lenient: bool = False) -> AsyncIterator[Simulation]:
    """Everybody registered on a new server, and all of it gone afterwards.

    A `lenient` server takes messages also where a member revoked a device since the epoch was opened: clients look to
    that themselves.
    """
    folder = Path(tempfile.mkdtemp(prefix="tacit-", dir=MEMORY if MEMORY.is_dir() else None))
    holder: list[Simulation] = []
    draw = random.Random(seed).randbytes
    try:
        with quick():
            config = Config("127.0.0.1", 8080, folder / "server.db")
            backend = await open_backend(config, lambda: holder[0].now if holder else START, draw)
            backend.store._batches = Committing(backend.store)  # type: ignore[assignment]
            if lenient:
                await backend.store.write(lambda db: db.execute(LENIENT))
            made = Simulation(backend, folder, seed)
            holder.append(made)
            try:
                await made.register(people)
                yield made
            finally:
                await made.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


# --- schedules -------------------------------------------------------------------------------

SPEAK: Final = ("send",)
CHANGE: Final = ("create", "add", "remove", "promote", "demote", "leave", "rotate", "accept", "confirm")
CATCH_UP: Final = ("sync", "sync_account", "sync_one", "sync_people", "settle", "vault")
ACCOUNT: Final = ("arrive", "arrive", "revoke", "revoke", "password", "words", "reset", "cancel_reset")
PROCESS: Final = ("restart", "offline", "online", "wait", "slip_in", "slip_in")
WEIGHTS: Final = ((SPEAK, 5), (CHANGE, 7), (CATCH_UP, 8), (ACCOUNT, 4), (PROCESS, 3))
TROUBLES: Final = ("answer", "cut", "answers", "crash", "meanwhile", "meanwhile")
MOST: Final = 60
"""The numbers of a step are below this; it has divisors enough that they pick evenly."""


def schedule(seed: int, count: int) -> Iterator[Step]:
    """A random schedule: the same for the same seed."""
    draw = random.Random(seed)

    def one(trouble: Trouble | None) -> Step:
        (deeds,) = draw.choices([deeds for deeds, _ in WEIGHTS], [weight for _, weight in WEIGHTS])
        return Step(draw.choice(deeds), draw.randrange(MOST), draw.randrange(MOST), draw.randrange(MOST), trouble)

    yield Step("create", 0, 0, 31)
    for _ in range(count):
        kind = draw.choice(TROUBLES) if draw.random() < 0.25 else ""
        at = draw.randrange(8)
        yield one(Trouble(kind, at, one(None) if kind == "meanwhile" else None) if kind else None)
