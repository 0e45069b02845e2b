"""People with several devices each at one server, a schedule of what they do, and what goes wrong on the way.

The clients, their stores and the server are the real ones, in one process. The clock stands still unless a step moves
it, randomness is seeded (but for what the primitives draw themselves), and whatever a race is, is said in the schedule:
another step that is done whole while a request of the first one is on its way.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, TypeVar
from unittest import mock

import httpx2

from client.world import CHEAP, Crash, abandon, no_wait, yes
from rsa_pool import pooled_rsa
from tacit import errors
from tacit.client import Client
from tacit.client.books import Books
from tacit.client.store import Store
from tacit.crypto.rsa import RsaKey
from tacit.server.app import application
from tacit.server.backend import Backend
from tacit.signed.account import EncryptionKeys
from tacit.wire.codec import decode
from tacit.wire.text import from_base64

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
    errors.SessionExpired,
    errors.NotSignedIn,
    errors.NotConfirmed,
    errors.ResetPending,
    errors.VersionConflict,
    errors.ConversationNotFound,
    errors.RecordMissing,
)
"""What may be said to a person in an honest run. Whatever accuses the server or a member is not among it."""


LONGEST_WAIT: Final = 15 * 60 * 1000
"""Milliseconds that the server makes anybody wait between two passwords."""


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


def unused_rsa(store: Any) -> RsaKey:
    """The pool's next key that no account has now: two versions of one must not share it after a revocation."""
    newest = "SELECT public_key FROM user_keys AS one WHERE version = (SELECT max(version) FROM user_keys WHERE user_id"
    rows = store._writer.execute(f"{newest} = one.user_id)").fetchall()
    used = {key.public_key for (raw,) in rows for key in decode(EncryptionKeys, from_base64(raw)).keys}
    key = pooled_rsa()
    while key.public in used:
        key = pooled_rsa()
    return key


@contextmanager
def quick(store: Any) -> Iterator[None]:
    """No thread to wait for in the clients' stores, and RSA keys out of the pool."""

    async def run(self: Store, work: Callable[[Books], Any]) -> Any:
        if self._closed:
            raise errors.NotSignedIn("the store is closed")
        return self._transaction(work)

    with mock.patch.object(Store, "run", run), mock.patch("tacit.crypto.rsa.generate", lambda: unused_rsa(store)):
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
                return await self.patiently(use, password)
        return await self.patiently(use, person.passwords[0])

    async def patiently(self, use: Callable[[str], Awaitable[T]], password: str) -> T:
        """Use a password; who tried too many waits, which no server may let last for ever."""
        for _ in range(5):
            try:
                return await use(password)
            except errors.TooManyAttempts:
                self.now += LONGEST_WAIT
        return await use(password)

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
