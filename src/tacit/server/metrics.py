"""Metrics for Prometheus, on a loopback listener of their own that is off until somebody sets a port.

They are counted from events, which name nobody: no label holds more than a route's template, a status, a problem code.
What is a state and no event, sockets open and jobs waiting, is read when it is asked for.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from socket import socket as Listening
from typing import Any, Final, assert_never, final

import uvicorn
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from tacit.server.accepting import Server
from tacit.server.backend import Backend
from tacit.server.events import (
    BatchWritten,
    CertificateRead,
    ConnectionCut,
    Event,
    Failed,
    FrameAnswered,
    RequestAnswered,
    SocketEnded,
    Started,
    Stopped,
    Stopping,
    StorageChanged,
)
from tacit.server.tls import Certificate
from tacit.server.watch import App, Receive, Send

PATH: Final = "/metrics"
SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
JOBS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)

disable_created_metrics()  # type: ignore[no-untyped-call]


@final
class Metrics:
    """What was counted since the process began."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._requests = Counter(
            "tacit_requests",
            "Requests answered; status 0 where the client hung up, code of a refusal.",
            ("method", "route", "status", "code"),
            registry=registry,
        )
        self._request_seconds = Histogram(
            "tacit_request_seconds", "How long requests took.", ("route",), buckets=SECONDS, registry=registry
        )
        self._frames = Counter(
            "tacit_frames", "WebSocket frames answered; code of a refusal.", ("code",), registry=registry
        )
        self._frame_seconds = Histogram(
            "tacit_frame_seconds", "How long WebSocket frames took.", buckets=SECONDS, registry=registry
        )
        self._sockets = Counter(
            "tacit_sockets_ended", "WebSockets that ended, by how.", ("outcome",), registry=registry
        )
        self._cut = Counter(
            "tacit_connections_cut", "Connections refused or hung up on, by code.", ("code",), registry=registry
        )
        self._batch_jobs = Histogram(
            "tacit_store_batch_jobs", "Jobs in one transaction.", buckets=JOBS, registry=registry
        )
        self._batch_seconds = Histogram(
            "tacit_store_batch_seconds", "How long transactions took.", buckets=SECONDS, registry=registry
        )
        self._lost = Counter("tacit_store_batches_failed", "Transactions that were undone.", registry=registry)
        self._ran_out = Counter("tacit_storage_ran_out", "How often the disk was full.", registry=registry)
        self._failures = Counter("tacit_failures", "Errors that nobody expected.", registry=registry)

    def watch(self, backend: Backend, certificate: Certificate | None = None) -> None:
        """Read from here what is a state."""
        hub, store, connections = backend.hub, backend.store, backend.connections
        states: list[tuple[str, str, Callable[[], float]]] = [
            ("tacit_connections_open", "Connections that are open.", lambda: len(connections)),
            ("tacit_sockets_open", "WebSockets that are open.", lambda: hub.sockets),
            ("tacit_store_waiting_jobs", "Jobs that wait for a transaction.", lambda: store.waiting),
            ("tacit_storage_full", "1 while the disk is full.", lambda: store.room.full),
        ]
        if certificate is not None:
            text = "When the certificate in use ends, in Unix seconds."
            states.append(("tacit_certificate_not_after_seconds", text, lambda: certificate.leaf.not_after))
        for name, text, read in states:
            Gauge(name, text, registry=self.registry).set_function(read)

    def count(self, event: Event) -> None:
        """Count an event: the listener."""
        match event:
            case RequestAnswered(_, method, route, status, code, seconds):
                self._requests.labels(method, route, str(status), code).inc()
                self._request_seconds.labels(route).observe(seconds)
            case FrameAnswered(code, seconds):
                self._frames.labels(code).inc()
                self._frame_seconds.observe(seconds)
            case SocketEnded(outcome):
                self._sockets.labels(outcome).inc()
            case ConnectionCut(code):
                self._cut.labels(code).inc()
            case BatchWritten(jobs, seconds, durable):
                self._batch_jobs.observe(jobs)
                self._batch_seconds.observe(seconds)
                if not durable:
                    self._lost.inc()
            case StorageChanged(full):
                if full:
                    self._ran_out.inc()
            case Failed():
                self._failures.inc()
            case Started() | Stopping() | Stopped() | CertificateRead():
                pass
            case _:
                assert_never(event)


def application(metrics: Metrics) -> App:
    """The ASGI application that answers with the metrics, and nothing else."""

    async def answer(scope: Any, _: Receive, send: Send) -> None:
        found = (scope["method"], scope["path"]) == ("GET", PATH)
        body = generate_latest(metrics.registry) if found else b""
        headers = [(b"content-length", str(len(body)).encode())]
        if found:
            headers.append((b"content-type", CONTENT_TYPE_PLAIN_0_0_4.encode()))
        await send({"type": "http.response.start", "status": 200 if found else 404, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return answer


class _Server(Server):
    """uvicorn beside another one, to which the signals go."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def served(metrics: Metrics, listening: Listening, settings: dict[str, Any]) -> AsyncIterator[None]:
    """The metrics on a listening socket for as long as the block runs."""
    config = uvicorn.Config(application(metrics), **(settings | {"ws": "none", "timeout_graceful_shutdown": 1}))
    server = _Server(config)
    running = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        yield
    finally:
        server.should_exit = True
        await running
