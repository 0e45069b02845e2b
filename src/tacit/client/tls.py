"""TLS to the server: its key is one of those that were pinned, else the system's authorities vouch for its name."""

from __future__ import annotations

import ssl
from collections.abc import Collection
from typing import Any, Final, final

from tacit import errors
from tacit.crypto.x509 import check_pin, read_der
from tacit.signed.origin import Origin

NO_TLS: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""It trusts nobody. Every client would else read all authorities of the system at its start, and ask none of them."""


class _AnotherKeyError(ssl.SSLError):
    """Event loops end a handshake for no exception but TLS's own, so that the pin's has to be one."""


def context_for(origin: Origin, pins: Collection[str]) -> ssl.SSLContext | None:
    """What a connection to this server has to show; None where it is plain HTTP.

    Raises `InvalidArgument` for what is no pin, and for pins where there is no TLS to which they could apply.
    """
    for pin in pins:
        check_pin(pin)
    if origin.scheme == "http":
        if pins:
            raise errors.InvalidArgument("a pin is for https://; over http:// there is no key to compare it with")
        return None
    if pins:
        return Pinned(frozenset(pins))
    # Not `create_default_context`: it writes the connections' secrets where SSLKEYLOGFILE says.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    return context


@final
class _PinnedObject(ssl.SSLObject):
    def do_handshake(self) -> None:
        """Shake hands, and look at the key before anything is sent that is not of the handshake."""
        super().do_handshake()
        assert isinstance(self.context, Pinned)
        check_pinned(self.getpeercert(binary_form=True), self.context.pins)


@final
class Pinned(ssl.SSLContext):
    """TLS with whoever holds the secret of a pinned key; the certificate's names, dates and issuer are not asked."""

    sslobject_class = _PinnedObject
    pins: frozenset[str]

    def __new__(cls, pins: frozenset[str]) -> Pinned:
        made: Pinned = super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)
        made.minimum_version = ssl.TLSVersion.TLSv1_2
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
        made.pins = pins
        return made

    def wrap_socket(self, *_: Any, **__: Any) -> ssl.SSLSocket:
        """No door that leads past the pins: what wraps a socket itself never makes an `SSLObject`."""
        raise NotImplementedError


def check_pinned(certificate: bytes | None, pins: frozenset[str]) -> None:
    """Raises unless the key of a certificate in DER is one of the pinned ones."""
    try:
        pin = read_der(certificate or b"").pin
    except errors.Malformed:
        pin = ""
    if pin not in pins:
        raise _AnotherKeyError(1, "the server's key is not pinned")


def refusal(error: BaseException, authority: str) -> errors.PinMismatch | errors.CertificateRefused | None:
    """The refusal of a server that an error means, or what it was caused by; None for any other failure."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, errors.PinMismatch | errors.CertificateRefused):
            return cause
        if isinstance(cause, _AnotherKeyError):
            return errors.PinMismatch(authority)
        if isinstance(cause, ssl.SSLCertVerificationError):
            return errors.CertificateRefused(f"{authority}: {cause.verify_message}")
        cause = cause.__cause__ or cause.__context__  # a library may raise its own "from None"
    return None
