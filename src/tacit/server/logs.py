"""The log: one line for each event, as text or as JSON, on standard error.

What other libraries log is shown by its template and an exception's class: arguments and exceptions' texts may hold
what a client sent.
"""

from __future__ import annotations

import json
import logging
import re
from datetime import UTC, datetime
from typing import Any, Final, TextIO, assert_never, final

from tacit.server.events import (
    LIVE,
    READY,
    BatchWritten,
    CertificateRead,
    ConnectionCut,
    Event,
    Failed,
    FrameAnswered,
    RequestAnswered,
    SocketEnded,
    Started,
    Stopped,
    Stopping,
    StorageChanged,
    places,
)

FORMATS: Final = ("text", "json")
LEVELS: Final = ("info", "warning", "error")
OURS: Final = "tacit"
_PLAIN: Final = re.compile(r"[\w./:{}\[\]+-]+", re.ASCII)

log = logging.getLogger("tacit.server")

Line = tuple[int, str, dict[str, Any]]


def line_of(event: Event) -> Line | None:
    """An event's level, name and fields; None for what happens too often to be logged each time."""
    fields: dict[str, Any]
    match event:
        case Started(name, authority, version, metrics):
            fields = {"name": name, "authority": authority, "version": version, "metrics": metrics}
            return logging.INFO, "started", fields
        case Stopping(at_once):
            return logging.INFO, "stopping", {"how": "at once" if at_once else "gracefully"}
        case Stopped():
            return logging.INFO, "stopped", {}
        case RequestAnswered(request_id, method, route, status, code, seconds):
            if route in (LIVE, READY) and status == 200:
                return None
            fields = {"method": method, "route": route, "status": status, "code": code, "ms": _ms(seconds)}
            return logging.INFO, "request", {**fields, "id": request_id}
        case FrameAnswered(code, seconds):
            return (logging.INFO, "frame", {"code": code, "ms": _ms(seconds)}) if code else None
        case SocketEnded(outcome, seconds):
            return logging.INFO, "socket", {"outcome": outcome, "ms": _ms(seconds)}
        case BatchWritten() | ConnectionCut():
            return None
        case StorageChanged(full):
            return logging.ERROR, "storage", {"state": "full" if full else "room"}
        case Failed(error, where, request_id):
            return logging.ERROR, "failed", {"error": error, "where": list(where), "id": request_id}
        case CertificateRead(pin, problem):
            return logging.ERROR if problem else logging.INFO, "certificate", {"pin": pin, "problem": problem}
        case _:
            assert_never(event)


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)


def write(event: Event) -> None:
    """Log an event: the listener."""
    line = line_of(event)
    if line is not None and log.isEnabledFor(line[0]):
        level, name, fields = line
        log.log(level, _written(name, fields), extra={"event": name, "fields": fields})


def set_up(stream: TextIO, form: str, level: str) -> None:
    """Log events of this level and above in this form, and other libraries' warnings."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(Lines(form))
    logging.raiseExceptions = False  # a line that cannot be written would be shown with all its values
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger(OURS).setLevel(level.upper())


@final
class Lines(logging.Formatter):
    """One line for each record; fields that are empty are left out."""

    def __init__(self, form: str) -> None:
        super().__init__()
        self._json = form == "json"

    def format(self, record: logging.LogRecord) -> str:
        """The record as a line, without its line break."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        name, fields = _content(record)
        level = record.levelname.lower()
        if self._json:
            return json.dumps({"time": time, "level": level, "event": name, **_kept(fields)})
        return f"{time} {level} {_written(name, fields)}"


def _content(record: logging.LogRecord) -> tuple[str, dict[str, Any]]:
    given = vars(record)
    if "fields" in given:
        return given["event"], given["fields"]
    ours = record.name.partition(".")[0] == OURS
    message = record.getMessage() if ours else str(record.msg).partition("\n")[0]
    fields: dict[str, Any] = {"logger": record.name, "message": message}
    error = record.exc_info[1] if record.exc_info else None
    if error is not None:
        fields |= {"error": type(error).__name__, "where": list(places(error))}
    return "message", fields


def _kept(fields: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value not in ("", [])}


def _written(name: str, fields: dict[str, Any]) -> str:
    return " ".join((name, *(f"{key}={_text(value)}" for key, value in _kept(fields).items())))


def _text(value: object) -> str:
    text = " < ".join(reversed(value)) if isinstance(value, list) else str(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text)
