"""TLS by a certificate's files, which are read again when they change."""

from __future__ import annotations

import asyncio
import ssl
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, final

from tacit import errors
from tacit.crypto.x509 import Leaf, read_pem
from tacit.server.backend import Clock
from tacit.server.events import CertificateRead, Event

RENEWAL_SECONDS: Final = 60.0
"""How often the files are looked at."""
LAST_DAYS: Final = 14
"""In so many days before its end it is told each day that nobody has renewed it."""

DAY: Final = 86400

Stamp = tuple[tuple[int, int, int] | None, ...]


@final
class Certificate:
    """A server's certificate with its chain, and its key, which may be in the same file.

    Raises `InvalidArgument` for files that cannot be read or used, and for a certificate that does not hold now.
    `context` is for the listener, and stays the same: it hands new connections over to what was read last.
    """

    def __init__(self, certificate: Path, key: Path | None, clock: Clock) -> None:
        self._files = (certificate, key or certificate)
        self._clock = clock
        self._stamp = _stamp(*self._files)
        self.context, self.leaf = read(*self._files, clock())
        self._newest = self.context
        self._told_days = LAST_DAYS
        self._was_open = False
        self.context.sni_callback = self._hand_over

    def _hand_over(self, connection: Any, *_: object) -> None:
        """OpenSSL asks in every handshake, also where no name is sent, before it takes the certificate."""
        connection.context = self._newest

    def look(self) -> CertificateRead | None:
        """Take the files if they changed. Where they cannot be used what there is goes on."""
        stamp = _stamp(*self._files)
        if stamp == self._stamp:
            return self._ending() or self._opened()
        self._stamp = stamp  # of two files that are written one after the other the second changes it again
        try:
            self._newest, self.leaf = read(*self._files, self._clock())
        except errors.InvalidArgument as error:
            return CertificateRead(self.leaf.pin, error.detail)
        self._told_days = LAST_DAYS
        return CertificateRead(self.leaf.pin)

    def _ending(self) -> CertificateRead | None:
        days = (self.leaf.not_after - self._clock() // 1000) // DAY
        if days >= self._told_days:
            return None
        self._told_days = days
        how = "has expired" if days < 0 else f"expires in {days} day{'s' * (days > 1)}" if days else "expires today"
        return CertificateRead(self.leaf.pin, f"{self._files[0]}: the certificate {how}")

    def _opened(self) -> CertificateRead | None:
        was, key = self._was_open, self._files[1]
        try:
            found = key.stat()
        except OSError:
            return None
        self._was_open = is_open(found.st_mode, found.st_uid)
        fault = f"{key}: others on this machine can read the key"
        return CertificateRead(self.leaf.pin, fault) if self._was_open and not was else None


def is_open(mode: int, owner: int) -> bool:
    """Whether a key's file can be read by others than its owner; a group may, where root says which one."""
    return bool(mode & (stat.S_IROTH if owner == 0 else stat.S_IROTH | stat.S_IRGRP))


async def keep_fresh(
    certificate: Certificate, tell: Callable[[Event], None], every_seconds: float = RENEWAL_SECONDS
) -> None:
    """Look at the files at once, and then once a minute."""
    while True:
        found = certificate.look()
        if found is not None:
            tell(found)
        await asyncio.sleep(every_seconds)


def read(certificate: Path, key: Path, now: int) -> tuple[ssl.SSLContext, Leaf]:
    """A context of these files and what their certificate says, at this Unix millisecond; raises `InvalidArgument`."""
    chain, _ = _content(certificate), _content(key)
    try:
        leaf = read_pem(chain)
    except errors.Malformed:
        raise errors.InvalidArgument(f"{certificate}: there is no certificate in PEM that can be read") from None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key, _no_password)
    except (OSError, ValueError) as error:
        fits = getattr(error, "reason", None) != "KEY_VALUES_MISMATCH"
        fault = "there is no key in PEM without a password" if fits else "the key is not the certificate's"
        raise errors.InvalidArgument(f"{key}: {fault}") from None
    if not leaf.not_before <= now // 1000 <= leaf.not_after:
        fault = "has expired" if now // 1000 > leaf.not_after else "does not hold yet"
        raise errors.InvalidArgument(f"{certificate}: the certificate {fault}")
    return context, leaf


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise errors.InvalidArgument(f"{file}: cannot be read: {error.strerror}") from None


def _no_password() -> str:
    """OpenSSL would ask at the terminal."""
    return ""


def _stamp(*files: Path) -> Stamp:
    """What changes with a file's content or place; None for one that is not there."""
    return tuple(_stamp_of(each) for each in files)


def _stamp_of(file: Path) -> tuple[int, int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
