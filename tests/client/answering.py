"""A stand-in for the wire: answers requests by a function and keeps them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx2
import msgspec

Answer = tuple[int, object] | httpx2.HTTPError


class _Stream(httpx2.AsyncByteStream):
    def __init__(self, body: bytes) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._body


class Answering(httpx2.AsyncBaseTransport):
    """Answers each request with what `answer` gives: a status and a JSON value (or bytes), or an error to raise."""

    def __init__(self, answer: Callable[[httpx2.Request], Answer]) -> None:
        self.answer = answer
        self.requests: list[httpx2.Request] = []
        self.headers = {"tacit-incarnation": "first"}

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        await request.aread()
        self.requests.append(request)
        given = self.answer(request)
        if isinstance(given, httpx2.HTTPError):
            raise given
        status, value = given
        body = value if isinstance(value, bytes) else msgspec.json.encode(value)
        return httpx2.Response(status, headers=self.headers, stream=_Stream(body))


def body_of(request: httpx2.Request) -> Any:
    """A request's JSON."""
    return msgspec.json.decode(request.content)
