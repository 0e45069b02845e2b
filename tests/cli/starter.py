"""Has a process of the product forked in a nursery, and ends as it ends; run as a script, on the standard library."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys

FORWARDED = (signal.SIGINT, signal.SIGTERM)


def inherited() -> list[int]:
    """The descriptors that this process was given."""
    found = []
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208  (pathlib takes longer to load than all the rest)
        try:
            if os.get_inheritable(int(name)):
                found.append(int(name))
        except OSError:  # the listing's own
            continue
    return found


def main(address: str, arguments: list[str]) -> None:
    """Hand everything over, wait for the end."""
    signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED)
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(address)
    descriptors = inherited()
    wanted = json.dumps(
        {
            "arguments": arguments,
            "environment": dict(os.environ),
            "folder": os.getcwd(),  # noqa: PTH109
            "descriptors": descriptors,
        }
    ).encode()
    socket.send_fds(connection, [len(wanted).to_bytes(8, "big")], descriptors)
    connection.sendall(wanted)
    child = int.from_bytes(connection.recv(8), "big")
    for number in FORWARDED:
        signal.signal(number, lambda told, _: os.kill(child, told))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, FORWARDED)
    for descriptor in descriptors:  # an end that the other process closes is closed then
        os.close(descriptor)
    ended = connection.recv(8)
    status = int.from_bytes(ended, "big", signed=True) if ended else 1
    if status < 0:
        with contextlib.suppress(OSError):  # SIGKILL has no handler
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    os._exit(status)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
