"""What is counted over a whole tree, carried from epoch to epoch: keys that may be there once, and credential types.

Two trees of which one came from the other have most subtrees in common; only what differs is looked at.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import final

from tacit import errors
from tacit.mls.leaf_node import LeafNode
from tacit.mls.tree import AnyNode, Subtree, Tree


def differences(old: Subtree | None, new: Subtree | None) -> Iterator[tuple[AnyNode | None, AnyNode | None]]:
    """What stood at each place and what stands there now, where that is not the same subtree."""
    if old is new:
        return
    if old is not None and new is not None and old.level != new.level:
        # The tree was extended or cut: the lower one is the left half of the higher one, or of its left half.
        if old.level < new.level:
            left, right = new.children()
            yield None, new.node
            yield from differences(old, left)
            yield from differences(None, right)
        else:
            left, right = old.children()
            yield old.node, None
            yield from differences(left, new)
            yield from differences(right, None)
        return
    before, after = old.node if old else None, new.node if new else None
    if before is not after:
        yield before, after
    some = old or new
    assert some is not None
    if some.level:
        old_children = old.children() if old else (None, None)
        new_children = new.children() if new else (None, None)
        yield from differences(old_children[0], new_children[0])
        yield from differences(old_children[1], new_children[1])


@final
class Keys:
    """A set of keys that never changes: a large part that is shared, and what was added and removed since."""

    __slots__ = ("_added", "_base", "_gone")

    def __init__(self, base: frozenset[bytes], added: frozenset[bytes], gone: frozenset[bytes]) -> None:
        self._base, self._added, self._gone = base, added, gone

    def __contains__(self, key: bytes) -> bool:
        return key in self._added or (key in self._base and key not in self._gone)

    def after(self, gone: Iterable[bytes], added: Iterable[bytes], what: str) -> Keys:
        """The set without some and with others; raises `InvalidGroupMessage` for one that is there already."""
        new_added, new_gone = set(self._added), set(self._gone)
        for key in gone:
            if key in new_added:
                new_added.discard(key)
            else:
                new_gone.add(key)
        for key in added:
            if key in new_added or (key in self._base and key not in new_gone):
                raise errors.InvalidGroupMessage(f"§7.3: {what} is there twice")
            if key in self._base:
                new_gone.discard(key)
            else:
                new_added.add(key)
        if len(new_added) + len(new_gone) > 64 + len(self._base) // 8:
            return Keys((self._base - new_gone) | new_added, frozenset(), frozenset())
        return Keys(self._base, frozenset(new_added), frozenset(new_gone))


_NONE = Keys(frozenset(), frozenset(), frozenset())


@final
@dataclass(frozen=True, slots=True)
class Census:
    """Encryption keys of all nodes, signature keys of all leaves, credential types in use and supported."""

    encryption: Keys
    signature: Keys
    used: Mapping[int, int]
    supported: Mapping[tuple[int, ...], int]

    def after(self, old: Tree | None, new: Tree) -> Census:
        """The census of a tree that came from another one.

        Raises `InvalidGroupMessage` for a key that is there twice and a credential type that not everybody supports.
        """
        gone: list[AnyNode] = []
        come: list[AnyNode] = []
        for before, after in differences(old.root if old else None, new.root):
            if before is not None:
                gone.append(before)
            if after is not None:
                come.append(after)
        used, supported = Counter(self.used), Counter(self.supported)
        used.subtract(each.credential.credential_type for each in gone if isinstance(each, LeafNode))
        used.update(each.credential.credential_type for each in come if isinstance(each, LeafNode))
        supported.subtract(each.capabilities.credentials for each in gone if isinstance(each, LeafNode))
        supported.update(each.capabilities.credentials for each in come if isinstance(each, LeafNode))
        census = Census(
            self.encryption.after(
                (each.encryption_key for each in gone), (each.encryption_key for each in come), "an encryption key"
            ),
            self.signature.after(
                (each.signature_key for each in gone if isinstance(each, LeafNode)),
                (each.signature_key for each in come if isinstance(each, LeafNode)),
                "a signature key",
            ),
            +used,
            +supported,
        )
        if any(not set(types) >= set(census.used) for types in census.supported):
            raise errors.InvalidGroupMessage("§7.3: a credential's type is not supported by every member")
        return census

    def refuse_keys(self, keys: Iterable[bytes]) -> None:
        """Raises `InvalidGroupMessage` for an encryption key that is in the tree already (§12.4.2)."""
        if any(key in self.encryption for key in keys):
            raise errors.InvalidGroupMessage("§12.4.2: a key of the path is in the tree already")


def census_of(tree: Tree) -> Census:
    """The census of a whole tree; raises as `Census.after`."""
    return Census(_NONE, _NONE, {}, {}).after(None, tree)
