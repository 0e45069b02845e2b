"""The benchmark `server` beyond sending: pages, fan-out, idle sockets, and growth."""

from __future__ import annotations

import asyncio
import resource
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.harness import Report
from benchmarks.server_hosts import HOST, by_socket, control, go, per_turn, product, turns
from benchmarks.server_load import Run, Sender, Socket, connect_http, connect_socket, greet, masked
from benchmarks.server_seed import Pair, fill, seed

SENDERS: Final = 64
FANS: Final = 500
FAN_RATE: Final = 60_000
OF_CONTROL: Final = 0.8
IDLE: Final = 10_000
FEW: Final = 50
"""Sockets that are open before memory is looked at."""
IDLE_KIB: Final = 40.0
ROWS: Final = (10_000, 100_000, 1_000_000)
OF_FEW_ROWS: Final = 0.9
MESSAGES_PATH: Final = "/api/messages/encrypted"
PAGE: Final = 50


async def reading(report: Report, folder: Path) -> None:
    """Pages of 50 messages a second, one reader after the other's answer, 16 readers."""
    pairs = [Pair(number) for number in range(16)]
    seed(folder / "reading.db", pairs)
    fill(folder / "reading.db", 16 * 500, pairs)
    with product(folder / "reading.db") as server:
        done, senders = Run(), []
        authority = f"{HOST}:{server.port}"
        for pair in pairs:
            http = await connect_http(HOST, server.port)
            query = f"conversationId={pair.conversation_id}&after=100&limit={PAGE}"
            requests = [
                pair.writer.request("GET", authority, MESSAGES_PATH, query, b"") for _ in range(turns(report) * 20)
            ]
            sender = Sender(done, http.send, requests)
            http.got = sender.page
            senders.append(sender)
        spent = await go(server, done, senders)
    report.row(f"pages of {PAGE}, 16 readers", done.rate, "pages/s")
    report.row(f"pages of {PAGE}, server's processor", spent * 1e6, "us")


async def fanning(report: Report, folder: Path) -> None:
    """Messages a second to 500 sockets of a conversation, against uvicorn alone doing the same."""
    pair = Pair(0, FANS)
    seed(folder / "fan.db", [pair])
    rates: dict[str, list[float]] = {"product": [], "control": []}
    number = 10 if report.quick else 20
    with product(folder / "fan.db") as server, control("fan-out") as plain:
        ours = [await greet(HOST, server.port, person) for person in pair.people]
        theirs = [await connect_socket(HOST, plain.port, "/") for _ in pair.people]
        for socket in theirs:
            await socket.opened
        frame = masked(pair.seal_item())
        for _ in range(turns(report)):
            rates["product"].append(await fan(ours, [masked(pair.frame()) for _ in range(number)], answered=True))
            rates["control"].append(await fan(theirs, [frame] * number, answered=False))
    ours_, plain_ = statistics.median(rates["product"]), statistics.median(rates["control"])
    report.row(f"fan-out to {FANS} sockets, uvicorn alone", plain_, "messages/s")
    least = min(OF_CONTROL, FAN_RATE / plain_)
    report.row(
        f"fan-out to {FANS} sockets", ours_, "messages/s", ratio=ours_ / plain_, against="uvicorn", at_least=least
    )


async def fan(sockets: Sequence[Socket], frames: Sequence[bytes], *, answered: bool) -> float:
    """Send these on the first socket; messages a second that all got, all of each before the next is sent."""
    got, wanted = 0, 0
    reached = asyncio.Event()

    def count(payload: bytes) -> None:
        nonlocal got
        got += not payload.startswith(b'{"type":"sent"')
        if got >= wanted:
            reached.set()

    for socket in sockets:
        socket.got = count
    started = time.perf_counter()
    for frame in frames:
        wanted += len(sockets)
        reached.clear()
        sockets[0].send(frame)
        await asyncio.wait_for(reached.wait(), 30)
    return got / (time.perf_counter() - started)


async def idling(report: Report, folder: Path) -> None:
    """The server's own memory for each idle socket that has said whose it is, and one message among all of them."""
    number = IDLE // 20 if report.quick else IDLE
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    pairs = [Pair(each) for each in range(number // 2)]
    seed(folder / "idle.db", pairs)
    with product(folder / "idle.db") as server:
        first, rest = pairs[: FEW // 2], pairs[FEW // 2 :]
        open_ = [await greet(HOST, server.port, person) for pair in first for person in pair.people]
        before, files = server.kib(), server.files()
        open_ += [await greet(HOST, server.port, person) for pair in rest for person in pair.people]
        kib = (server.kib() - before) / (len(open_) - FEW)
        if any(socket.lost for socket in open_):
            raise RuntimeError("an idle socket was hung up on")
        done = Run()
        sender = Sender(done, open_[0].send, [masked(first[0].frame()) for _ in range(FEW)])
        open_[0].got, open_[1].got = sender.frame, sender.delivered
        await go(server, done, [sender])
        for socket in open_[FEW:]:
            socket.transport.close()
        async with asyncio.timeout(60):
            while server.files() > files:
                await asyncio.sleep(0.1)
        left = max(0.0, server.kib() - before) / (len(open_) - FEW)
    report.row(f"memory of each of {number:,} idle sockets", kib, "KiB", at_most=IDLE_KIB)
    report.row(f"of that left when {number - FEW:,} of them are gone", left, "KiB")
    report.row(f"a message among {number:,} idle sockets, p50", done.quantile(0.5) * 1e3, "ms")


async def growing(report: Report, folder: Path) -> None:
    """The rate of 64 senders over WebSocket with ever more messages stored."""
    pairs = [Pair(number) for number in range(SENDERS)]
    seed(folder / "growing.db", pairs)
    rates: dict[int, float] = {}
    each = per_turn(SENDERS)
    for rows in ROWS[:2] if report.quick else ROWS:
        fill(folder / "growing.db", rows, pairs)
        with product(folder / "growing.db") as server:
            runs = []
            for _ in range(turns(report) + 1):
                frames = [[masked(pair.frame()) for _ in range(each)] for pair in pairs]
                runs.append((await by_socket(server, pairs, frames))[0])
            middle = sorted(runs[1:], key=lambda one: one.rate)[len(runs[1:]) // 2]
        rates[rows] = middle.rate
        ratio = middle.rate / rates[ROWS[0]]
        least = OF_FEW_ROWS if rows == ROWS[-1] else None
        report.row(
            f"{rows:,} rows stored", middle.rate, "messages/s", ratio=ratio, against="10,000 rows", at_least=least
        )
        report.row(f"{rows:,} rows stored, p99", middle.quantile(0.99) * 1e3, "ms")
