"""The WebSocket: pushes in, messages out. It is only faster: whatever it loses, the cursors bring."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from tacit import errors
from tacit.api.base import binary, to_json_bytes
from tacit.api.messages import EncryptedPayload
from tacit.api.problems import from_problem
from tacit.api.sync import (
    AccountPush,
    BehindPush,
    Challenge,
    ItemPush,
    ProblemFrame,
    Send,
    SentFrame,
    ServerFrame,
    Welcome,
)
from tacit.client.answers import read_answer
from tacit.client.sync import Syncer
from tacit.client.timing import Sleep, backoff, told_seconds
from tacit.client.tls import refusal
from tacit.client.transport import ATTEMPTS, EncryptionAPIClient
from tacit.crypto.secret import Randomness
from tacit.wire import limits

PATH: Final = "/api/sync/socket"
ANSWER_SECONDS: Final = 20.0
PING_SECONDS: Final = 20.0


@final
class Socket:
    """One connection to the server, opened again whenever it breaks, with backoff and jitter."""

    def __init__(
        self,
        api_client: EncryptionAPIClient,
        syncer: Syncer,
        settle: Callable[[], Awaitable[None]],
        random: Randomness,
        sleep: Sleep,
    ) -> None:
        """`settle` sends what waits, once there is a connection again."""
        self._api = api_client
        self._syncer = syncer
        self._settle = settle
        self._random = random
        self._sleep = sleep
        self._open: ClientConnection | None = None
        self._answers: dict[str, asyncio.Future[tuple[int, int] | None]] = {}
        self._task: asyncio.Task[None] | None = None

    @property
    def connected(self) -> bool:
        """Whether pushes arrive now."""
        return self._open is not None

    def start(self) -> None:
        """Keep a connection open from now on; does nothing where one is being kept."""
        if self._task is None or self._task.done():
            self._syncer.news.failure = None
            self._task = asyncio.create_task(self._keep_open())

    async def stop(self) -> None:
        """Close the connection."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def send(self, conversation_id: str, payload: EncryptedPayload) -> tuple[int, int] | None:
        """Send a sealed message; None where there is no connection or its answer was lost with it.

        Raises what the server refused it for. The same bytes may be sent again on any way. Where there were too many,
        it waits as long as the server says, up to a minute each time, and tries again.
        """
        for attempt in range(ATTEMPTS - 1):
            try:
                return await self._send_once(conversation_id, payload)
            except errors.TooManyRequests as error:
                await self._sleep(told_seconds(error.facts.get("retryAfter")) + backoff(attempt, self._random))
        return await self._send_once(conversation_id, payload)

    async def _send_once(self, conversation_id: str, payload: EncryptedPayload) -> tuple[int, int] | None:
        connection = self._open
        if connection is None:
            return None
        number = self._random(8).hex()
        answer: asyncio.Future[tuple[int, int] | None] = asyncio.get_running_loop().create_future()
        self._answers[number] = answer
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await connection.send(to_json_bytes(Send(number, conversation_id, payload)).decode())
                return await answer
        except ConnectionClosed:
            return None
        except TimeoutError:
            give_up_where_stuck(connection)
            return None
        except asyncio.CancelledError:
            give_up_where_stuck(connection)
            raise
        finally:
            self._answers.pop(number, None)

    async def _keep_open(self) -> None:
        attempt = 0
        while True:
            told = 0
            try:
                async with connect(
                    self._api.origin.replace("http", "ws", 1) + PATH,
                    ssl=self._api.tls,
                    proxy=None,
                    compression=None,
                    max_size=limits.BODY_BYTES,
                    ping_interval=PING_SECONDS,
                    ping_timeout=PING_SECONDS,
                ) as connection:
                    await self._greet(connection)
                    attempt = 0
                    await self._talk(connection)
            except errors.SessionExpired:
                if not await self._renew():
                    return
            except (OSError, TimeoutError, WebSocketException, errors.ServiceError, errors.PeerError) as error:
                refused = refusal(error, self._api.authority)
                if refused is not None:  # to come again would not make it another server
                    self._syncer.news.notify(refused)
                    return
                if isinstance(error, InvalidStatus):
                    told = told_seconds(error.response.headers.get("Retry-After"))
                # come again after a while
            except errors.UsageError as error:
                self._syncer.news.notify(error)
                return
            except Exception as error:  # the edge of this task: whoever follows must not wait for ever
                self._syncer.news.notify(error)
                return
            await self._sleep(told + backoff(attempt, self._random))
            attempt += 1

    async def _talk(self, connection: ClientConnection) -> None:
        """Take what comes until the connection breaks; what waits for an answer then has none."""
        self._open = connection
        settling: asyncio.Task[None] | None = None
        try:
            await self._syncer.pull()  # whatever was missed while there was no connection
            settling = asyncio.create_task(self._send_what_waits())  # beside: its answers come on this connection
            async for frame in connection:
                await self._take(frame)
        finally:
            if settling is not None:
                settling.cancel()
            self._open = None
            for answer in self._answers.values():
                if not answer.done():
                    answer.set_result(None)

    async def _send_what_waits(self) -> None:
        with suppress(errors.TacitError):  # it stays where it is, and whoever asks for it is told
            await self._settle()

    async def _renew(self) -> bool:
        """Open another session; False where the server wants this device no more."""
        try:
            await self._api.renew()
        except errors.ServiceError:
            return True
        except errors.TacitError as error:
            self._syncer.news.notify(error)
            return False
        return True

    async def _greet(self, connection: ClientConnection) -> None:
        """Answer the server's challenge; raises its refusal."""
        challenge = read_frame(await connection.recv())
        if not isinstance(challenge, Challenge):
            raise errors.UnexpectedAnswer("the socket does not begin with a challenge")
        try:
            hello = self._api.answer_challenge(binary(challenge.nonce, 32))
        except errors.PeerError:
            raise errors.UnexpectedAnswer("the challenge is not 32 bytes") from None
        await connection.send(to_json_bytes(hello).decode())
        answer = read_frame(await connection.recv())
        if isinstance(answer, ProblemFrame):
            raise from_problem(answer.problem)
        if not isinstance(answer, Welcome):
            raise errors.UnexpectedAnswer("the socket does not welcome")

    async def _take(self, raw: str | bytes) -> None:
        match read_frame(raw):
            case ItemPush(conversation_id=conversation_id, item=item):
                await self._syncer.take_push(conversation_id, item)
            case AccountPush() | BehindPush():
                await self._syncer.pull()
            case SentFrame(id=number, seq=seq, created_at=created_at):
                self._answer(number, (seq, created_at))
            case ProblemFrame(id=number, problem=problem):
                self._answer(number, from_problem(problem))
            case Challenge() | Welcome():
                raise errors.UnexpectedAnswer("the socket greets twice")

    def _answer(self, number: str, answer: tuple[int, int] | errors.TacitError) -> None:
        future = self._answers.get(number)
        if future is None or future.done():
            return
        if isinstance(answer, errors.TacitError):
            future.set_exception(answer)
        else:
            future.set_result(answer)


def give_up_where_stuck(connection: ClientConnection) -> None:
    """End a connection that does not take what was written: pings, and closing, wait behind it and never find out."""
    if connection.transport.get_write_buffer_size():
        connection.transport.abort()


def read_frame(raw: str | bytes) -> ServerFrame:
    """A frame of the server's; raises `UnexpectedAnswer`."""
    frame: ServerFrame = read_answer(ServerFrame, raw)
    return frame
