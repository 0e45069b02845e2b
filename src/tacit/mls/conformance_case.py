"""One case of a vector file: its fields as the engine takes them, and what a check says of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from tacit.crypto.secret import Randomness, Secret
from tacit.mls import leaf_validation, limits, parent_hash, tree_validation
from tacit.mls.group_context import GroupContext
from tacit.mls.key_package import MLS10
from tacit.mls.nodes import RatchetTree
from tacit.mls.suites import CipherSuite, suite_of
from tacit.mls.tree import Tree, from_nodes
from tacit.wire.codec import decode

Fields = Mapping[str, Any]
"""A JSON object of a vector file."""


class Fact(NamedTuple):
    """One thing that has to be so: what it is, what the engine finds, and what the file says."""

    what: str
    found: object
    expected: object


Check = Callable[[Fields, Randomness], Iterator[Fact]]
"""Everything that has to hold of one case, in order; what the engine refuses raises."""


@dataclass(frozen=True, slots=True)
class Format:
    """A kind of vector file: the fields by which a case of it is known, and its check."""

    fields: frozenset[str]
    check: Check


def of(check: Check, *fields: str) -> Format:
    """The format of cases with these fields."""
    return Format(frozenset(fields), check)


def raw(text: str) -> bytes:
    """The bytes of a field in hexadecimal."""
    return bytes.fromhex(text)


def secret(text: str) -> Secret:
    """The secret of a field in hexadecimal."""
    return Secret(raw(text))


def suite(case: Fields) -> CipherSuite:
    """The case's cipher suite; raises `UnknownVersion`."""
    return suite_of(case["cipher_suite"])


def group_context(case: Fields, epoch: int, tree_hash: bytes, confirmed_transcript_hash: bytes) -> GroupContext:
    """The context of a case's group, which has no extensions in all of the files."""
    return GroupContext(
        MLS10, case["cipher_suite"], raw(case["group_id"]), epoch, tree_hash, confirmed_transcript_hash, ()
    )


def ratchet_tree(text: str) -> Tree:
    """The tree of a field."""
    return from_nodes(decode(RatchetTree, raw(text), limits.MESSAGE_BYTES))


def check_tree(tree: Tree, using: CipherSuite, group_id: bytes) -> None:
    """Parent hashes, unmerged leaves and signatures are valid: leaves of these files list few capabilities."""
    tree_validation.check_structure(tree)
    parent_hash.check(tree, using)
    for index, leaf in tree.leaves():
        leaf_validation.check_signature(using, leaf, group_id, index)
