"""Signatures, requests, accounts, vaults, conversations, grants and messages against the known answers."""

from __future__ import annotations

from functools import cache
from typing import Any

from tacit import errors
from tacit.conversation.content import Content
from tacit.conversation.envelope import open_grant
from tacit.conversation.keys import ConversationKey, is_key_of, key_id_of
from tacit.conversation.sealing import Epoch, Sender, open_message, seal
from tacit.crypto.hpke import STANDARD
from tacit.crypto.hpke import open as hpke_open
from tacit.crypto.kem import XWing
from tacit.crypto.rsa import RsaKey
from tacit.crypto.secret import Secret
from tacit.crypto.verify import check_public
from tacit.identity.account import open_box
from tacit.identity.keys import PrivateKey, private_key, signing_key
from tacit.identity.unlockers import Account, KdfBounds, open_with_password, open_with_recovery_key
from tacit.identity.vault import combine, open_outer
from tacit.signed.account import AccountRecord, AccountSignatures, account_hash, verify_chain
from tacit.signed.grant import SignedGrant
from tacit.signed.message import Message, aad_bytes, from_fields, message_hash, to_fields, verify_message
from tacit.signed.profiles import KeyAlgorithm, Profile, profile_of, signed_by
from tacit.signed.record import Change, ConversationRecord, record_hash, roster_hash
from tacit.signed.request import (
    SocketChallenge,
    read_signature,
    sign_challenge,
    sign_request,
    verify_challenge,
    verify_request,
)
from tacit.signed.rights import ChainState, advance, check_standing
from tacit.signed.vault import Box, Outer, OuterHeader, SignedEntry, Vault, check_vault, verify_outer_next
from tacit.signed.verify import Verified
from tacit.wire.codec import encode
from vectors.known import cases, judged, load, raw, served, struct_of

Case = dict[str, Any]

# --- signatures, keys, requests ------------------------------------------------------------


def check_signature(algorithm: KeyAlgorithm, case: Case) -> None:
    with judged(case):
        if not signed_by(algorithm, raw(case["public"]), raw(case["message"]), raw(case["signature"])):
            raise errors.BadSignature


@cases("signatures", "ed25519")
def test_ed25519(case: Case) -> None:
    check_signature(KeyAlgorithm.ED25519, case)


@cases("signatures", "p256")
def test_p256(case: Case) -> None:
    check_signature(KeyAlgorithm.P256, case)


def test_the_laxer_rules_would_have_taken_what_is_refused() -> None:
    found = load("signatures")["ed25519"]
    refused = [case["lax"] for case in found if not case["valid"]]
    assert sum(lax.get("cofactorless", False) for lax in refused) >= 10
    assert sum(lax.get("cofactored", False) and not lax["cofactorless"] for lax in refused) >= 2
    assert all(case["lax"]["cofactorless"] for case in found if case["valid"])


@cases("public_keys", "public_keys")
def test_public_keys(case: Case) -> None:
    with judged(case):
        check_public(case["algorithm"], raw(case["public"]))
    if seed := case.get("seed"):
        if case["algorithm"] == KeyAlgorithm.X_WING:
            assert XWing(Secret(raw(seed))).public.hex() == case["public"]
        else:
            profile = Profile.STANDARD if case["algorithm"] == KeyAlgorithm.ED25519 else Profile.COMPAT
            assert signing_key(profile, Secret(raw(seed))).public.hex() == case["public"]


@cases("requests", "requests")
def test_requests(case: Case) -> None:
    target = case["method"], case["authority"], case["path"], case["query"], raw(case["body"])
    with judged(case):
        read = read_signature((name, value) for name, value in case["headers"])
        verify_request(read, *target, public=raw(case["public"]), now=case["now"])
    if case["valid"]:
        profile = Profile.STANDARD if len(raw(case["public"])) == 32 else Profile.COMPAT
        signed = sign_request(
            *target,
            key_id=case["keyid"],
            created=case["created"],
            expires=case["expires"],
            nonce=case["nonce"],
            signer=signing_key(profile, Secret(raw(case["seed"]))).sign,
        )
        assert signed == dict(case["headers"])


@cases("requests", "challenges")
def test_challenges(case: Case) -> None:
    challenge = struct_of(SocketChallenge, case["value"])
    with judged(case):
        verify_challenge(challenge, raw(case["signature"]), raw(case["public"]))
    if case["valid"]:
        profile = Profile.STANDARD if len(raw(case["public"])) == 32 else Profile.COMPAT
        signer = signing_key(profile, Secret(raw(case["seed"]))).sign
        assert sign_challenge(challenge, signer).hex() == case["signature"]


# --- accounts ------------------------------------------------------------------------------


def account_of(found: Case) -> tuple[AccountRecord, AccountSignatures]:
    """A record and its signatures, as served."""
    record = served(AccountRecord, found["record"])
    assert account_hash(record).hex() == found["keyId"]
    return record, served(AccountSignatures, found["signatures"])


@cases("accounts", "accounts")
def test_chains_of_account_records(case: Case) -> None:
    records = load("accounts")["records"]
    chain = [account_of(records[each] if isinstance(each, str) else each) for each in case["chain"]]
    before = verify_chain(chain[:-1])
    with judged(case):
        verify_chain(chain[-1:], before[-1] if before else None)


def writers(case: Case) -> dict[str, bytes]:
    return {device_id: raw(key) for device_id, key in case["writers"].items()}


def entries_of(found: list[Case]) -> tuple[SignedEntry, ...]:
    return tuple(struct_of(SignedEntry, each) for each in found)


@cases("vaults", "vaults")
def test_vaults(case: Case) -> None:
    record, _ = account_of(case)
    vault = served(Vault, case["vault"])
    with judged(case):
        check_vault(record, vault)
    if not case["valid"]:
        return
    account = Account(record.server_name, record.user_id, record.profile, record.aik)
    cost = case["cost"]
    memory, passes, lanes = cost["memory_kib"], cost["iterations"], cost["lanes"]
    bounds = KdfBounds((memory, memory), (passes, passes), (lanes, lanes), cost["kdf"])
    for opened in (
        open_with_password(account, vault.inner, Secret(raw(case["password"])), bounds),
        open_with_recovery_key(account, vault.inner, Secret(raw(case["recovery_key"]))),
    ):
        assert opened.amk.reveal().hex() == case["amk"]
        assert opened.aik.seed.reveal().hex() == case["aik_seed"]
        assert opened.outer_key.reveal().hex() == case["outer_key"]
    entries = open_outer(record, vault.outer, Secret(raw(case["outer_key"])), writers(case))
    assert entries == entries_of(case["entries"])
    assert {box.device_id for box in vault.boxes.boxes} == set(case["boxes"])
    for box in vault.boxes.boxes:
        assert box_opened(record, box, case["boxes"][box.device_id]).hex() == case["outer_key"]


def box_opened(record: AccountRecord, box: Box, private: str) -> bytes:
    return open_box(record, box, Secret(raw(private))).reveal()


@cases("boxes", "boxes")
def test_boxes(case: Case) -> None:
    record, box = served(AccountRecord, case["record"]), served(Box, case["box"])
    with judged(case):
        assert box_opened(record, box, case["private"]).hex() == case["outer_key"]
    if case["valid"] and record.profile is Profile.STANDARD:
        key = XWing(Secret(raw(case["private"])))
        assert hpke_open(STANDARD, key, raw(case["info"]), box.wrapped_outer_key).hex() == case["outer_key"]


@cases("outers", "outers")
def test_outer_parts_that_follow(case: Case) -> None:
    record, _ = account_of(case)
    before, outer = served(OuterHeader, case["before"]), served(Outer, case["outer"])
    with judged(case):
        verify_outer_next(record, before, outer)
        found = open_outer(record, outer, Secret(raw(case["outer_key"])), writers(case))
        assert found == entries_of(case["entries"])


@cases("merges", "merges")
def test_merging(case: Case) -> None:
    one, other, merged = (entries_of(case[name]) for name in ("first", "second", "merged"))
    assert combine(one, other, case["certified"]) == merged
    assert combine(other, one, case["certified"]) == merged
    assert combine(merged, (*one, *other), case["certified"]) == merged


# --- conversations -------------------------------------------------------------------------


def accounts_of(name: str) -> dict[tuple[str, bytes], Verified[AccountRecord]]:
    """Every version of the accounts of a profile, by user and hash."""
    found = {}
    for chain in load("conversations")["accounts"][name]:
        for verified in verify_chain([account_of(each) for each in chain]):
            found[verified.value.user_id, account_hash(verified.value)] = verified
    return found


@cases("conversations", "conversations")
def test_chains_of_conversation_records(case: Case) -> None:
    known = accounts_of(case["accounts"])
    records = load("conversations")["records"]
    chain = [records[each] if isinstance(each, str) else each for each in case["chain"]]
    state: ChainState | None = None
    for each in chain[:-1]:
        state = advance(state, served(ConversationRecord, each["record"]))
    record = served(ConversationRecord, chain[-1]["record"])
    with judged(case):
        _, after = check_standing(
            state, record, raw(chain[-1]["signature"]), lambda user, hashed: known.get((user, hashed))
        )
    if not case["valid"]:
        return
    roster = [struct_of(Change, each) for each in case["roster"]]
    assert [member.change for member in after.members] == roster
    assert {user: added.hex() for user, added in after.added().items()} == case["added"]
    assert roster_hash(after.roster()).hex() == case["roster_hash"] == record.roster_hash.hex()
    assert record_hash(record).hex() == case["hash"]
    key = ConversationKey(Secret(raw(case["key"])))
    assert key_id_of(key, record).hex() == case["key_id"]
    assert is_key_of(key, record)


@cache
def opened_key(algorithm: KeyAlgorithm, private: str) -> PrivateKey:
    """Reading an RSA key costs up to 400 ms."""
    return private_key(algorithm, Secret(raw(private)))


@cases("grants", "grants")
def test_grants(case: Case) -> None:
    signed = served(SignedGrant, case["signed_grant"])
    record, granter = served(ConversationRecord, case["record"]), account_of(case["granter"])
    (verified,) = verify_chain([granter])
    roster = {each["user_id"]: struct_of(Change, each) for each in case["roster"]}
    key = opened_key(KeyAlgorithm(case["algorithm"]), case["private"])
    with judged(case):
        opened = open_grant(
            signed,
            record=record,
            roster=roster,
            user_id=case["recipient"],
            private_keys=lambda _, __: key,
            accounts=lambda _, hashed: verified if hashed == account_hash(verified.value) else None,
        )
        assert opened.secret.reveal().hex() == case["key"]
        assert struct_of(type(signed.grant), case["grant"]) == signed.grant
    if case["valid"] and isinstance(key, XWing):
        assert hpke_open(STANDARD, key, raw(case["info"]), signed.grant.ciphertext).hex() == case["key"]
    assert isinstance(key, XWing | RsaKey)


# --- messages ------------------------------------------------------------------------------


@cases("messages", "payloads")
def test_payloads(case: Case) -> None:
    with judged(case):
        message, signature = from_fields(case["payload"])
    if case["valid"]:
        assert message == struct_of(Message, case["message"])
        assert signature.hex() == case["signature"]
        assert to_fields(message, signature) == case["payload"]


@cases("messages", "messages")
def test_messages(case: Case) -> None:
    profile = profile_of(case["profile"])
    epoch = Epoch(served(ConversationRecord, case["record"]), ConversationKey(Secret(raw(case["key"]))))
    with judged(case):
        message, signature = from_fields(case["payload"])
        content = open_message(verify_message(message, signature, raw(case["request_key"]), profile), epoch)
    if not case["valid"]:
        return
    assert content == struct_of(Content, case["content"])
    assert encode(content).hex() == case["encoded_content"]
    assert (message, signature.hex()) == (struct_of(Message, case["message"]), case["signature"])
    assert message_hash(message).hex() == case["message_hash"]
    aad = message.aad
    assert aad_bytes(aad).hex() == case["aad"]
    assert epoch.message_key(aad.device_id, aad.instance_id, aad.counter).reveal().hex() == case["message_key"]
    signer = signing_key(profile, Secret(raw(case["seed"]))).sign
    again = seal(
        epoch,
        Sender(aad.user_id, aad.device_id, aad.instance_id, signer),
        content,
        counter=aad.counter,
        client_message_id=aad.client_message_id,
        random=lambda size: message.iv[:size],
    )
    assert (again.message, again.signature) == (message, signature)
