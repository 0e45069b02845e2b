"""What the application decides, and what the defaults are."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from certificates import Authority, new_key
from mls.making import LIFETIME, NOW, client
from mls.party import CLOSED, PLAIN, Closed, Open, Party
from tacit import errors
from tacit.crypto.secret import Secret
from tacit.mls import (
    Add,
    BasicCredential,
    Certificate,
    ExternalSender,
    ExternalSenders,
    Group,
    KeyPackageKeys,
    LeafNode,
    NewMemberProposal,
    Policy,
    Proposed,
    X509Credential,
    as_extension,
    capabilities,
    in_parts,
    new_key_package,
    suite_of,
)
from tacit.mls.framing import PrivateMessage, from_wire
from tacit.mls.proposals import GroupContextExtensions
from tacit.mls.suites import SignatureKey


class Defaults(Policy):
    """Nothing but what has to be said."""

    def authenticate(self, leaf: LeafNode) -> None:
        pass


def test_the_defaults() -> None:
    policy = Defaults()
    alice, bob = client("alice").leaf(), client("bob").leaf()
    assert policy.padding(100) == 0
    assert policy.external_psk(b"name") is None
    assert policy.resumption_psk(b"group", 1) is None
    assert policy.client_of(alice) == BasicCredential(b"alice")
    assert policy.is_successor(alice, dataclasses.replace(bob, credential=alice.credential))
    assert not policy.is_successor(alice, bob)
    assert list(policy.mapped(lambda member: None, [(0, alice), (1, bob)])) == [None, None]


def test_members_are_handed_to_a_pool_in_parts() -> None:
    members = [(number, client("alice").leaf()) for number in range(130)]
    seen: list[int] = []

    def checked(member: tuple[int, LeafNode]) -> None:
        seen.append(member[0])
        if member[0] == 128:
            raise errors.InvalidGroupMessage("not this one")

    with ThreadPoolExecutor(2) as pool:
        assert list(in_parts(pool.map, checked, members[:128])) == [None, None]
        assert sorted(seen) == list(range(128))
        with pytest.raises(errors.InvalidGroupMessage, match="not this one"):
            list(in_parts(pool.map, checked, members))


def test_nobody_new_and_nobody_outside_proposes_unless_the_policy_says_so() -> None:
    proposed = Proposed(Add(client("carol").package()), NewMemberProposal())
    Open().check_proposal(proposed)
    with pytest.raises(errors.InvalidGroupMessage, match=r"§12\.1\.8"):
        Defaults().check_proposal(proposed)
    sender = ExternalSender(client("service").signer.public, BasicCredential(b"service"))
    change = GroupContextExtensions((as_extension(ExternalSenders((sender,))),))
    party = Party("alice", policy=Defaults())
    with pytest.raises(errors.InvalidGroupMessage, match=r"§5\.3\.1: the application knows no external senders"):
        party.commit("alice", change)
    Party("alice", policy=CLOSED).commit("alice", change)


def test_padding_hides_how_long_a_message_is() -> None:
    class Padded(Open):
        def padding(self, length: int) -> int:
            return -length % 256

    party = Party("alice", "bob", policy=Padded())
    sizes = set()
    for size in (0, 1, 100):
        message = party.send("alice", bytes(size))
        assert party.read(message, "bob").data == bytes(size)
        parsed = from_wire(message)
        assert isinstance(parsed, PrivateMessage)
        sizes.add(len(parsed.ciphertext))
    assert sizes == {256 + 16}


def test_a_policy_belongs_to_a_member_and_not_to_its_state() -> None:
    party = Party("alice", "bob", policy=PLAIN)
    alice = Group(party["alice"].state, Closed())
    assert alice.policy is not party["bob"].policy
    assert Group.load(alice.records(), PLAIN).policy is PLAIN


def test_a_key_package_is_valid_for_no_longer_than_the_policy_says() -> None:
    class Short(Open):
        lifetime_seconds = 100

    party = Party("alice")
    keys = party.keys("bob")
    with pytest.raises(errors.InvalidGroupMessage, match=r"§7\.2"):
        Group(party["alice"].state, Short()).commit(Add(keys.package), now=NOW, random=party.random)
    party.commit("alice", Add(keys.package))


# --- X.509 -------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Certified:
    """Somebody of suite 2 with a certificate."""

    signer: SignatureKey
    credential: X509Credential

    def keys(self, party: Party, signer: SignatureKey | None = None) -> KeyPackageKeys:
        return new_key_package(party.suite, signer or self.signer, self.credential, LIFETIME, party.random)


@pytest.fixture
def certified(tmp_path_factory: pytest.TempPathFactory) -> Certified:
    """The certificate is of the key that signs."""
    key = new_key()
    seed = key.private_numbers().private_value.to_bytes(32, "big")
    issued = Authority(tmp_path_factory.mktemp("ca")).issue("alice.test", key=key)
    der = issued.certificate.public_bytes(Encoding.DER)
    return Certified(suite_of(2).signature_key(Secret(seed)), X509Credential((Certificate(der),)))


class Certifying(Open):
    """A chain is judged here: the engine only sees whose key it is."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[X509Credential] = []

    def authenticate(self, leaf: LeafNode) -> None:
        if isinstance(leaf.credential, X509Credential):
            self.asked.append(leaf.credential)


def test_a_member_with_a_certificate_of_its_key_is_taken(certified: Certified) -> None:
    policy = Certifying()
    both = capabilities((1, 2))
    party = Party("alice", suite=suite_of(2), policy=policy, supports=both)
    keys = new_key_package(party.suite, certified.signer, certified.credential, LIFETIME, party.random, supports=both)
    party.groups["bob"] = party.welcomed(party.commit("alice", Add(keys.package)), keys)
    party.commit("bob")
    assert party.agree()
    assert policy.asked
    assert set(policy.asked) == {certified.credential}
    assert party.read(party.send("bob"), "alice").leaf.credential == certified.credential


def test_a_certificate_of_another_key_is_refused(certified: Certified) -> None:
    party = Party("alice", suite=suite_of(2))
    other = party.suite.new_signature_key(party.random)
    for keys in (
        certified.keys(party, other),
        dataclasses.replace(certified, credential=X509Credential(())).keys(party),
    ):
        with pytest.raises(errors.InvalidGroupMessage, match=r"§5\.3: the leaf's signature key is not that of"):
            party.commit("alice", Add(keys.package))
    broken = dataclasses.replace(certified, credential=X509Credential((Certificate(b"no certificate"),)))
    with pytest.raises(errors.Malformed):
        party.commit("alice", Add(broken.keys(party).package))


def test_a_group_of_certificates_refuses_a_member_who_cannot_read_them(certified: Certified) -> None:
    party = Party("alice", suite=suite_of(2))
    with pytest.raises(errors.InvalidGroupMessage, match=r"§7\.3: a credential's type"):
        party.commit("alice", Add(certified.keys(party).package))
