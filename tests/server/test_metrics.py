"""Metrics count what happened, and name nobody."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import get_args

import httpx2
import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from websockets.sync.client import connect

from certificates import Authority
from server.people import MESSAGES, Clock, Person, Talk, Town, seeded
from server.test_serve import command, running, url_in
from server.test_socket import PATH
from tacit import errors
from tacit.server.app import open_backend
from tacit.server.config import Config
from tacit.server.events import (
    BatchWritten,
    CertificateRead,
    ConnectionCut,
    Event,
    Events,
    Failed,
    FrameAnswered,
    RequestAnswered,
    SocketEnded,
    Started,
    Stopped,
    Stopping,
)
from tacit.server.metrics import Metrics
from tacit.server.serve import wall_clock
from tacit.server.store import meta
from tacit.server.store.sqlite import Store
from tacit.server.tls import Certificate

LABELS = {"method", "route", "status", "code", "outcome", "le"}
Sample = tuple[str, frozenset[tuple[str, str]]]


def samples(text: str) -> dict[Sample, float]:
    """Every sample of a text by its name and labels."""
    return {
        (each.name, frozenset(each.labels.items())): each.value
        for family in text_string_to_metric_families(text)
        for each in family.samples
    }


def shown(metrics: Metrics) -> dict[Sample, float]:
    return samples(generate_latest(metrics.registry).decode())


def of(found: dict[Sample, float], name: str, **labels: str) -> float:
    return found.get((name, frozenset(labels.items())), 0)


@pytest.mark.parametrize(
    ("event", "name", "labels"),
    [
        (
            RequestAnswered("ab", "GET", "/api/server", 200, "", 0.003),
            "tacit_requests_total",
            {"method": "GET", "route": "/api/server", "status": "200", "code": ""},
        ),
        (
            RequestAnswered("ab", "GET", "/api/server", 200, "", 0.003),
            "tacit_request_seconds_bucket",
            {"route": "/api/server", "le": "0.005"},
        ),
        (FrameAnswered("too_large", 0.003), "tacit_frames_total", {"code": "too_large"}),
        (FrameAnswered("", 0.003), "tacit_frame_seconds_bucket", {"le": "0.005"}),
        (SocketEnded("left", 3), "tacit_sockets_ended_total", {"outcome": "left"}),
        (ConnectionCut("stalled"), "tacit_connections_cut_total", {"code": "stalled"}),
        (BatchWritten(3, 0.003, True), "tacit_store_batch_jobs_bucket", {"le": "4.0"}),
        (BatchWritten(3, 0.003, True), "tacit_store_batch_seconds_bucket", {"le": "0.005"}),
        (BatchWritten(3, 0.003, False), "tacit_store_batches_failed_total", {}),
        (Failed("KeyError"), "tacit_failures_total", {}),
    ],
)
def test_each_event_is_counted(event: Event, name: str, labels: dict[str, str]) -> None:
    metrics = Metrics()
    metrics.count(event)
    metrics.count(event)
    assert of(shown(metrics), name, **labels) == 2


def test_events_that_are_no_number_are_let_by() -> None:
    metrics = Metrics()
    before = {key for key in shown(metrics) if key[0].startswith("tacit_")}
    for event in (Started("", "", ""), Stopping(), Stopped(), CertificateRead("", "")):
        assert isinstance(event, get_args(Event))
        metrics.count(event)
    assert {key for key in shown(metrics) if key[0].startswith("tacit_")} == before
    metrics.count(BatchWritten(1, 0, True))
    assert of(shown(metrics), "tacit_store_batches_failed_total") == 0


async def test_it_says_when_the_certificate_ends(tmp_path: Path) -> None:
    issued = Authority(tmp_path).issue("127.0.0.1")
    backend = await open_backend(Config("127.0.0.1", 8080, tmp_path / "chat.db"), Clock(), seeded("server"))
    try:
        without, metrics, certificate = Metrics(), Metrics(), Certificate(issued.file, None, wall_clock)
        without.watch(backend)
        metrics.watch(backend, certificate)
        name = "tacit_certificate_not_after_seconds"
        assert of(shown(metrics), name) == issued.certificate.not_valid_after_utc.timestamp()
        renewed = Authority(tmp_path).issue("127.0.0.1", last=60)
        certificate.look()
        assert of(shown(metrics), name) == renewed.certificate.not_valid_after_utc.timestamp()
        assert (name, frozenset()) not in shown(without)
    finally:
        await backend.store.close()


async def test_no_label_names_anybody(tmp_path: Path) -> None:
    metrics, clock = Metrics(), Clock()
    backend = await open_backend(
        Config("127.0.0.1", 8080, tmp_path / "chat.db"), clock, seeded("server"), Events((metrics.count,))
    )
    metrics.watch(backend)
    town = Town(backend, clock)
    one, two = await town.people("the first person", "the second person")
    talk = await Talk.opened(one, two)
    await one.ask("POST", MESSAGES, talk.message(one))
    await two.ask("GET", f"{MESSAGES}?conversationId={talk.id}")
    await two.ask("GET", "/api/made-up-by-a-client")
    await two.ask("BREW", f"/api/conversations/{talk.id}/leave")
    await two.ask("POST", f"/api/conversations/{talk.id}/leave", {"leave": "AAAA"})
    for _ in range(7):
        await Person(town, "the second person").unlock(proof="A" * 43 + "=")
    await town.http.aclose()
    await backend.store.close()
    found = shown(metrics)
    ours = {key: value for key, value in found.items() if key[0].startswith("tacit_")}
    assert {name for _, labels in ours for name, _ in labels} == LABELS - {"outcome"}
    known = {"", "other", *errors.concrete(), "GET", "POST", "DELETE"}
    for _, labels in ours:
        for name, value in labels:
            numeric = value.replace(".", "").replace("+Inf", "0").isdigit()
            assert value in known or numeric or (name == "route" and "person" not in value and talk.id not in value)
    unlock = {"method": "POST", "route": "/api/auth/unlock"}
    refused = [
        of(found, "tacit_requests_total", **unlock, status=status, code=code)
        for status, code in (("401", "sign_in_refused"), ("429", "too_many_attempts"))
    ]
    assert sum(refused) == 7
    assert min(refused) > 0
    routes = {dict(labels).get("route") for _, labels in ours}
    assert {"other", "/api/conversations/{conversation_id}/leave"} <= routes
    assert of(found, "tacit_store_waiting_jobs") == of(found, "tacit_sockets_open") == 0
    assert of(found, "tacit_store_batch_jobs_count") > 10


async def test_the_store_tells_of_each_transaction(tmp_path: Path) -> None:
    told: list[tuple[int, float, bool]] = []
    async with Store(tmp_path / "chat.db", told=lambda *batch: told.append(batch)) as store:
        assert store.waiting == 0
        writing = [store.write(lambda db: meta.put(db, "a", b"")) for _ in range(3)]
        waiting = asyncio.gather(*writing)
        await asyncio.sleep(0)
        assert store.waiting == 3
        await waiting
        with pytest.raises(errors.Internal):
            await store.write(lambda db: db.execute("COMMIT"))
    assert [(jobs, durable) for jobs, _, durable in told] == [(3, True), (1, False)]
    assert all(seconds > 0 for _, seconds, _ in told)


@contextmanager
def measured(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str, str]]:
    """A server with metrics; its address and theirs."""
    with running(folder / "chat.db", "--metrics-port", "0", "--log-format", "json") as (process, line):
        assert process.stderr is not None
        yield process, url_in(line), json.loads(process.stderr.readline())["metrics"]


def test_metrics_have_a_listener_of_their_own(tmp_path: Path) -> None:
    with measured(tmp_path) as (process, url, place):
        assert place.startswith("127.0.0.1:")
        assert httpx2.get(f"{url}/metrics").status_code == 401
        assert httpx2.get(f"http://{place}/api/server").status_code == 404
        assert httpx2.post(f"http://{place}/metrics").status_code == 404
        with connect(f"ws{url.removeprefix('http')}{PATH}", proxy=None) as connection:
            connection.recv(30)
            answer = httpx2.get(f"http://{place}/metrics")
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        found = samples(answer.text)
        assert of(found, "tacit_sockets_open") == 1
        assert of(found, "tacit_connections_open") >= 1
        other = {"method": "other", "route": "other", "status": "401", "code": "request_unsigned"}
        assert of(found, "tacit_requests_total", **other) == 1
        assert of(found, "process_open_fds") > 0
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
        assert process.returncode == 0


def test_metrics_are_off_until_they_are_wanted() -> None:
    code = "import sys, tacit.server.serve; print('prometheus_client' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == "False\n"


def test_metrics_are_listened_for_on_loopback_only(tmp_path: Path) -> None:
    options = ("--metrics-port", "0", "--metrics-host", "0.0.0.0")
    done = subprocess.run(
        command(tmp_path / "chat.db", *options), capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, "not_loopback" in done.stderr) == (1, True)
