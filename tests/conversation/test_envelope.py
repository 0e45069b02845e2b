from __future__ import annotations

import dataclasses

import pytest

from conversation.world import Chat, Opened, Person, World
from tacit import errors
from tacit.conversation.envelope import make_grants, open_grant
from tacit.conversation.keys import ConversationKey
from tacit.crypto import hpke, rsa
from tacit.crypto.kem import XWing
from tacit.crypto.secret import Secret
from tacit.signed import labels
from tacit.signed.account import account_hash
from tacit.signed.grant import Grant, GrantContext, Granter, SignedGrant, WrapAlgorithm, sign_grant
from tacit.signed.profiles import KeyAlgorithm, Profile
from tacit.signed.record import DEFAULT_POLICY, Role
from tacit.signed.verify import labelled


@pytest.fixture
def world() -> World:
    return World("alice", "bob", "carol", "mallory")


@pytest.fixture
def chat(world: World) -> Chat:
    return Chat(world, "alice", "bob", "carol")


def opened(world: World, epoch: Opened, grant: SignedGrant, user_id: str) -> ConversationKey:
    return open_grant(
        grant,
        record=epoch.record,
        roster=epoch.roster,
        user_id=user_id,
        private_keys=world[user_id].private_key,
        accounts=world.accounts,
    )


def test_every_member_opens_its_own_grant(world: World, chat: Chat) -> None:
    epoch = chat.epochs[0]
    grants = epoch.grants(world["alice"], world["bob"], world["carol"])
    assert [each.grant.recipient for each in grants] == ["alice", "bob", "carol"]
    for grant in grants:
        assert opened(world, epoch, grant, grant.grant.recipient) == epoch.key


def test_no_member_opens_anothers_grant(world: World, chat: Chat) -> None:
    (grant,) = chat.epochs[0].grants(world["bob"])
    with pytest.raises(errors.InvalidGrant):
        opened(world, chat.epochs[0], grant, "carol")


def test_a_member_without_a_device_gets_no_grant(world: World, chat: Chat) -> None:
    world["bob"].revoke(world["bob"].device)
    assert [each.grant.recipient for each in chat.epochs[0].grants(world["bob"], world["carol"])] == ["carol"]


def test_nothing_is_wrapped_to_somebody_outside_the_roster(world: World, chat: Chat) -> None:
    with pytest.raises(errors.InvalidArgument):
        chat.epochs[0].grants(world["bob"], world["mallory"])


def test_nothing_is_wrapped_to_another_identity_key_than_the_rosters(world: World, chat: Chat) -> None:
    world["bob"].reset()
    with pytest.raises(errors.InvalidArgument):
        chat.epochs[0].grants(world["bob"])


def test_only_the_key_that_the_record_names_is_granted(world: World, chat: Chat) -> None:
    epoch = chat.epochs[0]
    other = ConversationKey.generate(chat.random)
    newest = world["bob"].versions
    with pytest.raises(errors.KeyIdMismatch):
        make_grants(epoch.record, other, epoch.granter(), world["alice"].device.request.sign, newest, epoch.roster)


def test_a_grant_is_wrapped_to_the_named_account_record_with_its_context(world: World, chat: Chat) -> None:
    epoch, bob = chat.epochs[0], world["bob"]
    (signed,) = epoch.grants(bob)
    grant = signed.grant
    assert (grant.record_hash, grant.account_hash) == (epoch.state.head_hash, account_hash(bob.newest))
    context = GrantContext(epoch.state.head_hash, "bob", account_hash(bob.newest))
    private = bob.wraps[grant.account_hash, KeyAlgorithm.X_WING]
    assert isinstance(private, XWing)
    assert hpke.open(hpke.STANDARD, private, labelled(labels.GRANT_WRAP, context), grant.ciphertext) == (
        epoch.key.secret.reveal()
    )


def test_another_member_repairs_a_wrong_grant(world: World, chat: Chat) -> None:
    epoch = chat.epochs[0]
    wrong = signed_with(world["alice"], epoch, world["bob"], bytes(32))
    with pytest.raises(errors.InvalidGrant):
        opened(world, epoch, wrong, "bob")
    carol = world["carol"]
    granter = Granter("carol", carol.device.device_id, account_hash(carol.newest))
    (right,) = make_grants(
        epoch.record, epoch.key, granter, carol.device.request.sign, world["bob"].versions, epoch.roster
    )
    assert opened(world, epoch, right, "bob") == epoch.key


@pytest.mark.parametrize("allowed", [False, True])
def test_who_was_not_in_an_epoch_is_handed_its_key_by_its_policy_alone(world: World, chat: Chat, allowed: bool) -> None:
    policy = dataclasses.replace(DEFAULT_POLICY, member_history=allowed)
    epoch = chat.open("alice", policy=policy)
    secret, carol, mallory = epoch.key.secret.reveal(), world["carol"], world["mallory"]
    context = GrantContext(epoch.state.head_hash, "mallory", account_hash(mallory.newest))
    public = mallory.newest.encryption_keys[0].public_key
    ciphertext = hpke.seal(hpke.STANDARD, public, labelled(labels.GRANT_WRAP, context), secret)
    by = Granter("carol", carol.device.device_id, account_hash(carol.newest))
    grant = Grant(epoch.state.head_hash, by, "mallory", context.account_hash, WrapAlgorithm.HPKE_X_WING, ciphertext)
    signed = sign_grant(grant, carol.device.request.sign)
    if allowed:
        assert opened(world, epoch, signed, "mallory") == epoch.key
    else:
        with pytest.raises(errors.InvalidGrant, match="closed"):
            opened(world, epoch, signed, "mallory")


def test_a_grant_by_a_device_revoked_since_still_opens(world: World, chat: Chat) -> None:
    (grant,) = chat.epochs[0].grants(world["bob"])
    world["alice"].revoke(world["alice"].device)
    assert opened(world, chat.epochs[0], grant, "bob") == chat.epochs[0].key


def signed_with(
    granter: Person,
    epoch: Opened,
    recipient: Person,
    secret: bytes,
    algorithm: WrapAlgorithm = WrapAlgorithm.HPKE_X_WING,
) -> SignedGrant:
    """A grant of any bytes, well signed by the granter's device."""
    (made,) = epoch.grants(recipient)
    context = GrantContext(epoch.state.head_hash, recipient.user_id, account_hash(recipient.newest))
    public = recipient.newest.encryption_keys[0].public_key
    ciphertext = hpke.seal(hpke.STANDARD, public, labelled(labels.GRANT_WRAP, context), secret)
    by = Granter(granter.user_id, granter.device.device_id, account_hash(granter.newest))
    grant = dataclasses.replace(made.grant, granter=by, ciphertext=ciphertext, algorithm=algorithm)
    return sign_grant(grant, granter.device.request.sign)


@pytest.mark.parametrize("secret", [b"", bytes(31), bytes(32), bytes(33)])
def test_a_grant_with_another_key_is_refused(world: World, chat: Chat, secret: bytes) -> None:
    with pytest.raises(errors.InvalidGrant):
        opened(world, chat.epochs[0], signed_with(world["alice"], chat.epochs[0], world["bob"], secret), "bob")


def test_a_grant_by_somebody_outside_the_roster_is_refused_though_its_key_is_right(world: World, chat: Chat) -> None:
    epoch = chat.epochs[0]
    secret = epoch.key.secret.reveal()
    assert opened(world, epoch, signed_with(world["carol"], epoch, world["bob"], secret), "bob") == epoch.key
    with pytest.raises(errors.InvalidGrant, match="not in the epoch"):
        opened(world, epoch, signed_with(world["mallory"], epoch, world["bob"], secret), "bob")


def test_a_grant_by_a_member_under_a_new_identity_key_is_refused(world: World, chat: Chat) -> None:
    world["carol"].reset()
    grant = signed_with(world["carol"], chat.epochs[0], world["bob"], chat.epochs[0].key.secret.reveal())
    with pytest.raises(errors.InvalidGrant, match="identity key"):
        opened(world, chat.epochs[0], grant, "bob")


def test_a_grant_by_a_device_that_the_named_record_has_not_is_refused(world: World, chat: Chat) -> None:
    (made,) = chat.epochs[0].grants(world["bob"])
    later = world["alice"].add_device()
    by = dataclasses.replace(made.grant.granter, device_id=later.device_id)
    grant = sign_grant(dataclasses.replace(made.grant, granter=by), later.request.sign)
    with pytest.raises(errors.InvalidGrant, match="not certified"):
        opened(world, chat.epochs[0], grant, "bob")


def test_a_grant_that_names_an_unknown_account_record_waits(world: World, chat: Chat) -> None:
    (made,) = chat.epochs[0].grants(world["bob"])
    by = dataclasses.replace(made.grant.granter, account_hash=b"?" * 32)
    grant = sign_grant(dataclasses.replace(made.grant, granter=by), world["alice"].device.request.sign)
    with pytest.raises(errors.RecordPending) as caught:
        opened(world, chat.epochs[0], grant, "bob")
    assert caught.value.facts == {"accounts": ["alice"]}


def test_a_grant_of_another_epoch_is_refused(world: World, chat: Chat) -> None:
    (grant,) = chat.epochs[0].grants(world["bob"])
    chat.open("alice", [world["alice"].change(Role.ADMIN)])
    with pytest.raises(errors.InvalidGrant, match="another epoch"):
        opened(world, chat.epochs[1], grant, "bob")


@pytest.mark.parametrize("algorithm", [WrapAlgorithm.RSA_OAEP_SHA256, WrapAlgorithm.SEALED])
def test_a_grant_in_another_way_than_the_profiles_is_refused(
    world: World, chat: Chat, algorithm: WrapAlgorithm
) -> None:
    epoch = chat.epochs[0]
    grant = signed_with(world["alice"], epoch, world["bob"], epoch.key.secret.reveal(), algorithm)
    with pytest.raises(errors.InvalidGrant, match="profile"):
        opened(world, epoch, grant, "bob")


def test_a_grant_to_a_key_that_one_has_not_yet_waits(world: World, chat: Chat) -> None:
    (grant,) = chat.epochs[0].grants(world["bob"])
    world["bob"].wraps.clear()
    with pytest.raises(errors.RecordPending, match="not here"):
        opened(world, chat.epochs[0], grant, "bob")


def test_a_grant_wrapped_to_a_substituted_key_is_refused(world: World, chat: Chat) -> None:
    (grant,) = chat.epochs[0].grants(world["bob"])
    world["bob"].wraps[grant.grant.account_hash, KeyAlgorithm.X_WING] = XWing(Secret(bytes(32)))
    with pytest.raises(errors.InvalidGrant):
        opened(world, chat.epochs[0], grant, "bob")


@pytest.mark.parametrize("field", ["record_hash", "recipient", "account_hash", "ciphertext", "granter", "signature"])
def test_a_grant_changed_in_any_field_is_refused(world: World, chat: Chat, field: str) -> None:
    (signed,) = chat.epochs[0].grants(world["bob"])
    grant = signed.grant
    changed = {
        "record_hash": lambda: dataclasses.replace(grant, record_hash=b"?" * 32),
        "recipient": lambda: dataclasses.replace(grant, recipient="carol"),
        "account_hash": lambda: dataclasses.replace(grant, account_hash=account_hash(world["carol"].newest)),
        "ciphertext": lambda: dataclasses.replace(
            grant, ciphertext=grant.ciphertext[:-1] + bytes([grant.ciphertext[-1] ^ 1])
        ),
        "granter": lambda: dataclasses.replace(
            grant,
            granter=Granter("carol", world["carol"].device.device_id, account_hash(world["carol"].newest)),
        ),
        "signature": lambda: grant,
    }[field]()
    signature = signed.signature if field != "signature" else bytes([signed.signature[0] ^ 1]) + signed.signature[1:]
    with pytest.raises((errors.InvalidGrant, errors.BadSignature)):
        opened(world, chat.epochs[0], SignedGrant(changed, signature), "bob")


# --- profiles ----------------------------------------------------------------------------

CIPHERTEXTS = {Profile.STANDARD: (WrapAlgorithm.HPKE_X_WING, 1168), Profile.FIPS: (WrapAlgorithm.RSA_OAEP_SHA256, 384)}


@pytest.mark.parametrize(
    ("account", "conversation"),
    [
        (Profile.STANDARD, Profile.STANDARD),
        (Profile.FIPS, Profile.FIPS),
        (Profile.COMPAT, Profile.COMPAT),
        (Profile.STANDARD, Profile.COMPAT),
    ],
)
def test_the_conversations_profile_fixes_the_wrap(account: Profile, conversation: Profile) -> None:
    world = World(alice=account, bob=account)
    epoch = Chat(world, "alice", "bob", profile=conversation).epochs[0]
    (grant,) = epoch.grants(world["bob"])
    wrapped = CIPHERTEXTS[Profile.STANDARD if conversation is Profile.STANDARD else Profile.FIPS]
    assert (grant.grant.algorithm, len(grant.grant.ciphertext)) == wrapped
    assert opened(world, epoch, grant, "bob") == epoch.key


def test_an_rsa_grant_is_bound_by_its_signature_alone() -> None:
    """OAEP carries no label, so that only the granter's signature says for which epoch and for whom it is."""
    world = World(alice=Profile.COMPAT, bob=Profile.COMPAT, carol=Profile.COMPAT)
    chat = Chat(world, "alice", "bob", "carol", profile=Profile.COMPAT)
    (grant,) = chat.epochs[0].grants(world["bob"])
    later = chat.open("alice")
    for moved in (
        dataclasses.replace(grant.grant, record_hash=later.state.head_hash),
        dataclasses.replace(grant.grant, recipient="carol", account_hash=account_hash(world["carol"].newest)),
    ):
        epoch = later if moved.recipient == "bob" else chat.epochs[0]
        with pytest.raises(errors.BadSignature):
            opened(world, epoch, dataclasses.replace(grant, grant=moved), moved.recipient)


def test_a_grant_under_rsa_is_refused_where_x_wing_belongs(world: World, chat: Chat) -> None:
    """Whoever breaks RSA must not be handed the keys of a conversation that is not wrapped by it."""
    epoch = chat.epochs[0]
    bob = world["bob"].newest
    public = next(key.public_key for key in bob.encryption_keys if key.algorithm is KeyAlgorithm.RSA)
    raw = rsa.wrap(public, epoch.key.secret.reveal())
    made = Grant(epoch.state.head_hash, epoch.granter(), "bob", account_hash(bob), WrapAlgorithm.RSA_OAEP_SHA256, raw)
    with pytest.raises(errors.InvalidGrant, match="profile"):
        opened(world, epoch, sign_grant(made, world["alice"].device.request.sign), "bob")
