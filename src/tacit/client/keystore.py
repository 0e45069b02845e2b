"""The one local key: random, wrapped beside the store that it opens."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Final, final

import msgspec

from tacit import errors
from tacit.crypto import sealed
from tacit.crypto.kdf import argon2id
from tacit.crypto.secret import Randomness, Secret
from tacit.identity.unlockers import ARGON2ID, Cost, KdfBounds
from tacit.signed import labels
from tacit.signed.vault import PasswordParameters
from tacit.signed.verify import labelled
from tacit.wire.codec import U8, Variable, encode, struct
from tacit.wire.text import from_base64, to_base64

KEY_BYTES: Final = 32
SALT_BYTES: Final = 16
FILE_BYTES: Final = 4096
BOUNDS: Final = KdfBounds(memory_kib=(8, 1024 * 1024), iterations=(1, 16), lanes=(1, 16))
"""What a key file may ask for: the ceiling is the point, since a thief who lowers the cost only spoils the file."""


@struct
class StoreKeyContext:
    """What the wrapped key is bound to: format 1, and how the wrapping key was derived."""

    version: U8
    parameters: Annotated[bytes, Variable(1024)]


class KeyFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """The file beside the store; nothing in it is secret without the passphrase."""

    version: int
    kdf: str
    memory_kib: int
    iterations: int
    lanes: int
    salt: str
    wrapped_key: str


@final
class SecureKeyStore:
    """Keeps a store's 32-byte key, wrapped under a passphrase (or the account's password) by Argon2id, in `path`."""

    def __init__(self, path: Path, random: Randomness, cost: Cost | None = None) -> None:
        self.path = path
        self._random = random
        self._cost = cost or Cost()

    def exists(self) -> bool:
        """Whether a key was made already."""
        return self.path.exists()

    def create(self, passphrase: Secret) -> Secret:
        """A new random key, wrapped and written before it is given out; raises `StoreLocked` where there is one."""
        if self.exists():
            raise errors.StoreLocked("there is a key already")
        key = Secret(self._random(KEY_BYTES))
        self._write(key, passphrase)
        return key

    def open(self, passphrase: Secret) -> Secret:
        """The key; raises `StoreLocked` for another passphrase and for a file that is none of ours."""
        try:
            raw = self.path.read_bytes()
        except FileNotFoundError:
            raise errors.StoreLocked(f"there is no {self.path.name}") from None
        try:
            file = msgspec.json.decode(raw[: FILE_BYTES + 1], type=KeyFile)
            if file.version != 1 or file.kdf != "argon2id":
                raise errors.StoreLocked(f"{self.path.name} is of a version that this program does not know")
            salt = from_base64(file.salt, 64)
            parameters = PasswordParameters(ARGON2ID, file.memory_kib, file.iterations, file.lanes, salt)
            BOUNDS.check(parameters)
            wrapped = from_base64(file.wrapped_key, FILE_BYTES)
            wrapping_key = _derive(passphrase, parameters)
        except (msgspec.DecodeError, errors.PeerError, errors.InvalidArgument):
            raise errors.StoreLocked(f"{self.path.name} cannot be read") from None
        try:
            return Secret(sealed.open(wrapping_key, _context(parameters), wrapped))
        except errors.DecryptionError:
            raise errors.StoreLocked() from None

    def rewrap(self, old: Secret, new: Secret) -> None:
        """The same key under another passphrase; raises `StoreLocked` for a wrong old one."""
        self._write(self.open(old), new)

    def _write(self, key: Secret, passphrase: Secret) -> None:
        cost = self._cost
        salt = self._random(SALT_BYTES)
        parameters = PasswordParameters(ARGON2ID, cost.memory_kib, cost.iterations, cost.lanes, salt)
        wrapped = sealed.seal(_derive(passphrase, parameters), _context(parameters), key.reveal())
        file = KeyFile(1, "argon2id", cost.memory_kib, cost.iterations, cost.lanes, to_base64(salt), to_base64(wrapped))
        write_private(self.path, msgspec.json.encode(file) + b"\n")


def _derive(passphrase: Secret, parameters: PasswordParameters) -> Secret:
    return argon2id(
        passphrase,
        parameters.salt,
        memory_kib=parameters.memory_kib,
        iterations=parameters.iterations,
        lanes=parameters.lanes,
    )


def _context(parameters: PasswordParameters) -> bytes:
    return labelled(labels.STORE_KEY, StoreKeyContext(1, encode(parameters)))


def write_private(path: Path, data: bytes) -> None:
    """Put a file in place whole or not at all, readable by its owner only; raises `InvalidArgument` for a bad path."""
    new = path.with_name(path.name + ".new")
    try:
        new.unlink(missing_ok=True)
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(descriptor, data)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        new.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise errors.InvalidArgument(f"{path.name} cannot be written: {error.strerror}") from None
