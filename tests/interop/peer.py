"""A Node process with ts-mls members, and each of them as a `Person`."""

from __future__ import annotations

import json
import os
import select
import subprocess
import tempfile
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from interop.install import HERE, Node
from interop.person import Commit, Received, Refused, View

SECONDS = 60.0  # for one answer; the slowest takes well under one
FOREVER = (0, 2**63 - 1)  # a lifetime that holds by every clock


class PeerDied(Exception):
    """The process ended, or gave no answer in time; the text has what it said on stderr."""


class Peer:
    """The process: one question, one answer. Ends with its context, and by itself when this process does."""

    def __init__(self, node: Node) -> None:
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 (closed by stop)
        self._process = subprocess.Popen(
            [*node.node, str(HERE / "peer.mjs")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            bufsize=0,
        )
        self._rest = b""

    @property
    def pid(self) -> int:
        return self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def ask(self, do: str, *, seconds: float = SECONDS, **given: Any) -> dict[str, Any]:
        """The answer to a command; raises `Refused` with the peer's error, or `PeerDied`."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"do": do, **given}).encode() + b"\n")
        except BrokenPipeError:
            raise self._died("ended") from None
        answer: dict[str, Any] = json.loads(self._line(time.monotonic() + seconds))
        if "error" in answer:
            raise Refused(f"{do}: {answer['error']}")
        return answer

    def stop(self) -> None:
        """Ends the process: by the end of its input, and where that is not enough, by force."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._said.close()

    def _line(self, until: float) -> bytes:
        assert self._process.stdout is not None
        while b"\n" not in self._rest:
            left = until - time.monotonic()
            if left <= 0 or not select.select([self._process.stdout], [], [], left)[0]:
                self._process.kill()
                raise self._died("gave no answer in time")
            more = os.read(self._process.stdout.fileno(), 1 << 16)
            if not more:
                raise self._died("ended")
            self._rest += more
        line, self._rest = self._rest.split(b"\n", 1)
        return line

    def _died(self, how: str) -> PeerDied:
        self._process.wait()
        self._said.seek(0)
        return PeerDied(f"the peer {how}: {self._said.read()[-2000:].decode(errors='replace')}")


class TsPerson:
    """A ts-mls member: a `Person`."""

    kind = "ts-mls"

    def __init__(self, peer: Peer, name: str, suite: int, *, lifetime: tuple[int, int] = FOREVER) -> None:
        self.name = name
        self._peer = peer
        self._lifetime = lifetime
        self.signature_key = bytes.fromhex(peer.ask("person", name=name, suite=suite)["signatureKey"])

    def _ask(self, do: str, **given: Any) -> dict[str, Any]:
        return self._peer.ask(do, name=self.name, **given)

    def know(self, name: str, signature_key: bytes) -> None:
        """Introduces somebody, to every member of this process."""
        self._peer.ask("know", identity=name, signatureKey=signature_key.hex())

    def key_package(self) -> bytes:
        before, after = (str(each) for each in self._lifetime)
        return bytes.fromhex(self._ask("keyPackage", notBefore=before, notAfter=after)["keyPackage"])

    def create(self, group_id: bytes) -> None:
        self.key_package()
        self._ask("create", groupId=group_id.hex())

    def join(self, welcome: bytes, tree: bytes | None) -> None:
        self._ask("join", welcome=welcome.hex(), tree=None if tree is None else tree.hex())

    def commit(
        self, *, add: Sequence[bytes] = (), remove: Sequence[str] = (), public: bool = False, tree_inside: bool = True
    ) -> Commit:
        made = self._ask(
            "commit", add=[each.hex() for each in add], remove=list(remove), asPublic=public, treeInside=tree_inside
        )
        welcome, tree = (None if made[key] is None else bytes.fromhex(made[key]) for key in ("welcome", "tree"))
        return Commit(bytes.fromhex(made["message"]), welcome, tree)

    def accept(self) -> None:
        self._ask("accept")

    def drop(self) -> None:
        self._ask("drop")

    def propose_add(self, key_package: bytes, *, public: bool = False) -> bytes:
        return self._message("propose", kind="add", keyPackage=key_package.hex(), asPublic=public)

    def propose_update(self, *, public: bool = False) -> bytes:
        return self._message("propose", kind="update", asPublic=public)

    def propose_remove(self, name: str, *, public: bool = False) -> bytes:
        return self._message("propose", kind="remove", identity=name, asPublic=public)

    def send(self, data: bytes, aad: bytes = b"") -> bytes:
        return self._message("send", data=data.hex(), aad=aad.hex())

    def _message(self, do: str, **given: Any) -> bytes:
        return bytes.fromhex(self._ask(do, **given)["message"])

    def receive(self, message: bytes) -> Received:
        was = self._ask("receive", message=message.hex())
        return Received(
            was["kind"],
            was["sender"],
            was["epoch"],
            bytes.fromhex(was.get("data", "")),
            bytes.fromhex(was.get("aad", "")),
            was.get("removed", False),
        )

    def view(self) -> View:
        seen = self._ask("look")
        members = tuple((leaf, name) for leaf, name in seen["members"])
        return View(seen["epoch"], bytes.fromhex(seen["authenticator"]), members)

    def export(self, label: str, context: bytes, length: int) -> bytes:
        return bytes.fromhex(self._ask("export", label=label, context=context.hex(), length=length)["secret"])

    def reload(self) -> None:
        self._ask("restore", state=self._ask("save")["state"])
