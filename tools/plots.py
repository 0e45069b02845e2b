"""Draw docs/images from what `./dev bench server --json` and `./dev bench mls --json` printed.

./dev bench server --json > server.jsonl; .venv/bin/python tools/plots.py server.jsonl
./dev bench mls --json > mls.jsonl; .venv/bin/python tools/plots.py mls.jsonl
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import matplotlib as mpl

mpl.use("svg")
mpl.rcParams["svg.hashsalt"] = "tacit"

from matplotlib import pyplot as plt  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
COLOURS = {"WebSocket": "#1f6feb", "HTTP": "#bf5700", "echo": "#8c959f"}
NAMES = {"WebSocket": "tacit, WebSocket", "HTTP": "tacit, HTTP", "echo": "uvicorn alone, echo"}


def rows(path: Path) -> dict[str, float]:
    """The values by their names."""
    found: dict[str, float] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        found.setdefault(row["name"], row["value"])
    return found


def series(found: dict[str, float], way: str, ending: str = "") -> tuple[list[int], list[float]]:
    """A figure of one way by the number of senders."""
    points = []
    for name, value in found.items():
        if match := re.fullmatch(rf"{way}, (\d+) senders?{ending}", name):
            points.append((int(match[1]), value))
    return [at for at, _ in sorted(points)], [value for _, value in sorted(points)]


def sending(found: dict[str, float]) -> None:
    """Rates and times by the number of senders."""
    figure, (rates, times) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for way, colour in COLOURS.items():
        rates.plot(*series(found, way), marker="o", color=colour, label=NAMES[way])
        if way != "echo":
            times.plot(*series(found, way, ", p50"), marker="o", color=colour, label=f"{NAMES[way]}, p50")
            times.plot(*series(found, way, ", p99"), marker="x", ls="--", color=colour, label=f"{NAMES[way]}, p99")
    for axes, title in ((rates, "messages a second"), (times, "ms from sending to delivery")):
        axes.set(xscale="log", yscale="log", xlabel="senders", title=title)
        axes.set_xticks([1, 16, 64, 256], ["1", "16", "64", "256"])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, fontsize=8)
    save(figure, "sending.svg")


def growing(found: dict[str, float]) -> None:
    """The rate by the number of stored messages."""
    points = sorted(
        (int(match[1].replace(",", "")), value)
        for name, value in found.items()
        if (match := re.fullmatch(r"([\d,]+) rows stored", name))
    )
    figure, axes = plt.subplots(figsize=(4.5, 3.2), layout="constrained")
    axes.plot([at for at, _ in points], [value for _, value in points], marker="o", color=COLOURS["WebSocket"])
    axes.set(xscale="log", xlabel="messages stored", title="messages a second, 64 senders")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    save(figure, "growing.svg")


PEERS = {
    "": ("tacit", "#1f6feb", "-"),
    ", primitives alone": ("primitives alone", "#8c959f", "--"),
    ", mls-rs": ("mls-rs, scaled", "#bf5700", ":"),
    ", OpenMLS": ("OpenMLS, scaled", "#8250df", ":"),
    ", ts-mls": ("ts-mls", "#1a7f37", "-."),
}
OPERATIONS = (
    "add all", "join cold", "add 1 made", "add 1 processed",
    "update made, cold", "update made, warm", "update processed, cold", "update processed, warm",
    "remove made", "remove processed", "protect 100 B", "unprotect 100 B",
)  # fmt: skip
KINDS = {"0x1": ("suite 1", "#1f6feb"), "0x2": ("suite 2", "#bf5700"), "0x53": ("suite 0x0053", "#8250df")}
GROWN = ("add all", "join warm", "update processed, warm", "load", "save after a message", "protect 100 B")
WEIGHED = ("welcome for 1", "update commit, cold", "update commit, warm")


def by_members(found: dict[str, float], operation: str, suite: str, ending: str = "") -> tuple[list[int], list[float]]:
    """A figure of an operation by the number of members."""
    pattern = rf"{re.escape(operation)}, ([\d,]+) members, suite {suite}{re.escape(ending)}"
    points = sorted(
        (int(match[1].replace(",", "")), value)
        for name, value in found.items()
        if (match := re.fullmatch(pattern, name))
    )
    return [at for at, _ in points], [value for _, value in points]


def groups(found: dict[str, float]) -> None:
    """What each operation of suite 1 takes as a group grows, beside the others."""
    figure, panels = plt.subplots(3, 4, figsize=(11, 7.5), layout="constrained")
    for axes, operation in zip(panels.flat, OPERATIONS, strict=True):
        for ending, (label, colour, style) in PEERS.items():
            points = by_members(found, operation, "0x1", ending)
            axes.plot(*points, marker="o", ms=3, color=colour, ls=style, label=label)
        unit = "µs" if "protect" in operation else "ms"
        axes.set(xscale="log", yscale="log", title=f"{operation}, {unit}")
        axes.title.set_fontsize(9)
        axes.grid(alpha=0.3)
    figure.supxlabel("members", fontsize=9)
    handles, labels = panels.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(PEERS), frameon=False, fontsize=9)
    save(figure, "groups.png")


def suites(found: dict[str, float]) -> None:
    """The same in three suites, and what travels."""
    figure, panels = plt.subplots(3, 3, figsize=(9.5, 7.5), layout="constrained")
    for axes, operation in zip(panels.flat, (*GROWN, *WEIGHED), strict=True):
        for suite, (label, colour) in KINDS.items():
            axes.plot(*by_members(found, operation, suite), marker="o", ms=3, color=colour, label=label)
        micro = operation in ("protect 100 B", "save after a message")
        unit = "bytes" if operation in WEIGHED else "µs" if micro else "ms"
        axes.set(xscale="log", yscale="log", title=f"{operation}, {unit}")
        axes.title.set_fontsize(9)
        axes.grid(alpha=0.3)
    figure.supxlabel("members", fontsize=9)
    handles, labels = panels.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(KINDS), frameon=False, fontsize=9)
    save(figure, "group-suites.png")


def save(figure: Figure, name: str) -> None:
    """Write one picture, the same bytes for the same figures."""
    IMAGES.mkdir(exist_ok=True)
    figure.savefig(IMAGES / name, dpi=110, metadata={"Date": None} if name.endswith(".svg") else {"Software": None})


if __name__ == "__main__":
    given = rows(Path(sys.argv[1]))
    if any(name.endswith("suite 0x1") for name in given):
        groups(given)
        suites(given)
    else:
        sending(given)
        growing(given)
