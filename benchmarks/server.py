"""The server under load: messages over WebSocket and HTTP, pages, fan-out, idle sockets, and growth.

One server process is kept on one core, the load (this process) on another. Every figure stands beside a ceiling or a
control that was measured in the same run, in turns with it: uvicorn alone, and plain sqlite3.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import uvloop

from benchmarks.floors.request_floor import sign_bare, verify_bare
from benchmarks.floors.store_floor import Floor, some_message
from benchmarks.harness import Report, interleave
from benchmarks.server_hosts import (
    CORES,
    HOST,
    Process,
    by_socket,
    control,
    first_core,
    go,
    load_core,
    per_turn,
    product,
    turns,
)
from benchmarks.server_load import (
    Run,
    Sender,
    connect_http,
    connect_socket,
    greet,
    masked,
)
from benchmarks.server_more import fanning, growing, idling, reading
from benchmarks.server_seed import Pair, Person, seed
from benchmarks.store import Product, file_system, on_disk, places
from tacit.signed.request import read_signature, sign_request, verify_request

NAME = "server"

SENDERS: Final = (1, 16, 64, 256)
ASKED: Final = 64
OF_CEILING: Final = 0.6
SIGNING: Final = 2.0
MESSAGES_PATH: Final = "/api/messages/encrypted"


def run(report: Report) -> None:
    """All of it."""
    place = on_disk(places())
    report.note(f"One server process on one core, the load on another; {file_system(place)}, synchronous=FULL.")
    report.note("Conversations of two, both connected; each sender waits for its answer before it sends again.")
    load_core()
    try:
        signing(report)
        with (
            tempfile.TemporaryDirectory(dir=place) as directory,
            asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        ):
            folder = Path(directory)
            runner.run(sending(report, folder))
            store_at_64(report, folder, runner)
            compare(report)
            runner.run(reading(report, folder))
            runner.run(fanning(report, folder))
            runner.run(idling(report, folder))
            runner.run(growing(report, folder))
    finally:
        os.sched_setaffinity(0, CORES)


# --- signatures of requests --------------------------------------------------------------------


def signing(report: Report) -> None:
    """Signing and verifying one request of 1 KiB against the bare signature and digest."""
    person, body, now = Person.make("alice"), os.urandom(1024), 1_800_000_000
    given = {"key_id": person.device_id, "created": now, "expires": now + 60, "nonce": "n" * 22}

    def sign() -> dict[str, str]:
        return sign_request("POST", "h:1", MESSAGES_PATH, "", body, signer=person.key.sign, **given)  # type: ignore[arg-type]

    headers = list(sign().items())
    base = b"x" * 420  # as long as what is signed
    public = person.key.public

    def verify() -> None:
        read = read_signature(headers)
        verify_request(read, "POST", "h:1", MESSAGES_PATH, "", body, public=public, now=now)

    bare_sign, bare_verify = sign_bare(base, body), verify_bare(base, body)
    cases = {"sign": sign, "bare sign": bare_sign, "verify": verify, "bare verify": bare_verify}
    seconds = interleave(cases, report.rounds(61))
    for name in ("sign", "verify"):
        bare = seconds[f"bare {name}"]
        report.row(f"{name} a request, primitives alone", bare * 1e6, "us")
        report.row(
            f"{name} a request",
            seconds[name] * 1e6,
            "us",
            ratio=seconds[name] / bare,
            against="primitives",
            at_most=SIGNING,
        )


# --- sending -----------------------------------------------------------------------------------


async def by_http(process: Process, pairs: Sequence[Pair], messages: Sequence[Sequence[bytes]]) -> tuple[Run, float]:
    """One turn of signed requests; what is delivered comes by WebSocket."""
    done, senders, open_ = Run(), [], list[asyncio.Transport]()
    authority = f"{HOST}:{process.port}"
    for pair, bodies in zip(pairs, messages, strict=True):
        http = await connect_http(HOST, process.port)
        his = await greet(HOST, process.port, pair.people[1])
        requests = [pair.writer.request("POST", authority, MESSAGES_PATH, "", body) for body in bodies]
        sender = Sender(done, http.send, requests)
        http.got, his.got = sender.answer, sender.delivered
        senders.append(sender)
        open_ += (http.transport, his.transport)
    spent = await go(process, done, senders)
    for transport in open_:
        transport.close()
    return done, spent


async def by_echo(process: Process, senders: int, frame: bytes, each: int) -> tuple[Run, float]:
    """One turn of frames that uvicorn alone sends back."""
    done, all_, open_ = Run(), [], []
    for _ in range(senders):
        socket = await connect_socket(HOST, process.port, "/")
        await socket.opened
        sender = Sender(done, socket.send, [frame] * each)
        socket.got = sender.echoed
        all_.append(sender)
        open_.append(socket)
    spent = await go(process, done, all_)
    for socket in open_:
        socket.transport.close()
    return done, spent


FOUND: dict[str, float] = {}


async def sending(report: Report, folder: Path) -> None:
    """Messages a second and times to delivery, over WebSocket and HTTP, in turns with uvicorn's echo."""
    pairs = [Pair(number) for number in range(max(SENDERS))]
    seed(folder / "sending.db", pairs)
    with product(folder / "sending.db") as server, control("echo") as echo:
        for senders in SENDERS:
            chosen, each = pairs[:senders], per_turn(senders)
            runs: dict[str, list[tuple[Run, float]]] = {"WebSocket": [], "HTTP": [], "echo": []}
            for _ in range(turns(report)):
                frames = [[masked(pair.frame()) for _ in range(each)] for pair in chosen]
                bodies = [[pair.body() for _ in range(each)] for pair in chosen]
                runs["WebSocket"].append(await by_socket(server, chosen, frames))
                runs["echo"].append(await by_echo(echo, senders, frames[0][0], each * 2))
                runs["HTTP"].append(await by_http(server, chosen, bodies))
            for name, found in runs.items():
                middle = sorted(found, key=lambda one: one[0].rate)[len(found) // 2]
                FOUND[f"{name} {senders}"] = middle[0].rate
                label = f"{name}, {senders} sender{'s' if senders > 1 else ''}"
                report.row(label, middle[0].rate, "messages/s")
                report.row(f"{label}, p50", middle[0].quantile(0.5) * 1e3, "ms")
                report.row(f"{label}, p99", middle[0].quantile(0.99) * 1e3, "ms")
                report.row(f"{label}, server's processor", middle[1] * 1e6, "us")
                report.row(f"{label}, load's processor", middle[0].own * 1e6, "us")


def store_at_64(report: Report, folder: Path, runner: asyncio.Runner) -> None:
    """The store's own writer fed 64 rows at a time, and plain sqlite3, on the server's core."""
    os.sched_setaffinity(0, {first_core()})
    made = iter(some_message(number, ASKED) for number in range(10_000_000))
    writer, floor = Product(folder / "writer.db", runner), Floor(folder / "floor.db")
    batches = 20 if report.quick else 60

    def given() -> list[object]:
        return [next(made) for _ in range(ASKED * batches)]

    rates: dict[str, list[float]] = {"store": [], "sqlite3": []}
    for _ in range(turns(report)):
        messages = given()
        started = time.perf_counter()
        writer.send(messages, ASKED)  # type: ignore[arg-type]
        rates["store"].append(len(messages) / (time.perf_counter() - started))
        messages = given()
        started = time.perf_counter()
        for start in range(0, len(messages), ASKED):
            floor.batch(messages[start : start + ASKED])  # type: ignore[arg-type]
        rates["sqlite3"].append(len(messages) / (time.perf_counter() - started))
    writer.close()
    floor.close()
    for name, found in rates.items():
        FOUND[name] = statistics.median(found)
    load_core()


def compare(report: Report) -> None:
    """What 64 senders reach of the lower ceiling."""
    store, echo = FOUND["store"], FOUND[f"echo {ASKED}"]
    report.row("sqlite3 in batches of 64", FOUND["sqlite3"], "rows/s")
    report.row("store fed 64 at a time", store, "rows/s", ratio=store / FOUND["sqlite3"], against="sqlite3")
    lower = min(store, echo)
    for way in ("WebSocket", "HTTP"):
        rate = FOUND[f"{way} {ASKED}"]
        asked = OF_CEILING if way == "WebSocket" else None
        report.row(
            f"{way}, {ASKED} senders",
            rate,
            "messages/s",
            ratio=rate / lower,
            against="the lower ceiling",
            at_least=asked,
        )
