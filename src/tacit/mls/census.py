"""What is counted over a whole tree, carried from epoch to epoch: keys that may be there once, and credential types.

Two trees of which one came from the other have most subtrees in common; only what differs is looked at.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar, final

from tacit import errors
from tacit.mls.leaf_node import LeafNode
from tacit.mls.tree import AnyNode, Subtree, Tree

T = TypeVar("T")


def differences(old: Subtree | None, new: Subtree | None) -> list[tuple[AnyNode | None, AnyNode | None]]:
    """What stood at each place and what stands there now, where that is not the same subtree."""
    found = list[tuple[AnyNode | None, AnyNode | None]]()
    pairs = [(old, new)] if old is not new else []
    while pairs:
        old, new = pairs.pop()
        before, old_left, old_right = _taken_apart(old)
        after, new_left, new_right = _taken_apart(new)
        if old is not None and new is not None and old.level != new.level:
            # The tree was extended or cut: the lower one is the left half of the higher one, or of its left half.
            if old.level < new.level:
                before, old_left, old_right = None, old, None
            else:
                after, new_left, new_right = None, new, None
        if before is not after:
            found.append((before, after))
        if old_right is not new_right:
            pairs.append((old_right, new_right))
        if old_left is not new_left:
            pairs.append((old_left, new_left))
    return found


def _taken_apart(subtree: Subtree | None) -> tuple[AnyNode | None, Subtree | None, Subtree | None]:
    """A node, and what is below it on the left and on the right."""
    return (subtree.node, subtree.left, subtree.right) if subtree is not None else (None, None, None)


@final
class Keys:
    """A set of keys that never changes: a large part that is shared, and what was added and removed since."""

    __slots__ = ("_added", "_base", "_gone")

    def __init__(self, base: AbstractSet[bytes], added: AbstractSet[bytes], gone: AbstractSet[bytes]) -> None:
        self._base, self._added, self._gone = base, added, gone

    def __contains__(self, key: bytes) -> bool:
        return key in self._added or (key in self._base and key not in self._gone)

    def after(self, gone: Sequence[bytes], added: Sequence[bytes], what: str) -> Keys:
        """The set without some and with others; raises `InvalidGroupMessage` for one that is there already."""
        if gone == added:
            return self
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
        return Keys(self._base, new_added, new_gone)


def keys_of(keys: Sequence[bytes], what: str) -> Keys:
    """The set of these keys; raises `InvalidGroupMessage` for one that is there twice."""
    found = frozenset(keys)
    if len(found) != len(keys):
        raise errors.InvalidGroupMessage(f"§7.3: {what} is there twice")
    return Keys(found, frozenset(), frozenset())


class _Counted:
    """What counts a tree when something of it is asked for."""

    __slots__ = ("_tree",)


@final
@dataclass(frozen=True, slots=True)
class Census(_Counted):
    """Encryption keys of all nodes, signature keys of all leaves, credential types in use and supported."""

    encryption: Keys
    signature: Keys
    used: Mapping[int, int]
    supported: Mapping[tuple[int, ...], int]

    if TYPE_CHECKING:  # every name would be one of its attributes
        ...
    else:

        def __getattr__(self, name: str) -> object:
            if name not in Census.__slots__:
                raise AttributeError(name)
            made = census_of(self._tree)
            for each in Census.__slots__:
                object.__setattr__(self, each, getattr(made, each))
            return getattr(self, name)

    def after(self, old: Tree, new: Tree) -> Census:
        """The census of a tree that came from another one.

        Raises `InvalidGroupMessage` for a key that is there twice and a credential type that not everybody supports.
        """
        if old.root is new.root:
            return self
        gone, come = list[bytes](), list[bytes]()
        left, joined = list[LeafNode](), list[LeafNode]()
        for before, after in differences(old.root, new.root):
            if before is not None:
                gone.append(before.encryption_key)
                if isinstance(before, LeafNode):
                    left.append(before)
            if after is not None:
                come.append(after.encryption_key)
                if isinstance(after, LeafNode):
                    joined.append(after)
        census = Census(
            self.encryption.after(gone, come, "an encryption key"),
            self.signature.after(
                [each.signature_key for each in left], [each.signature_key for each in joined], "a signature key"
            ),
            _counted(
                self.used,
                [each.credential.credential_type for each in left],
                [each.credential.credential_type for each in joined],
            ),
            _counted(
                self.supported,
                [each.capabilities.credentials for each in left],
                [each.capabilities.credentials for each in joined],
            ),
        )
        census.check_credentials()
        return census

    def check_credentials(self) -> None:
        """Raises `InvalidGroupMessage` for a credential's type that not everybody supports (§7.3)."""
        if any(not set(types) >= set(self.used) for types in self.supported):
            raise errors.InvalidGroupMessage("§7.3: a credential's type is not supported by every member")

    def refuse_keys(self, keys: Iterable[bytes]) -> None:
        """Raises `InvalidGroupMessage` for an encryption key that is in the tree already (§12.4.2)."""
        if any(key in self.encryption for key in keys):
            raise errors.InvalidGroupMessage("§12.4.2: a key of the path is in the tree already")


def _counted(counts: Mapping[T, int], gone: Sequence[T], come: Sequence[T]) -> Mapping[T, int]:
    """Counts without what is gone and with what came."""
    if gone == come:
        return counts
    found = Counter(counts)
    found.subtract(gone)
    found.update(come)
    return +found


def census_of(tree: Tree) -> Census:
    """The census of a whole tree; raises as `Census.after`."""
    nodes = [each.node for each in tree.subtrees() if each.node is not None]
    leaves = [each for each in nodes if isinstance(each, LeafNode)]
    census = Census(
        keys_of([each.encryption_key for each in nodes], "an encryption key"),
        keys_of([each.signature_key for each in leaves], "a signature key"),
        Counter(each.credential.credential_type for each in leaves),
        Counter(each.capabilities.credentials for each in leaves),
    )
    census.check_credentials()
    return census


def census_later(tree: Tree) -> Census:
    """The census of a tree that was valid when it was kept: counted when something of it is asked for."""
    census = Census.__new__(Census)
    object.__setattr__(census, "_tree", tree)
    return census
