"""Draw docs/images/*.svg from what `./dev bench server --json` printed.

./dev bench server --json > server.jsonl; .venv/bin/python tools/plots.py server.jsonl
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


def save(figure: Figure, name: str) -> None:
    """Write one picture, the same bytes for the same figures."""
    IMAGES.mkdir(exist_ok=True)
    figure.savefig(IMAGES / name, metadata={"Date": None})


if __name__ == "__main__":
    given = rows(Path(sys.argv[1]))
    sending(given)
    growing(given)
