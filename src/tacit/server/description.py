"""The description of the API, as OpenAPI 3.1: made of handlers and types by a tool, and served as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from litestar import Response, get

from tacit.wire.text import from_json, to_json

PATH: Final = "/openapi.json"
FILE: Final = Path(__file__).with_name("openapi.json")
DOCUMENT: Final = to_json(from_json(FILE.read_bytes())).encode()


@get(PATH)
async def description() -> Response[bytes]:
    """What every request takes and is answered, with examples; this document."""
    return Response(DOCUMENT, media_type="application/json")
