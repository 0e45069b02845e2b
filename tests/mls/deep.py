"""All that a member keeps of a group, in one order and from the values alone: what was computed of them is left out.

Two states with one `deep_hash` behave alike for ever. Whatever is not known here is refused, so that a new field is
never overlooked.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Mapping
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


def parts(value: Any) -> list[Part]:
    """Everything in a value: what kind it is of, and its bytes."""
    out: list[Part] = []
    _walk(value, out)
    return out


@functools.cache
def _names(cls: Any) -> tuple[str, ...]:
    if cls is State:
        return State._fields
    return tuple(field.name for field in dataclasses.fields(cls))


def _walk(value: Any, out: list[Part]) -> None:
    match value:
        case None:
            out.append(("none", b""))
        case int():  # an IntEnum is the number that comes back from its bytes
            out.append(("int", b"%d" % value))
        case bytes():
            out.append(("bytes", value))
        case Secret():
            out.append((SECRET, value.reveal()))
        case PrivateKey() | Ed25519Key() | Ed448Key() | EcdsaKey():
            out += (type(value).__name__, value.public), (SECRET, value.seed.reveal())
        case CipherSuite():
            out.append(("suite", b"%d" % value.id))
        case Tree():
            out.append(("tree", b"%d" % value.width))
            for each in value.subtrees():
                out.append(("node", b"%d %d %d %d" % (each.index, each.level, each.occupied, each.resolved)))
                _walk(each.node, out)
        case SecretTree():
            out.append(("secret tree", b"%d" % value.width))
            _walk((value.top, value.chunks), out)
        case Keys():
            _walk((value._base - value._gone) | value._added, out)
        case State():  # the later of two Updates counts, so their order does too
            _walk(tuple(value.proposals.items()), out)
            _walk_fields(value, out, without="proposals")
        case (_, _) if _nothing(value):  # a part of a secret tree of which nothing is left
            out.append(("none", b""))
        case tuple():  # a NamedTuple too
            out.append((type(value).__name__, b"%d" % len(value)))
            for each in value:
                _walk(each, out)
        case frozenset() | set():
            _walk(tuple(sorted(value)), out)
        case Mapping():
            out.append(("mapping", b"%d" % len(value)))
            for key in sorted(value):
                _walk((key, value[key]), out)
        case _ if dataclasses.is_dataclass(value):
            _walk_fields(value, out)
        case _:
            raise TypeError(f"a deep hash of {type(value).__name__}")


def _nothing(value: Any) -> bool:
    return value is None or (isinstance(value, tuple) and len(value) == 2 and all(_nothing(each) for each in value))


def _walk_fields(value: Any, out: list[Part], without: str = "") -> None:
    out.append((type(value).__name__, b""))
    for name in _names(value.__class__):
        if name != without:
            out.append((name, b""))
            _walk(getattr(value, name), out)


def deep_hash(value: Any) -> str:
    """One hash over all of a state, or of anything in one."""
    text = bytearray()
    for kind, data in parts(value):
        text += b"%s %d " % (kind.encode(), len(data))
        text += data
    return hashlib.sha256(text).hexdigest()


def secrets_in(value: Any) -> set[bytes]:
    """Every secret in a value, private keys' seeds among them."""
    return {data for kind, data in parts(value) if kind == SECRET}
