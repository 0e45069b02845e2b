"""A group's state as records to be kept: the tree apart from the epoch, the message keys apart from both.

`records` gives all of them, `changed` those that another state needs written or deleted (None): after a message that is
one record of at most 64 members' chains, whatever the group's size. Write them in one transaction, then send or show.
Everything in them is secret. The first two bytes of each record are the version of the format.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple, TypeVar

from tacit import errors
from tacit.crypto.kem import PrivateKey
from tacit.crypto.secret import Secret
from tacit.mls import limits, tree_math
from tacit.mls.census import Census, census_later, census_of
from tacit.mls.group_context import GroupContext
from tacit.mls.joining import KeyPackageKeys
from tacit.mls.kept_tree import WIDE, shape_of, tree_of
from tacit.mls.key_schedule import EpochSecrets
from tacit.mls.leaf_node import LeafNode
from tacit.mls.nodes import RatchetTree
from tacit.mls.policy import Effects, Proposed
from tacit.mls.saved import (
    SavedEffects,
    SavedEpoch,
    SavedGroup,
    SavedKey,
    SavedKeyPackage,
    SavedKeys,
    SavedLeaf,
    SavedPast,
    SavedPending,
    SavedProposal,
    SavedProposals,
    SavedRatchet,
    SavedRatchets,
    SavedResumption,
    SavedSecret,
    SavedSecrets,
    SavedShape,
    SavedUpdate,
)
from tacit.mls.secret_tree import CHUNK_LEVEL, Branch, Chunk, MessageKey, Ratchet, Ratchets, SecretTree, chunk_root
from tacit.mls.state import Epoch, OwnUpdate, PastEpoch, PendingCommit, State, Transition, epoch_of
from tacit.mls.suites import CipherSuite, suite_of
from tacit.mls.tree import Tree, from_nodes
from tacit.mls.tree_math import LeafIndex, NodeIndex
from tacit.wire.codec import decode, encode

T = TypeVar("T")
VERSION: Final = 1
_VERSION: Final = VERSION.to_bytes(2, "big")
Records = Mapping[str, bytes]


class _Part(NamedTuple):
    """A record before it is encoded: of which objects it is made, and how."""

    of: tuple[object, ...]
    encoded: Callable[[], bytes]


def records(state: State) -> dict[str, bytes]:
    """Every record of a state."""
    return {name: part.encoded() for name, part in _parts(state)}


def changed(before: State, after: State) -> dict[str, bytes | None]:
    """What has to be written where another state was kept; None for what has to be deleted, if it is there."""
    old, new = dict(_parts(before)), dict(_parts(after))
    written: dict[str, bytes | None] = dict.fromkeys(old.keys() - new.keys())
    for name, part in new.items():
        kept = old.get(name)
        if kept is None or not _same(kept.of, part.of):
            written[name] = part.encoded()
    return written


def _same(first: tuple[object, ...], second: tuple[object, ...]) -> bool:
    return len(first) == len(second) and all(
        a is b or (isinstance(a, int) and a == b) for a, b in zip(first, second, strict=True)
    )


def _versioned(value: object) -> bytes:
    return _VERSION + encode(value)


def _parts(state: State) -> Iterator[tuple[str, _Part]]:
    epoch = state.epoch
    number = epoch.context.epoch
    yield (
        "group",
        _Part(
            (epoch, state.me, state.keys, state.signer, len(state.past), state.resumption, state.reinit, state.removed),
            lambda: _versioned(_group(state)),
        ),
    )
    yield "proposals", _Part((state.proposals, state.updates), lambda: _versioned(_proposals(state)))
    yield from _tree_parts(epoch.suite, number, epoch.tree)
    yield from _message_keys(number, state.secret_tree)
    for past in state.past:
        former = past.context.epoch
        saved = SavedPast(past.context, past.sender_data_secret.reveal(), past.ended_at)
        yield f"past/{former}", _Part((past.context, past.ended_at), lambda saved=saved: _versioned(saved))  # type: ignore[misc]
        yield from _tree_parts(epoch.suite, former, past.tree)
        yield from _message_keys(former, past.secret_tree)


def _tree_parts(suite: CipherSuite, number: int, tree: Tree) -> Iterator[tuple[str, _Part]]:
    yield f"tree/{number}", _Part((tree,), lambda: _VERSION + tree.encoded())
    if tree.width > WIDE:
        yield f"shape/{number}", _Part((tree,), lambda: _versioned(shape_of(suite, tree)))


# --- the epoch ---------------------------------------------------------------------------


def _group(state: State) -> SavedGroup:
    epoch = state.epoch
    return SavedGroup(
        _epoch(epoch),
        state.me,
        _private(state.keys),
        state.signer.seed.reveal(),
        tuple(past.context.epoch for past in state.past),
        tuple(SavedResumption(number, secret.reveal()) for number, secret in state.resumption),
        state.reinit,
        state.removed,
    )


def _epoch(epoch: Epoch) -> SavedEpoch:
    return SavedEpoch(epoch.context, tuple(getattr(epoch.secrets, name).reveal() for name in EpochSecrets.__slots__))


def _private(keys: Mapping[NodeIndex, PrivateKey]) -> tuple[SavedSecret, ...]:
    return tuple(SavedSecret(index, key.seed.reveal()) for index, key in sorted(keys.items()))


def _proposals(state: State) -> SavedProposals:
    return SavedProposals(
        tuple(SavedProposal(each.reference or b"", each.sender, each.proposal) for each in state.proposals.values()),
        tuple(
            SavedUpdate(public, update.leaf_key.seed.reveal(), update.signer.seed.reveal())
            for public, update in state.updates.items()
        ),
    )


# --- message keys ------------------------------------------------------------------------


def _message_keys(number: int, tree: SecretTree) -> Iterator[tuple[str, _Part]]:
    top, root = tree.top, tree_math.root(tree.width)
    yield (
        f"secrets/{number}",
        _Part((tree.width, top), lambda: _versioned(SavedSecrets(tree.width, _secrets(top, root)))),
    )
    for where, chunk in tree.chunks.items():
        below = chunk_root(tree.width, where)
        yield f"keys/{number}/{where}", _Part(chunk, lambda c=chunk, r=below: _versioned(_keys(c, r)))  # type: ignore[misc]


def _secrets(branch: Branch, index: int) -> tuple[SavedSecret, ...]:
    """The secrets in a branch, with their nodes."""
    if branch is None:
        return ()
    if isinstance(branch, Secret):
        return (SavedSecret(index, branch.reveal()),)
    left, right = branch
    return _secrets(left, tree_math.left(index)) + _secrets(right, tree_math.right(index))


def _branch(secrets: Mapping[int, Secret], index: int, least: int) -> Branch:
    """The branch of these secrets at a node; nothing of it goes below the level `least`."""
    if index in secrets:
        return secrets[index]
    if tree_math.level(index) <= least:
        return None
    halves = (_branch(secrets, child, least) for child in (tree_math.left(index), tree_math.right(index)))
    left, right = halves
    return None if left is None and right is None else (left, right)


def _keys(chunk: Chunk, root: int) -> SavedKeys:
    return SavedKeys(
        _secrets(chunk.branch, root),
        tuple(
            SavedRatchets(leaf, _ratchet(each.handshake), _ratchet(each.application))
            for leaf, each in chunk.ratchets.items()
        ),
    )


def _ratchet(ratchet: Ratchet) -> SavedRatchet:
    skipped = (SavedKey(key.generation, key.key.reveal(), key.nonce.reveal()) for key in ratchet.skipped.values())
    return SavedRatchet(ratchet.secret.reveal(), ratchet.generation, tuple(skipped))


# --- loading -----------------------------------------------------------------------------


def load(found: Records) -> State:
    """The state of these records; raises `Malformed`, `UnknownVersion`, `InvalidGroupMessage`."""
    group = _read(SavedGroup, found, "group")
    context = group.epoch.context
    suite = suite_of(context.cipher_suite)
    secrets = _epoch_secrets(group.epoch)
    tree, census = _tree(found, suite, context)
    proposals = _read(SavedProposals, found, "proposals")
    return State(
        epoch_of(suite, context, tree, census, secrets),
        _secret_tree(found, context.epoch),
        LeafIndex(group.me),
        {NodeIndex(each.index): suite.private_key(Secret(each.secret)) for each in group.keys},
        suite.signature_key(Secret(group.signer)),
        {each.reference: Proposed(each.proposal, each.sender, each.reference) for each in proposals.proposals},
        {
            each.public: OwnUpdate(suite.private_key(Secret(each.key)), suite.signature_key(Secret(each.signer)))
            for each in proposals.updates
        },
        tuple(_past(found, suite, name) for name in group.past),
        tuple((each.epoch, Secret(each.secret)) for each in group.resumption),
        group.reinit,
        group.removed,
    )


def _read(cls: type[T], found: Records, name: str) -> T:
    data = _record(found, name)[len(_VERSION) :]
    return decode(cls, data, len(data))  # it was written here: what others send may add up to more than a message


def _record(found: Records, name: str) -> bytes:
    """A record whose format is this one."""
    data = found.get(name)
    if data is None:
        raise errors.Malformed(f"the record {name} is missing")
    if not data.startswith(_VERSION):
        raise errors.UnknownVersion(f"the record {name} has another format")
    return data


def _epoch_secrets(saved: SavedEpoch) -> EpochSecrets:
    if len(saved.secrets) != len(EpochSecrets.__slots__):
        raise errors.Malformed("an epoch has another number of secrets")
    return EpochSecrets(*(Secret(each) for each in saved.secrets))


def _tree(found: Records, suite: CipherSuite, context: GroupContext) -> tuple[Tree, Census]:
    """A tree and its census, both to be read when they are needed; at once from records that have no shape of it."""
    name, shape = f"tree/{context.epoch}", f"shape/{context.epoch}"
    if shape in found:
        tree = tree_of(_read(SavedShape, found, shape), _record(found, name), len(_VERSION))
        census = census_later(tree)
    else:
        tree = from_nodes(_read(RatchetTree, found, name))
        census = census_of(tree)
    if tree.tree_hash(suite) != context.tree_hash:
        raise errors.Malformed("a tree is that of another epoch")
    return tree, census


def _past(found: Records, suite: CipherSuite, number: int) -> PastEpoch:
    saved = _read(SavedPast, found, f"past/{number}")
    return PastEpoch(
        saved.context,
        _tree(found, suite, saved.context)[0],
        Secret(saved.sender_data_secret),
        _secret_tree(found, number),
        saved.ended_at,
    )


def _secret_tree(found: Records, number: int) -> SecretTree:
    saved = _read(SavedSecrets, found, f"secrets/{number}")
    width = saved.width
    if width < 1 or width > limits.LEAVES or width & (width - 1):
        raise errors.Malformed("a tree's width is a power of 2")
    root = tree_math.root(width)
    least = tree_math.level(chunk_root(width, 0))
    chunks = {}
    for where in range(max(width >> CHUNK_LEVEL, 1)):
        name = f"keys/{number}/{where}"
        if name in found:
            keys = _read(SavedKeys, found, name)
            secrets = {each.index: Secret(each.secret) for each in keys.secrets}
            ratchets = {
                each.leaf: Ratchets(_loaded(each.handshake), _loaded(each.application)) for each in keys.ratchets
            }
            chunks[where] = Chunk(_branch(secrets, chunk_root(width, where), 0), ratchets)
    top = {each.index: Secret(each.secret) for each in saved.secrets}
    return SecretTree(width, _branch(top, root, least), chunks)


def _loaded(saved: SavedRatchet) -> Ratchet:
    skipped = {
        each.generation: MessageKey(each.generation, Secret(each.key), Secret(each.nonce)) for each in saved.skipped
    }
    return Ratchet(Secret(saved.secret), saved.generation, skipped)


# --- a commit on its way, and key packages -----------------------------------------------


def save_pending(pending: PendingCommit) -> bytes:
    """An own commit that waits for the delivery service, to be kept before it is sent: the tree is in it."""
    transition = pending.transition
    epoch = transition.epoch
    assert epoch is not None
    return _versioned(
        SavedPending(
            pending.commit,
            pending.welcome or b"",
            transition.parent,
            _effects(transition.effects),
            _epoch(epoch),
            epoch.tree.to_nodes(),
            transition.me,
            _private(transition.keys),
            transition.signer.seed.reveal(),
        )
    )


def load_pending(data: bytes) -> PendingCommit:
    """What `save_pending` saved; raises as `load`."""
    saved = _read(SavedPending, {"pending": data}, "pending")
    suite = suite_of(saved.parent.cipher_suite)
    tree = from_nodes(saved.tree)
    secrets = _epoch_secrets(saved.epoch)
    effects = Effects(
        saved.effects.epoch,
        LeafIndex(saved.effects.committer),
        saved.effects.external,
        tuple(Proposed(each.proposal, each.sender, each.reference or None) for each in saved.effects.proposals),
        _loaded_leaves(saved.effects.added),
        _loaded_leaves(saved.effects.updated),
        _loaded_leaves(saved.effects.removed),
        saved.effects.committer_leaf,
        saved.effects.reinit,
    )
    transition = Transition(
        saved.parent,
        effects,
        epoch_of(suite, saved.epoch.context, tree, census_of(tree), secrets),
        LeafIndex(saved.me),
        {NodeIndex(each.index): suite.private_key(Secret(each.secret)) for each in saved.keys},
        suite.signature_key(Secret(saved.signer)),
    )
    return PendingCommit(saved.commit, saved.welcome or None, transition)


def _effects(effects: Effects) -> SavedEffects:
    return SavedEffects(
        effects.epoch,
        effects.committer,
        effects.external,
        tuple(SavedProposal(each.reference or b"", each.sender, each.proposal) for each in effects.proposals),
        _leaves(effects.added),
        _leaves(effects.updated),
        _leaves(effects.removed),
        effects.committer_leaf,
        effects.reinit,
    )


def _leaves(leaves: tuple[tuple[LeafIndex, LeafNode], ...]) -> tuple[SavedLeaf, ...]:
    return tuple(SavedLeaf(index, leaf) for index, leaf in leaves)


def _loaded_leaves(saved: tuple[SavedLeaf, ...]) -> tuple[tuple[LeafIndex, LeafNode], ...]:
    return tuple((LeafIndex(each.leaf), each.node) for each in saved)


def save_keys(keys: KeyPackageKeys) -> bytes:
    """A key package with its private keys; to be forgotten once it was used."""
    return _versioned(
        SavedKeyPackage(
            keys.package, keys.init_key.seed.reveal(), keys.leaf_key.seed.reveal(), keys.signer.seed.reveal()
        )
    )


def load_keys(data: bytes) -> KeyPackageKeys:
    """What `save_keys` saved; raises as `load`."""
    saved = _read(SavedKeyPackage, {"key package": data}, "key package")
    suite = suite_of(saved.package.cipher_suite)
    return KeyPackageKeys(
        saved.package,
        suite.private_key(Secret(saved.init_key)),
        suite.private_key(Secret(saved.leaf_key)),
        suite.signature_key(Secret(saved.signer)),
    )
