"""Writes docs/errors.md from the error tree; with `--check` says whether it is fresh."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT / "src"))

from tacit import errors  # noqa: E402  (the tree of this checkout, not an installed one)

PAGE = ROOT / "docs" / "errors.md"
FAULTS: tuple[tuple[type[errors.TacitError], str], ...] = (
    (errors.UsageError, "The caller asked for something that cannot work."),
    (errors.PeerError, "Bytes that were received are not acceptable."),
    (errors.ServiceError, "The network, the server or the storage failed."),
)
HEAD = """\
# Errors

Every error has a stable code. Python raises the class, the server answers with an HTTP problem (RFC 9457) whose
`type` is `tacit:` and the code, and `tacit --json` prints the code.
This page is made from `src/tacit/errors.py` by `tools/error_table.py`.
"""


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    known = errors.concrete()
    for fault, meaning in FAULTS:
        parts.append(f"\n## {fault.__name__}\n\n{meaning}\n\n")
        parts.append("| code | HTTP status | meaning | remedy |\n|---|---|---|---|\n")
        for code in sorted(known):
            cls = known[code]
            if issubclass(cls, fault):
                parts.append(f"| `{code}` | {cls.status} | {_cell(cls.title())} | {_cell(cls.remedy)} |\n")
    return "".join(parts)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def faults() -> list[str]:
    """What is wrong with the tree or the page, one line each."""
    found: list[str] = []
    for code, cls in sorted(errors.concrete().items()):
        kinds = [fault.__name__ for fault, _ in FAULTS if issubclass(cls, fault)]
        if len(kinds) != 1:
            found.append(f"{code}: {cls.__name__} belongs to {' and '.join(kinds) or 'none'} of the three faults")
        if not 400 <= cls.status <= 599:
            found.append(f"{code}: {cls.status} is no HTTP error status")
        if "__doc__" not in cls.__dict__ or not cls.title():
            found.append(f"{code}: {cls.__name__} has no text for the person who reads it")
        if not cls.remedy:
            found.append(f"{code}: {cls.__name__} has no remedy")
    if not PAGE.exists() or PAGE.read_text(encoding="utf-8") != page():
        found.append("docs/errors.md is not what errors.py says: .venv/bin/python tools/error_table.py")
    return found


def main() -> int:
    """Write the page, or check it."""
    if "--check" in sys.argv[1:]:
        found = faults()
        print("\n".join(found) or "docs/errors.md is fresh")
        return 1 if found else 0
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
