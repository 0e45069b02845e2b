"""Keys in files beside a store, each wrapped under a passphrase or under a secret in the system's keychain.

The store's own key is one, random and made here; key pairs of an application are others.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final, NamedTuple, final

import msgspec

from tacit import errors
from tacit.client.keychain import Keychain
from tacit.crypto import sealed
from tacit.crypto.digest import sha256
from tacit.crypto.kdf import argon2id
from tacit.crypto.secret import Randomness, Secret, need_bytes, revealed
from tacit.identity.unlockers import ARGON2ID, Cost, KdfBounds
from tacit.signed import labels
from tacit.signed.vault import PasswordParameters
from tacit.signed.verify import labelled
from tacit.wire import limits
from tacit.wire.codec import encode, struct
from tacit.wire.encodings import U8, Id, Variable
from tacit.wire.text import from_base64, to_base64

KEY_BYTES: Final = 32
SALT_BYTES: Final = 16
ENTRY_BYTES: Final = 16
PAIR_BYTES: Final = 8 * 1024
"""The longest public and the longest secret half of a key pair."""
FILE_BYTES: Final = 32 * 1024
BOUNDS: Final = KdfBounds(memory_kib=(8, 1024 * 1024), iterations=(1, 16), lanes=(1, 16))
"""What a key file may ask for: the ceiling is the point, since a thief who lowers the cost only spoils the file."""
FLOOR: Final = KdfBounds()
"""What a new file has to cost at least: 64 MiB and 3 passes, as an account's password."""
BY_PASSPHRASE: Final = 1
BY_KEYCHAIN: Final = 2


@struct
class StoreKeyContext:
    """What a wrapped key is bound to: how it is wrapped (1 passphrase, 2 keychain), and with which parameters."""

    version: U8
    parameters: Annotated[bytes, Variable(1024)]


@struct
class KeychainParameters:
    """Where the wrapping key is: the entry's name in the keychain."""

    entry: Id


@struct
class KeyPairContext:
    """What the secret half of a key pair is bound to: its wrapping, its name and its public half."""

    store_key: StoreKeyContext
    name: Id
    public: Annotated[bytes, Variable(PAIR_BYTES)]


class PassphraseFile(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel", tag_field="kdf", tag="argon2id"
):
    """A file under a passphrase; nothing in it is secret without that. `publicKey` is a key pair's public half."""

    version: int
    memory_kib: int
    iterations: int
    lanes: int
    salt: str
    wrapped_key: str
    public_key: str = ""


class KeychainFile(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel", tag_field="kdf", tag="keychain"
):
    """A file under a secret in the keychain, under the name `entry`."""

    version: int
    entry: str
    wrapped_key: str
    public_key: str = ""


KeyFile = PassphraseFile | KeychainFile
Bind = Callable[[StoreKeyContext], bytes]
"""What a wrapped secret is bound to, from how it is wrapped."""


class KeyPair(NamedTuple):
    """A key pair that is kept for an application."""

    public: bytes
    secret: Secret


@final
class SecureKeyStore:
    """Keeps a store's 32-byte key in the file `path`, and key pairs in files beside it, none of them readable there.

    What is given a passphrase (or the account's password) is wrapped under it by Argon2id, which costs at least
    `floor`; what is given None, under a secret of its own in `keychain`. A file says which it is and is opened so:
    neither is ever taken in the place of the other.
    """

    def __init__(
        self,
        path: Path,
        random: Randomness,
        cost: Cost | None = None,
        *,
        floor: KdfBounds = FLOOR,
        keychain: Keychain | None = None,
    ) -> None:
        self.path = path
        self._random = random
        self._cost = cost or Cost()
        self._floor = floor
        self._keychain = keychain

    # --- the store's key -------------------------------------------------------------

    def exists(self) -> bool:
        """Whether a key was made already, or something else has its place."""
        return os.path.lexists(self.path)

    def needs_passphrase(self) -> bool:
        """Whether the key that there is, or that will be made, is wrapped under a passphrase; raises `StoreLocked`."""
        if self.exists():
            return isinstance(read_file(self.path), PassphraseFile)
        return self._keychain is None

    def create(self, passphrase: Secret | None = None) -> Secret:
        """A new random key, wrapped and written before it is given out.

        Raises `StoreLocked` where there is one, and `InvalidArgument` below the floor and without passphrase and
        keychain.
        """
        if self.exists():
            raise errors.StoreLocked("there is a key already")
        key = Secret(self._random(KEY_BYTES))
        self._write(key, passphrase)
        return key

    def open(self, passphrase: Secret | None = None) -> Secret:
        """The key; raises `StoreLocked` for another passphrase and for a file that is none of ours, `NoKeychain`.

        A passphrase that was offered opens it too, until it is taken or dropped.
        """
        try:
            return self._unwrapped(self.path, read_file(self.path), _of_store, passphrase)
        except errors.StoreLocked:
            if passphrase is None or not os.path.lexists(self._offer):
                raise
        return self._unwrapped(self._offer, read_file(self._offer), _of_store, passphrase)

    def rewrap(self, old: Secret | None, new: Secret | None) -> None:
        """The same key under another passphrase, or with None in the keychain; raises `StoreLocked` for a wrong old.

        What the old wrapping had in the keychain is forgotten. Key pairs stay as they are.
        """
        before = read_file(self.path)
        key = self.open(old)
        self._write(key, new, replace=True)
        self.drop_offer()  # else a third one opened it besides
        self._forget(before)

    def offer(self, key: Secret, passphrase: Secret) -> None:
        """The same key, which is open, under another passphrase besides, until it is known which of the two counts."""
        self._wrap(self._offer, key.reveal(), _of_store, passphrase, replace=True)

    def take_offer(self) -> None:
        """The passphrase that was offered takes the place of the present one."""
        if os.path.lexists(self._offer):
            self._offer.replace(self.path)

    def drop_offer(self) -> None:
        """The passphrase that was offered does not count."""
        self._offer.unlink(missing_ok=True)

    @property
    def _offer(self) -> Path:
        return self.path.with_name(f"{self.path.name}.next")

    def remove(self) -> None:
        """Take away the key, and its entry in the keychain: what it opened is lost."""
        self.drop_offer()
        if self.exists():
            self._remove(self.path)

    # --- an application's key pairs --------------------------------------------------

    def store_key_pair(self, name: str, public: bytes, secret: Secret, passphrase: Secret | None = None) -> None:
        """Keep a key pair under a name of 1 to 255 bytes; each half has at most 8 KiB, the secret one at least 1 byte.

        Raises `InvalidArgument` where the name is taken: a secret key that is replaced is lost.
        """
        need_bytes(public)
        raw = revealed(secret)
        if len(public) > PAIR_BYTES or not 1 <= len(raw) <= PAIR_BYTES:
            raise errors.InvalidArgument(f"each half of a key pair has at most {PAIR_BYTES} bytes, the secret one some")
        path = self._pair_path(name)
        if os.path.lexists(path):
            raise errors.InvalidArgument("there is a key pair of this name already")
        self._wrap(path, raw, _of_pair(name, public), passphrase, public=public)

    def load_key_pair(self, name: str, passphrase: Secret | None = None) -> KeyPair:
        """A key pair; raises `StoreLocked` where there is none, for another passphrase, and for a changed file."""
        path = self._pair_path(name)
        file = read_file(path)
        try:
            public = from_base64(file.public_key, PAIR_BYTES)
        except errors.PeerError:
            raise errors.StoreLocked(f"{path.name} cannot be read") from None
        return KeyPair(public, self._unwrapped(path, file, _of_pair(name, public), passphrase))

    def remove_key_pair(self, name: str) -> None:
        """Take away a key pair; raises `StoreLocked` where there is none."""
        self._remove(self._pair_path(name))

    def _pair_path(self, name: str) -> Path:
        try:
            raw = name.encode()
        except UnicodeEncodeError:
            raw = b""
        if not 1 <= len(raw) <= limits.ID_BYTES:
            raise errors.InvalidArgument("a key pair's name is 1 to 255 bytes of UTF-8")
        return self.path.with_name(f"{self.path.name}.{sha256(raw).hex()[:32]}")

    # --- wrapping --------------------------------------------------------------------

    def _write(self, key: Secret, passphrase: Secret | None, *, replace: bool = False) -> None:
        self._wrap(self.path, key.reveal(), _of_store, passphrase, replace=replace)

    def _wrap(
        self,
        path: Path,
        raw: bytes,
        bind: Bind,
        passphrase: Secret | None,
        *,
        public: bytes = b"",
        replace: bool = False,
    ) -> None:
        if passphrase is None:
            self._wrap_by_keychain(path, raw, bind, to_base64(public), replace=replace)
        else:
            self._wrap_by_passphrase(path, raw, bind, to_base64(public), passphrase, replace=replace)

    def _wrap_by_passphrase(
        self, path: Path, raw: bytes, bind: Bind, public: str, passphrase: Secret, *, replace: bool
    ) -> None:
        cost, salt = self._cost, self._random(SALT_BYTES)
        parameters = PasswordParameters(ARGON2ID, cost.memory_kib, cost.iterations, cost.lanes, salt)
        try:
            self._floor.check(parameters)
        except errors.InvalidVault as error:
            raise errors.InvalidArgument(error.detail) from None
        context = bind(StoreKeyContext(BY_PASSPHRASE, encode(parameters)))
        wrapped = to_base64(sealed.seal(_derive(passphrase, parameters), context, raw))
        costs = (cost.memory_kib, cost.iterations, cost.lanes)
        file = PassphraseFile(1, *costs, to_base64(salt), wrapped, public)
        write_private(path, msgspec.json.encode(file) + b"\n", replace=replace)

    def _wrap_by_keychain(self, path: Path, raw: bytes, bind: Bind, public: str, *, replace: bool) -> None:
        if self._keychain is None:
            raise errors.InvalidArgument("a passphrase is needed where there is no keychain")
        keychain, entry = self._keychain, self._random(ENTRY_BYTES).hex()
        wrapping_key = Secret(self._random(KEY_BYTES))
        context = bind(StoreKeyContext(BY_KEYCHAIN, encode(KeychainParameters(entry))))
        file = KeychainFile(1, entry, to_base64(sealed.seal(wrapping_key, context, raw)), public)
        keychain.put(entry, wrapping_key)
        try:
            write_private(path, msgspec.json.encode(file) + b"\n", replace=replace)
        except errors.TacitError:
            keychain.remove(entry)
            raise

    def _unwrapped(self, path: Path, file: KeyFile, bind: Bind, passphrase: Secret | None) -> Secret:
        try:
            wrapped = from_base64(file.wrapped_key, FILE_BYTES)
            if isinstance(file, KeychainFile):
                context = bind(StoreKeyContext(BY_KEYCHAIN, encode(KeychainParameters(file.entry))))
                found = self._keychain_now().find(file.entry)
                if found is None:
                    raise errors.StoreLocked(f"the keychain has no key for {path.name}")
                wrapping_key = found
            else:
                parameters = _parameters(file)
                context = bind(StoreKeyContext(BY_PASSPHRASE, encode(parameters)))
                if passphrase is None:
                    raise errors.StoreLocked(f"{path.name} is wrapped under a passphrase, which was not given")
                wrapping_key = _derive(passphrase, parameters)
        except (errors.PeerError, errors.InvalidArgument):
            raise errors.StoreLocked(f"{path.name} cannot be read") from None
        try:
            return Secret(sealed.open(wrapping_key, context, wrapped))
        except errors.DecryptionError:
            raise errors.StoreLocked() from None

    def _keychain_now(self) -> Keychain:
        if self._keychain is None:
            raise errors.NoKeychain("the key is in one: open it with keychain=True")
        return self._keychain

    def _remove(self, path: Path) -> None:
        file = read_file(path)
        path.unlink(missing_ok=True)
        self._forget(file)

    def _forget(self, file: KeyFile) -> None:
        if isinstance(file, KeychainFile):
            self._keychain_now().remove(file.entry)


def _of_store(wrapping: StoreKeyContext) -> bytes:
    return labelled(labels.STORE_KEY, wrapping)


def _of_pair(name: str, public: bytes) -> Bind:
    return lambda wrapping: labelled(labels.KEY_PAIR, KeyPairContext(wrapping, name, public))


def _parameters(file: PassphraseFile) -> PasswordParameters:
    """How a file's wrapping key is derived; raises `InvalidVault` for more than is ever spent on one."""
    salt = from_base64(file.salt, 64)
    parameters = PasswordParameters(ARGON2ID, file.memory_kib, file.iterations, file.lanes, salt)
    BOUNDS.check(parameters)
    return parameters


def _derive(passphrase: Secret, parameters: PasswordParameters) -> Secret:
    return argon2id(
        passphrase,
        parameters.salt,
        memory_kib=parameters.memory_kib,
        iterations=parameters.iterations,
        lanes=parameters.lanes,
    )


def read_file(path: Path) -> KeyFile:
    """A key file as it is; raises `StoreLocked` for none, for a link to another, and for one that is none of ours."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as opened:
            raw = opened.read(FILE_BYTES + 1)
    except FileNotFoundError:
        raise errors.StoreLocked(f"there is no {path.name}") from None
    except OSError as error:
        raise errors.StoreLocked(f"{path.name} cannot be read: {error.strerror}") from None
    try:
        file: KeyFile = msgspec.json.decode(raw, type=KeyFile)
    except msgspec.DecodeError:
        raise errors.StoreLocked(f"{path.name} cannot be read") from None
    if file.version != 1 or len(raw) > FILE_BYTES:
        raise errors.StoreLocked(f"{path.name} is of a version that this program does not know")
    return file


def write_private(path: Path, data: bytes, *, replace: bool = False) -> None:
    """Put a file in place whole or not at all, readable by its owner only, and follow no link there.

    Raises `InvalidArgument` for a bad path, and for one that is taken unless it is to be replaced.
    """
    new = path.with_name(path.name + ".new")
    try:
        new.unlink(missing_ok=True)
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as opened:
            os.fchmod(descriptor, 0o600)
            opened.write(data)
            opened.flush()
            os.fsync(descriptor)
        if replace:
            new.replace(path)
        else:
            path.hardlink_to(new)  # of two programs at once one comes too late, and its key never was
            new.unlink()
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise errors.InvalidArgument(f"{path.name} cannot be written: {error.strerror}") from None
