"""Keychains for tests: what a system's does, and what can be wrong with one."""

from __future__ import annotations

from keyring.backend import KeyringBackend


class InMemory(KeyringBackend):
    """A keychain that works, for as long as the test runs."""

    priority = 5.0

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.kept: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.kept[service, username]


class Forgetful(InMemory):
    """Takes everything and keeps nothing."""

    def set_password(self, service: str, username: str, password: str) -> None:
        return None


class Broken(InMemory):
    """Fails, and says too much."""

    def set_password(self, service: str, username: str, password: str) -> None:
        raise OSError(f"cannot keep {password}")


class Plain(InMemory):
    """A plaintext file, say."""

    priority = 0.5


class OfTheSystem(InMemory):
    """Passes for one of an operating system's."""


OfTheSystem.__module__ = "keyring.backends.macOS"


class OfAnotherPackage(InMemory):
    """Passes for one that keeps its secrets in a file, at whatever priority."""


OfAnotherPackage.__module__ = "keyrings.alt.file"
