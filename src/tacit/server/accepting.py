"""Taking new connections, which count from their first moment.

The event loop would take them by itself, and tell of one over TLS only after its handshake: until then it would have a
file descriptor for ten seconds, and nobody would know.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from socket import socket as Socket
from typing import Any, Final, final

import uvicorn

from tacit.server.connection import HttpConnection

HANDSHAKE_SECONDS: Final = 10.0
"""How long a TLS handshake may take."""
GOODBYE_SECONDS: Final = 5.0
"""How long a closed TLS connection waits for the client to say so too."""
AT_ONCE: Final = 128
"""Connections that are taken before anything else has its turn."""
AGAIN_SECONDS: Final = 1.0
"""How long none is taken after the system has refused one, for want of descriptors or memory."""


@final
class Listener:
    """A listening socket whose connections are counted as they are accepted; above the limits they are closed."""

    def __init__(self, listening: Socket, make: Callable[[], HttpConnection], tls: ssl.SSLContext | None) -> None:
        self._listening = listening
        self._make = make
        self._how: dict[str, Any] = {}
        if tls is not None:
            self._how = {
                "ssl": tls,
                "ssl_handshake_timeout": HANDSHAKE_SECONDS,
                "ssl_shutdown_timeout": GOODBYE_SECONDS,
            }
        self._loop = asyncio.get_running_loop()
        self._beginning: set[asyncio.Task[None]] = set()
        self._again: asyncio.TimerHandle | None = None
        listening.setblocking(False)
        self._listen()

    def close(self) -> None:
        """Take no more, and hang up on what has not finished its handshake: it has asked for nothing yet."""
        self._pause()
        for task in self._beginning:
            task.cancel()

    async def wait_closed(self) -> None:
        """Wait until nothing begins any more."""
        if self._beginning:
            await asyncio.wait(self._beginning)

    def _listen(self) -> None:
        self._again = None
        self._loop.add_reader(self._listening, self._accept)

    def _pause(self) -> None:
        if self._again is not None:
            self._again.cancel()
            self._again = None
        else:
            self._loop.remove_reader(self._listening)

    def _accept(self) -> None:
        for _ in range(AT_ONCE):
            try:
                connection, address = self._listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:  # it would be told of the same one at once, for as long as there is no room
                self._pause()
                self._again = self._loop.call_later(AGAIN_SECONDS, self._listen)
                return
            protocol = self._make()
            if not protocol.accepted(address[0]):
                connection.close()
                continue
            connection.setblocking(False)
            task = self._loop.create_task(self._begin(connection, protocol))
            self._beginning.add(task)
            task.add_done_callback(self._beginning.discard)

    async def _begin(self, connection: Socket, protocol: HttpConnection) -> None:
        try:
            await self._loop.connect_accepted_socket(lambda: protocol, connection, **self._how)
        except OSError:  # no handshake of ours, or none in time
            protocol.given_up()
        except BaseException:
            protocol.given_up()
            raise


class Server(uvicorn.Server):
    """uvicorn, with connections that are taken here."""

    async def startup(self, sockets: list[Socket] | None = None) -> None:
        await super().startup([])
        self.servers: list[Any] = [Listener(each, self._connection, self.config.ssl) for each in sockets or ()]

    def _connection(self) -> HttpConnection:
        made: Any = self.config.http_protocol_class  # which `settings` made
        connection: HttpConnection = made(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return connection
