"""What somebody can do who saw whole requests go by: send them once more."""

from __future__ import annotations

import asyncio
import re
from typing import Final

from faults.crowd import MESSAGES

POST: Final = f"POST {MESSAGES} ".encode()
SECONDS: Final = 60


def sends_in(sent: bytes) -> list[bytes]:
    """The messages that were posted whole on one connection."""
    found = []
    while request := whole_request(sent):
        sent = sent[len(request) :]
        if request.startswith(POST):
            found.append(request)
    return found


def whole_request(sent: bytes) -> bytes:
    """The first request of this; nothing where it did not go through whole."""
    head, end, rest = sent.partition(b"\r\n\r\n")
    size = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
    count = int(size[1]) if size is not None else 0
    return head + end + rest[:count] if end and len(rest) >= count else b""


async def answer_to(port: int, request: bytes) -> bytes:
    """The body of what a server answers to this, as it is."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    async with asyncio.timeout(SECONDS):
        head = await reader.readuntil(b"\r\n\r\n")
        size = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
        assert size is not None
        body = await reader.readexactly(int(size[1]))
    writer.close()
    return body
