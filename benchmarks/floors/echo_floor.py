"""The control of the WebSocket's ceilings: uvicorn alone, which sends back what comes, or hands it to all others.

python benchmarks/floors/echo_floor.py 0 echo     # prints its port
python benchmarks/floors/echo_floor.py 0 fan-out  # whatever comes on one connection goes to all that are open
"""

from __future__ import annotations

import asyncio
import socket
import sys
from typing import Any

import uvicorn
import uvloop

OPEN: set[Any] = set()


async def application(scope: Any, receive: Any, send: Any) -> None:
    """One connection; its second half is the loop that matters."""
    await receive()
    await send({"type": "websocket.accept"})
    everybody = sys.argv[2] == "fan-out"
    OPEN.add(send)
    try:
        while (message := await receive())["type"] == "websocket.receive":
            frame = {"type": "websocket.send", "text": message["text"]}
            if everybody:
                for each in OPEN:
                    await each(frame)
            else:
                await send(frame)
    finally:
        OPEN.discard(send)


def main() -> None:
    """Serve until the process is stopped."""
    with socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=1024) as listening:
        print(listening.getsockname()[1], flush=True)
        config = uvicorn.Config(
            application,
            loop="none",
            http="httptools",
            ws="websockets-sansio",
            lifespan="off",
            log_level="warning",
            ws_per_message_deflate=False,
        )
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(uvicorn.Server(config).serve(sockets=[listening]))


if __name__ == "__main__":
    main()
