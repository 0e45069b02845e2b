"""All that a member keeps of a group, in one order and from the values alone: what was computed of them is left out.

Two states with one `deep_hash` behave alike for ever. Whatever is not known here is refused, so that a new field is
never overlooked.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping
from typing import Any, Final

from tacit.crypto.kem import PrivateKey
from tacit.crypto.secret import Secret
from tacit.crypto.sign import EcdsaKey, Ed448Key, Ed25519Key
from tacit.mls.census import Keys
from tacit.mls.secret_tree import SecretTree
from tacit.mls.state import State
from tacit.mls.suites import CipherSuite
from tacit.mls.tree import Tree

Part = tuple[str, bytes]
SECRET: Final = "secret"


def parts(value: Any) -> Iterator[Part]:
    """Everything in a value: what kind it is of, and its bytes."""
    match value:
        case None:
            yield "none", b""
        case int():  # an IntEnum is the number that comes back from its bytes
            yield "int", str(int(value)).encode()
        case bytes():
            yield "bytes", value
        case Secret():
            yield SECRET, value.reveal()
        case PrivateKey() | Ed25519Key() | Ed448Key() | EcdsaKey():
            yield type(value).__name__, value.public
            yield SECRET, value.seed.reveal()
        case CipherSuite():
            yield "suite", str(value.id).encode()
        case Tree():
            yield "tree", str(value.width).encode()
            for each in value.subtrees():
                yield from parts((int(each.index), each.level, each.occupied, each.resolved, each.node))
        case SecretTree():
            yield "secret tree", str(value.width).encode()
            yield from parts((value.top, value.chunks))
        case Keys():
            yield from parts(frozenset((value._base - value._gone) | value._added))
        case State():  # the later of two Updates counts, so their order does too
            yield from parts(tuple(value.proposals.items()))
            yield from _fields(value, without="proposals")
        case (None, None):  # a part of a secret tree of which nothing is left
            yield from parts(None)
        case tuple():  # a NamedTuple too
            yield type(value).__name__, str(len(value)).encode()
            for each in value:
                yield from parts(each)
        case frozenset() | set():
            yield from parts(tuple(sorted(value)))
        case Mapping():
            yield "mapping", str(len(value)).encode()
            for key in sorted(value, key=_digest):
                yield from parts(key)
                yield from parts(value[key])
        case _ if dataclasses.is_dataclass(value):
            yield from _fields(value)
        case _:
            raise TypeError(f"a deep hash of {type(value).__name__}")


def _fields(value: Any, without: str = "") -> Iterator[Part]:
    yield type(value).__name__, b""
    for field in dataclasses.fields(value):
        if field.name != without:
            yield field.name, b""
            yield from parts(getattr(value, field.name))


def _digest(value: Any) -> bytes:
    digest = hashlib.sha256()
    for kind, data in parts(value):
        digest.update(f"{kind} {len(data)} ".encode())
        digest.update(data)
    return digest.digest()


def deep_hash(state: State) -> str:
    """One hash over all of a state."""
    return _digest(state).hex()


def secrets_in(value: Any) -> set[bytes]:
    """Every secret in a value, private keys' seeds among them."""
    return {data for kind, data in parts(value) if kind == SECRET}
