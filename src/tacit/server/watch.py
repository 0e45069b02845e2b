"""Around the gate: names each request, and tells how it was answered by its route's template."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, final

from tacit.server.events import OTHER, Events, RequestAnswered

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
App = Callable[[Any, Receive, Send], Awaitable[None]]

BACKEND: Final = "tacit.backend"
"""In a request's scope: the server that it reached."""
CODE: Final = "tacit.code"
"""In a request's scope: the problem code of its answer."""
REQUEST_ID: Final = "tacit.request_id"
"""In a request's scope: its name in the log, which its answer carries as a header."""
REQUEST_ID_HEADER: Final = b"tacit-request-id"


@final
class Routes:
    """The templates of the paths that there are, and their methods."""

    def __init__(self, routes: Iterable[tuple[str, str]]) -> None:
        self._methods: dict[str, set[str]] = {}
        for method, path in routes:
            self._methods.setdefault(path.replace(":str}", "}"), set()).add(method)
        self._open = [path for path in self._methods if "{" in path]

    def find(self, method: str, path: str) -> tuple[str, str]:
        """A request's method and template; `other` for what there is not."""
        template = path if path in self._methods else self._matching(path)
        methods: Iterable[str] = self._methods.get(template, ())
        return (method if method in methods else OTHER), template

    def _matching(self, path: str) -> str:
        parts = path.split("/")
        for template in self._open:
            wanted = template.split("/")
            if len(wanted) == len(parts) and all(
                part == want or (want.startswith("{") and part) for part, want in zip(parts, wanted, strict=True)
            ):
                return template
        return OTHER


@final
class Watch:
    """The ASGI application around the gate."""

    def __init__(self, app: App, events: Events, routes: Routes) -> None:
        self._app = app
        self._events = events
        self._routes = routes

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = self._events.stopwatch()
        request_id = scope[REQUEST_ID] = self._events.new_id()
        status = 0

        async def send_with_id(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = [*message.get("headers", ()), (REQUEST_ID_HEADER, request_id.encode())]
                message = {**message, "headers": headers}
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        finally:
            method, route = self._routes.find(scope["method"], scope["path"])
            seconds = self._events.stopwatch() - began
            self._events.tell(RequestAnswered(request_id, method, route, status, scope.get(CODE, ""), seconds))
