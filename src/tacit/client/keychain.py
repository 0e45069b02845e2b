"""The operating system's keychain: one random secret of 32 bytes for each file of wrapped keys.

It is reached through `keyring`, which is imported only where a keychain is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeVar, final

from tacit import errors
from tacit.crypto.secret import Secret, revealed_key
from tacit.wire.text import from_base64, to_base64

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

T = TypeVar("T")

SERVICE: Final = "tacit"
SECRET_BYTES: Final = 32
LEAST_PRIORITY: Final = 1
"""keyring's own mark: what stands below it is not recommended."""
NOT_SECRET: Final = ("keyring.backends.fail", "keyring.backends.null", "keyring.backends.chainer", "keyrings.alt")
"""Modules of backends that keep nothing, that pass it on to whatever comes next, or that write it to a file."""
SYSTEMS: Final = (
    "keyring.backends.macOS",
    "keyring.backends.Windows",
    "keyring.backends.SecretService",
    "keyring.backends.libsecret",
    "keyring.backends.kwallet",
)
"""Modules of the backends that are an operating system's or a desktop's own keychain."""


@final
class Keychain:
    """Keeps secrets in a keychain; raises `NoKeychain` for a backend that is known to keep none, or not secretly."""

    def __init__(self, backend: KeyringBackend) -> None:
        if is_one_of(backend, NOT_SECRET) or reached(lambda: backend.priority) < LEAST_PRIORITY:
            raise errors.NoKeychain(f"{type(backend).__module__} keeps no secret")
        self._backend = backend

    def put(self, entry: str, secret: Secret) -> None:
        """Keep a secret; raises `NoKeychain` where it does not come back at once."""
        value = to_base64(revealed_key(secret, SECRET_BYTES))
        reached(lambda: self._backend.set_password(SERVICE, entry, value))
        if self.find(entry) != secret:
            raise errors.NoKeychain("it did not give back what it was given")

    def find(self, entry: str) -> Secret | None:
        """A secret; None where there is none, or one that is none of ours."""
        value = reached(lambda: self._backend.get_password(SERVICE, entry))
        try:
            raw = from_base64(value or "", SECRET_BYTES)
        except errors.PeerError:
            return None
        return Secret(raw) if len(raw) == SECRET_BYTES else None

    def remove(self, entry: str) -> None:
        """Forget a secret, where there is one."""
        if self.find(entry) is not None:
            reached(lambda: self._backend.delete_password(SERVICE, entry))


def system_keychain() -> Keychain:
    """The keychain of this system and user; raises `NoKeychain`.

    Only an operating system's own is taken: another package's backend could put itself first by being installed.
    Whoever wants such a one makes a `Keychain` of it.
    """
    for backend in reached(_backends):
        if is_one_of(backend, SYSTEMS):
            return Keychain(backend)
    raise errors.NoKeychain("there is none on this machine, or nobody is logged in to it")


def _backends() -> list[KeyringBackend]:
    """What keyring would use, a chain of several by its parts: so that none falls through to the next."""
    import keyring
    from keyring.backends.chainer import ChainerBackend

    chosen = keyring.get_keyring()
    return list(chosen.backends) if isinstance(chosen, ChainerBackend) else [chosen]


def is_one_of(backend: KeyringBackend, modules: tuple[str, ...]) -> bool:
    """Whether a backend, or a class that it is built on, is defined in one of these modules or below one."""
    own = [each.__module__ for each in type(backend).__mro__]
    return any(f"{name}.".startswith(f"{module}.") for name in own for module in modules)


def reached(work: Callable[[], T]) -> T:
    """What a keychain answers; raises `NoKeychain`, naming the kind of failure alone: its words may hold anything."""
    try:
        return work()
    except Exception as error:  # the edge of the process: D-Bus, its client and each system raise their own
        raise errors.NoKeychain(f"it cannot be used: {type(error).__name__}") from None
