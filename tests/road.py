"""The way between clients and a server that speaks plain HTTP: it ends TLS, as a proxy does, or as an attacker."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path


class Road:
    """Ends TLS with the certificate that was set last, and hands on to `target`, a port. `heard` is what went there."""

    def __init__(self) -> None:
        self.port = 0
        self.target = 0
        self.heard = bytearray()
        self._context: ssl.SSLContext | None = None
        self._open: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        """Where clients come in."""
        return f"https://127.0.0.1:{self.port}"

    def lead_by(self, certificate: Path) -> None:
        """Show this certificate from now on; what was open breaks."""
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate)
        for each in self._open:
            each.transport.abort()

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, from its handshake on."""
        assert self._context is not None
        try:
            await writer.start_tls(self._context)
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.close()
            return
        self._open |= {writer, far_writer}
        there = asyncio.create_task(self._carry(reader, far_writer, self.heard))
        await self._carry(far_reader, writer, bytearray())
        await there
        self._open -= {writer, far_writer}

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, heard: bytearray) -> None:
        with suppress(OSError):
            while got := await reader.read(65536):
                heard += got
                writer.write(got)
                await writer.drain()
        writer.close()


@asynccontextmanager
async def open_road(certificate: Path) -> AsyncIterator[Road]:
    """A road; set its target before anybody comes."""
    road = Road()
    server = await asyncio.start_server(road.take, "127.0.0.1", 0)
    road.port = server.sockets[0].getsockname()[1]
    road.lead_by(certificate)
    async with server:
        try:
            yield road
        finally:
            road.lead_by(certificate)
