"""Paths of commits that do not fit the tree (§7.4 to §7.6, §7.9.2, §12.4.2), and commits from outside (§12.4.3.2)."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any

from adversary.bending import bent
from mls.illegal.case import Attempt, case
from mls.illegal.members import (
    NOW,
    Draw,
    Rules,
    client,
    committed,
    delivered,
    draws,
    leaf_bent,
    package,
    people,
    proposed,
    psk,
    public,
    signed,
    taken,
)
from mls.illegal.proposals import Closed
from tacit import errors
from tacit.crypto.kem import X25519, PrivateKey
from tacit.crypto.secret import Secret
from tacit.mls import committing, key_schedule, protection, treekem
from tacit.mls.commit import Ciphertexts, Commit, UpdatePath
from tacit.mls.framing import Member, NewMemberCommit
from tacit.mls.group import Group
from tacit.mls.joining import KeyPackageKeys
from tacit.mls.leaf_node import LeafNode
from tacit.mls.policy import Policy, Proposed
from tacit.mls.proposals import Add, AnyProposal, ExternalInit, PreSharedKey, Remove
from tacit.mls.suites import CipherSuite
from tacit.mls.tree_math import LeafIndex


def path_bent(change: Callable[[UpdatePath], UpdatePath], *proposals: AnyProposal) -> Attempt:
    """A commit of alice's whose path is changed before it is signed, for carol."""
    four, honest = people(), treekem.encrypted

    def encrypted(*args: Any) -> UpdatePath:
        return change(honest(*args))

    with bent({"tacit.mls.treekem:encrypted": encrypted}):
        return delivered(four.carol, committed(four.alice, *proposals)[1].commit)


def _with_ciphertexts(path: UpdatePath, place: int, times: int) -> UpdatePath:
    nodes = list(path.nodes)
    nodes[place] = dataclasses.replace(
        nodes[place], encrypted_path_secret=Ciphertexts(nodes[place].encrypted_path_secret.encoded * times)
    )
    return dataclasses.replace(path, nodes=tuple(nodes))


@case("§7.6: a path secret is not there for each node of the resolution")
def a_path_with_a_ciphertext_too_many(bend: bool) -> Attempt:
    """At the node that alice shares with bob: carol takes hers from the one above."""
    return path_bent(lambda path: _with_ciphertexts(path, 0, 1 + bend))


@case("§7.6: a path secret is not there for each node of the resolution")
def a_path_without_a_ciphertext(bend: bool) -> Attempt:
    return path_bent(lambda path: _with_ciphertexts(path, 0, 1 - bend))


@case("§7.6: a path secret is not there for each node of the resolution")
def a_path_encrypted_to_somebody_it_adds(bend: bool) -> Attempt:
    """A joiner gets its path secret in the Welcome (§7.5)."""
    four, honest = people(), treekem.encrypted

    def encrypted(suite: Any, path: Any, context: Any, joiners: Any) -> UpdatePath:
        return honest(suite, path, context, [] if bend else joiners)

    with bent({"tacit.mls.treekem:encrypted": encrypted}):
        _, pending = committed(four.alice, Add(package()), Remove(3), with_path=True)
        return delivered(four.bob, pending.commit)


@case(
    "§7.5: the path has not one node for each of the filtered direct path",
    final="each node of the filtered path takes its key from the path's node",
)
def a_path_with_a_node_too_many(bend: bool) -> Attempt:
    return path_bent(lambda path: dataclasses.replace(path, nodes=path.nodes + path.nodes[-1:] * bend))


@case("§7.5: a path secret does not give the node's public key")
def a_path_with_a_key_that_its_secret_does_not_give(bend: bool) -> Attempt:
    four, honest, count = people(), treekem.node_key, itertools.count()

    def node_key(suite: CipherSuite, secret: Secret) -> PrivateKey:
        return suite.derive_key_pair(secret) if bend and next(count) == 1 else honest(suite, secret)

    with bent({"tacit.mls.treekem:node_key": node_key}, everywhere=False):
        return delivered(four.carol, committed(four.alice)[1].commit)


def twice(draw: Draw, secret: bytes) -> Draw:
    """Randomness of which the second piece, a commit's first path secret, is given."""
    count = itertools.count()
    return lambda size: secret if next(count) == 1 else draw(size)


@case("§7.3: an encryption key is none of the cipher suite's")
def a_path_with_a_key_of_low_order(bend: bool) -> Attempt:
    """At the node that alice shares with bob: he would notice, and carol only when she encrypts to it."""
    four, honest, count = people(), treekem.node_key, itertools.count()

    def node_key(suite: CipherSuite, secret: Secret) -> PrivateKey:
        made = honest(suite, secret)
        if bend and next(count) == 0:
            assert isinstance(made, X25519)
            made._key.public = bytes(32)
        return made

    with bent({"tacit.mls.treekem:node_key": node_key}, everywhere=False):
        pending = committed(four.alice)[1]
    return delivered(four.carol, pending.commit)


@case("§12.4.2: a key of the path is in the tree already")
def a_path_with_the_keys_that_the_tree_has(bend: bool) -> Attempt:
    """Alice's last commit, with another key for her leaf and the same path secrets."""
    four = people()
    alice, first = committed(four.alice, random=twice(draws("first"), bytes(32)))
    _, second = committed(alice, random=twice(draws("second"), bytes(32) if bend else bytes(31) + b"\1"))
    return delivered(four.carol, first.commit, second.commit)


@case("§7.3: an encryption key is there twice")
def a_path_with_one_key_for_two_nodes(bend: bool) -> Attempt:
    """The leaf has the key of the node above it."""
    four, honest = people(), treekem.node_key
    keys = list[PrivateKey]()

    def node_key(suite: CipherSuite, secret: Secret) -> PrivateKey:
        keys.append(honest(suite, secret))
        return keys[-1]

    def change(leaf: LeafNode) -> LeafNode:
        return dataclasses.replace(leaf, encryption_key=keys[0].public) if bend else leaf

    with bent({"tacit.mls.treekem:node_key": node_key}, everywhere=False), leaf_bent(change):
        pending = committed(four.alice)[1]
    return delivered(four.carol, pending.commit)


# --- from outside ------------------------------------------------------------------------


def outside(
    *proposals: AnyProposal,
    keys: KeyPackageKeys | None = None,
    policy: type[Policy] = Rules,
    resync: LeafIndex | None = None,
) -> Attempt:
    """A commit by which somebody joins, for carol."""
    four = people(policy)
    _, commit = Group.join_external(
        four.alice.group_info(external=True),
        keys or client("erin"),
        Rules(),
        now=NOW,
        random=draws("outside"),
        proposals=proposals,
        resync=resync,
    )
    return delivered(four.carol, commit)


@case("§12.2: an external commit has one ExternalInit")
def an_external_commit_with_two_inits(bend: bool) -> Attempt:
    return outside(*([ExternalInit(bytes(range(32)))] if bend else []))


@case("§12.2: an external commit removes one leaf at most")
def an_external_commit_that_removes_two(bend: bool) -> Attempt:
    again = client("bob", "again")
    return outside(*([Remove(2 if not bend else 3)] if bend else []), resync=LeafIndex(1), keys=again)


@case("§12.1.8: a proposal of this type cannot come from such a sender")
def an_external_commit_that_adds(bend: bool) -> Attempt:
    return outside(Add(package("frank")) if bend else PreSharedKey(psk()))


@case("§5.3.1: the new credential is not of the same member")
def an_external_commit_that_replaces_another(bend: bool) -> Attempt:
    return outside(keys=client("erin" if bend else "bob", "again"), resync=LeafIndex(1))


@case("§12.4.3.2: the application allows no external joins")
def an_external_commit_where_nobody_may_join(bend: bool) -> Attempt:
    return outside(policy=Closed if bend else Rules)


@case("§12.4.3.2: an external commit has proposals by value only")
def an_external_commit_with_a_proposal_by_reference(bend: bool) -> Attempt:
    """Somebody was told of a proposal, and its reference."""
    four = people()
    message = proposed(four.bob, PreSharedKey(psk()))
    carol = taken(four.carol, message)
    reference = next(iter(carol.state.proposals)) if bend else None
    honest = committing.external_commit

    def external_commit(base: Any, policy: Any, plan: Any, *rest: Any) -> Any:
        own, (more,) = plan.proposals[:-1], plan.proposals[-1:]
        sender = Member(1) if bend else more.sender
        plan = dataclasses.replace(plan, proposals=(*own, Proposed(more.proposal, sender, reference)))
        return honest(base, policy, plan, *rest)

    with bent({"tacit.mls.committing:external_commit": external_commit}):
        _, commit = Group.join_external(
            four.alice.group_info(external=True),
            client("erin"),
            Rules(),
            now=NOW,
            random=draws("outside"),
            proposals=(PreSharedKey(psk()),),
        )
    return delivered(carol, commit)


@case("§7.3: the leaf's encryption key is the former one")
def an_external_commit_with_the_key_of_the_leaf_that_it_replaces(bend: bool) -> Attempt:
    former = people().alice.state.epoch.tree.leaf(1)
    assert former is not None
    with leaf_bent(lambda leaf: dataclasses.replace(leaf, encryption_key=former.encryption_key) if bend else leaf):
        return outside(keys=client("bob", "again"), resync=LeafIndex(1))


@case("§12.4.2: the confirmation tag is not right")
def an_external_commit_with_another_init_secret(bend: bool) -> Attempt:
    """Than its ExternalInit has for everybody else."""
    honest = key_schedule.external_init

    def external_init(suite: CipherSuite, public: bytes) -> tuple[bytes, Secret]:
        kem_output, secret = honest(suite, public)
        return kem_output, Secret(bytes(32)) if bend else secret

    with bent({"tacit.mls.key_schedule:external_init": external_init}):
        return outside()


@case(
    "§12.4.3.2: a new member's commit has a path",
    final="the key that the signature is checked with is the path's",
)
def an_external_commit_without_a_path(bend: bool) -> Attempt:
    four, erin = people(), client("erin")
    if not bend:
        return outside()
    content = signed(four.alice, Commit((), None), sender=NewMemberCommit(), signer=erin.signer)
    return delivered(four.carol, public(four.alice, content))


@case("§6.1", error=errors.BadSignature)
def an_external_commit_that_another_signed(bend: bool) -> Attempt:
    honest = protection.signature

    def signature(suite: Any, key: Any, *rest: Any) -> bytes:
        return honest(suite, client("frank").signer if bend else key, *rest)

    with bent({"tacit.mls.protection:signature": signature}, everywhere=False):
        return outside()


@case("§7.3: a signature key is there twice")
def an_external_commit_with_a_members_signature_key(bend: bool) -> Attempt:
    bob = people().bob.state.signer
    return outside(keys=client("erin", signer=bob if bend else None))
