"""Passive-client cases that this engine makes itself: also encrypted ones, and ones that break the format."""

from __future__ import annotations

from typing import Any

import pytest

from mls.making import NOW, SUITE, Client, client, draws
from tacit.crypto.secret import Secret
from tacit.mls import conformance
from tacit.mls.credential import BasicCredential
from tacit.mls.extensions import ExternalSender, ExternalSenders, as_extension
from tacit.mls.framing import to_wire
from tacit.mls.group import Group
from tacit.mls.joining import KeyPackageKeys
from tacit.mls.leaf_node import Committed, LeafNode, Lifetime
from tacit.mls.nodes import RatchetTree
from tacit.mls.policy import Policy
from tacit.mls.proposals import Add, GroupContextExtensions, PreSharedKey, Remove
from tacit.mls.psk import ExternalPsk, PreSharedKeyID
from tacit.wire.codec import encode

PSK = Secret(b"a key that both have")
ALICE, BOB, CAROL = map(client, ("alice", "bob", "carol"))


class Open(Policy):
    def __init__(self, private: bool) -> None:
        self.private_handshakes = private  # type: ignore[misc]

    def authenticate(self, leaf: LeafNode) -> None:
        pass

    def external_psk(self, psk_id: bytes) -> Secret | None:
        return PSK


def keys(somebody: Client, **changes: Any) -> KeyPackageKeys:
    package = somebody.package(leaf_node=somebody.leaf(**changes))
    return KeyPackageKeys(package, somebody.init_key, somebody.leaf_key, somebody.signer)


def made(private: bool, with_tree: bool = True, begun: int = NOW) -> dict[str, Any]:
    """Alice adds Bob with a pre-shared key, then Carol, first by a proposal, and removes her; Bob is the client."""
    random, bob = draws("case"), keys(BOB)
    outside = as_extension(ExternalSenders((ExternalSender(CAROL.signer.public, BasicCredential(b"outside")),)))
    group = Group.create(b"group", keys(ALICE), Open(private), random, (outside,))
    psk = PreSharedKey(PreSharedKeyID(ExternalPsk(b"name"), bytes(SUITE.hash_bytes)))
    group, pending = group.commit(Add(bob.package), psk, now=NOW, random=random, with_tree=with_tree)
    group = group.merge(pending, NOW)
    assert pending.welcome is not None
    case: dict[str, Any] = {
        "cipher_suite": SUITE.id,
        "external_psks": [{"psk_id": b"name".hex(), "psk": PSK.reveal().hex()}],
        "key_package": to_wire(bob.package).hex(),
        "signature_priv": bob.signer.seed.reveal().hex(),
        "encryption_priv": bob.leaf_key.seed.reveal().hex(),
        "init_priv": bob.init_key.seed.reveal().hex(),
        "welcome": pending.welcome.hex(),
        "ratchet_tree": None if with_tree else encode(group.ratchet_tree()).hex(),
        "initial_epoch_authenticator": group.epoch_authenticator.reveal().hex(),
        "epochs": [],
    }
    package = keys(CAROL, source=Lifetime(begun, begun + 3600)).package
    for proposed, own in (((Add(package),), ()), ((), (Remove(2),)), ((GroupContextExtensions(()),), (Add(package),))):
        proposals = []
        for proposal in proposed:
            group, message = group.propose(proposal, random)
            proposals.append(message.hex())
        group, pending = group.commit(*own, now=begun, random=random)
        group = group.merge(pending, begun)
        authenticator = group.epoch_authenticator.reveal().hex()
        case["epochs"].append(
            {"proposals": proposals, "commit": pending.commit.hex(), "epoch_authenticator": authenticator}
        )
    return case


def failure(case: dict[str, Any]) -> str | None:
    assert conformance.format_of([case]) == "passive-client"
    return conformance.failure("passive-client", case, draws("check"))


@pytest.mark.parametrize("private", [False, True])
@pytest.mark.parametrize("with_tree", [False, True])
def test_a_case_of_this_engine_passes(private: bool, with_tree: bool) -> None:
    assert failure(made(private, with_tree)) is None


def test_a_tree_that_is_not_named_is_in_the_welcome() -> None:
    case = made(False)
    del case["ratchet_tree"]
    assert failure(case) is None


def test_a_tree_of_another_group_fails() -> None:
    case = made(False, with_tree=False)
    case["ratchet_tree"] = encode(RatchetTree((ALICE.leaf(),))).hex()
    assert str(failure(case)).startswith("InvalidGroupMessage")


def test_a_pre_shared_key_that_is_not_there_fails() -> None:
    assert str(failure({**made(False), "external_psks": []})).startswith("PskMissing")


def test_what_stands_where_something_else_should_fails() -> None:
    case = made(False)
    first = case["epochs"][0]
    assert "key_package is a Welcome" in str(failure({**case, "key_package": case["welcome"]}))
    swapped = {**first, "proposals": [first["commit"]]}
    assert "ProposalMissing" in str(failure({**case, "epochs": [swapped]}))
    twice = {**first, "commit": first["proposals"][0]}
    assert "a commit is a ProposalTaken" in str(failure({**case, "epochs": [twice]}))
    remove = {**case["epochs"][1], "proposals": [case["epochs"][1]["commit"]]}
    assert "a proposal is a CommitChecked" in str(failure({**case, "epochs": [first, remove]}))


def test_a_key_package_of_another_source_has_no_time() -> None:
    """Nothing of it is looked at but its keys: who added it had to."""
    case = made(False)
    bent = BOB.package(leaf_node=BOB.leaf(source=Committed(b""), credential=BasicCredential(b"")))
    assert "has nothing for this key package" in str(failure({**case, "key_package": to_wire(bent).hex()}))


def test_the_time_is_that_of_the_key_packages() -> None:
    """Theirs may have begun after the client's."""
    case = made(False)
    for private in (False, True):
        later = made(private, begun=NOW + 7200)
        assert failure(later) is None
        assert later["epochs"] != case["epochs"]


def test_a_message_of_another_kind_is_not_processed() -> None:
    case = made(False)
    first = case["epochs"][0]
    assert "this is no message of a group" in str(
        failure({**case, "epochs": [{**first, "commit": case["key_package"]}]})
    )


def test_application_data_is_no_commit() -> None:
    case = made(False)
    random = draws("case")
    group = Group.create(b"group", keys(ALICE), Open(False), random)
    group, pending = group.commit(Add(keys(BOB).package), now=NOW, random=random)
    _, message = group.merge(pending, NOW).protect(b"hello", random)
    assert pending.welcome is not None
    authenticator = group.merge(pending, NOW).epoch_authenticator.reveal().hex()
    epoch = {"proposals": [], "commit": message.hex(), "epoch_authenticator": ""}
    case |= {"welcome": pending.welcome.hex(), "initial_epoch_authenticator": authenticator, "epochs": [epoch]}
    assert "a commit is a Application" in str(failure(case))
