"""The key that a server makes for itself: once, beside its database. The server's own code reaches no such thing."""

from __future__ import annotations

import os
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from tacit import errors
from tacit.crypto.certificate import self_signed
from tacit.crypto.secret import revealed


def make(path: Path, host: str) -> None:
    """Put a new key and its certificate in a file of mode 0600, whole or not at all; one that is there is kept.

    Raises `InvalidArgument` where it cannot be written.
    """
    made = revealed(self_signed(host, int(time.time()), os.urandom))
    try:
        handle, partial = tempfile.mkstemp(".partial", f".{path.name}.", path.parent)  # mode 0600
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(made)
                file.flush()
                os.fsync(handle)
            with suppress(FileExistsError):  # another server's came first, and is used by both
                os.link(partial, path)
        finally:
            Path(partial).unlink()
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise errors.InvalidArgument(f"{path}: cannot be written: {error.strerror}") from None
