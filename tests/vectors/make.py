#!/usr/bin/env python3
"""Makes the known answers in tacit/, from the specification alone: this imports `cryptography` and nothing of tacit.

`make.py` writes them; `make.py --check` makes them again and says which file differs. What the library draws itself
(RSA keys, ciphertexts under public keys) is drawn once, kept in drawn.json, and checked by opening it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from vectors.maker import basics, chains, edges, epochs, messages, requests
from vectors.maker.primitives import FOLDER, STORE
from vectors.maker.tls import plain

ABOUT = "Bytes are lowercase hex unless README.md says otherwise; integers stay below 2^53. Made by ../make.py."
FILES: dict[str, Callable[[], dict[str, Any]]] = {
    "texts": basics.texts,
    "structs": basics.structs,
    "hashes": basics.hashes,
    "derivations": basics.derivations,
    "sealed": basics.sealed,
    "signatures": edges.signatures,
    "public_keys": edges.public_keys,
    "requests": requests.requests,
    "accounts": chains.accounts,
    "vaults": chains.vaults,
    "outers": chains.outers,
    "merges": chains.merges,
    "boxes": epochs.boxes,
    "conversations": epochs.conversations,
    "grants": epochs.grants,
    "contents": messages.contents,
    "messages": messages.messages,
}


def made() -> dict[str, str]:
    """Every file's text by its name."""
    texts = {name: _text(make()) for name, make in FILES.items()}
    return texts | {"drawn": _text({"drawn": dict(sorted(STORE.used.items()))})}


def _text(content: dict[str, Any]) -> str:
    return json.dumps({"about": ABOUT, **plain(content)}, indent=1, ensure_ascii=False) + "\n"


def main() -> int:
    """Write, or with --check compare; 1 where something differs."""
    texts = made()
    if "--check" not in sys.argv[1:]:
        for name, text in texts.items():
            (FOLDER / f"{name}.json").write_text(text, encoding="utf-8")
        return 0
    differ = [] if STORE.made == 0 else ["something had to be drawn anew"]
    for name, text in texts.items():
        path = FOLDER / f"{name}.json"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            differ.append(f"{name}.json differs")
    print("\n".join(differ or ["the same"]))
    return bool(differ)


if __name__ == "__main__":
    sys.exit(main())
