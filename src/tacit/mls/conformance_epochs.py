"""The checks of all other files: crypto-basics, deserialization, messages, and what happens within an epoch."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, Final

from tacit import errors
from tacit.crypto.secret import Randomness, Secret
from tacit.mls import key_schedule, limits, protection, psk, transcript, welcome
from tacit.mls.commit import Commit
from tacit.mls.conformance_case import Fact, Fields, Format, group_context, of, raw, secret, suite
from tacit.mls.framing import (
    AnyContent,
    ApplicationData,
    AuthenticatedContent,
    FramedContent,
    Member,
    MLSMessage,
    PrivateMessage,
    ProposalContent,
    PublicMessage,
    WireFormat,
    from_wire,
    to_wire,
)
from tacit.mls.group_context import GroupContext
from tacit.mls.key_package import KeyPackage
from tacit.mls.nodes import RatchetTree
from tacit.mls.proposals import Add, ExternalInit, GroupContextExtensions, PreSharedKey, ReInit, Remove, Update
from tacit.mls.secret_tree import Window, new_secret_tree
from tacit.mls.suites import HPKECiphertext
from tacit.wire.codec import decode, encode
from tacit.wire.reader import Reader, write_varint

_OTHERS_LEAF: Final = 1
"""The sender in message-protection files, in a group of two."""
_PADDED_TO: Final = 64


# --- bytes -------------------------------------------------------------------------------


def deserialization_case(case: Fields, random: Randomness) -> Iterator[Fact]:
    """The length of a vector (§2.1.2)."""
    header = raw(case["vlbytes_header"])
    reader = Reader(header)
    yield Fact("length", reader.varint(), case["length"])
    yield Fact("the header's bytes", reader.position, len(header))
    written = bytearray()
    write_varint(written, case["length"])
    yield Fact("vlbytes_header", bytes(written), header)


_STRUCTS: Final[dict[str, type]] = {
    "mls_welcome": MLSMessage,
    "mls_group_info": MLSMessage,
    "mls_key_package": MLSMessage,
    "ratchet_tree": RatchetTree,
    "group_secrets": welcome.GroupSecrets,
    "add_proposal": Add,
    "update_proposal": Update,
    "remove_proposal": Remove,
    "pre_shared_key_proposal": PreSharedKey,
    "re_init_proposal": ReInit,
    "external_init_proposal": ExternalInit,
    "group_context_extensions_proposal": GroupContextExtensions,
    "commit": Commit,
    "public_message_application": MLSMessage,
    "public_message_proposal": MLSMessage,
    "public_message_commit": MLSMessage,
    "private_message": MLSMessage,
}
_BODIES: Final[dict[str, type]] = {
    "mls_welcome": welcome.Welcome,
    "mls_group_info": welcome.GroupInfo,
    "mls_key_package": KeyPackage,
    "public_message_application": PublicMessage,
    "public_message_proposal": PublicMessage,
    "public_message_commit": PublicMessage,
    "private_message": PrivateMessage,
}


def messages_case(case: Fields, random: Randomness) -> Iterator[Fact]:
    """Every struct is read, and written as the same bytes; signatures and MACs in these files mean nothing."""
    for name, cls in _STRUCTS.items():
        value: Any = decode(cls, raw(case[name]), limits.MESSAGE_BYTES)
        if name in _BODIES:
            yield Fact(f"{name}'s kind", type(value.body), _BODIES[name])
        yield Fact(name, encode(_copied(value)), raw(case[name]))


def _copied(value: Any) -> Any:
    """The same value made anew, so that no struct in it has kept the bytes that it was read from."""
    if isinstance(value, tuple):
        return tuple(_copied(each) for each in value)
    if not dataclasses.is_dataclass(value):
        return value
    cls: Any = type(value)
    return cls(*(_copied(getattr(value, field.name)) for field in dataclasses.fields(value)))


def crypto_basics_case(case: Fields, random: Randomness) -> Iterator[Fact]:
    """The labelled operations (§5.1.2, §5.1.3, §5.2, §8, §9)."""
    using = suite(case)
    given = case["ref_hash"]
    yield Fact("ref_hash", using.ref_hash(given["label"], raw(given["value"])), raw(given["out"]))
    given = case["expand_with_label"]
    expanded = using.expand_with_label(secret(given["secret"]), given["label"], raw(given["context"]), given["length"])
    yield Fact("expand_with_label", expanded, secret(given["out"]))
    given = case["derive_secret"]
    yield Fact("derive_secret", using.derive_secret(secret(given["secret"]), given["label"]), secret(given["out"]))
    given = case["derive_tree_secret"]
    derived = using.derive_tree_secret(secret(given["secret"]), given["label"], given["generation"], given["length"])
    yield Fact("derive_tree_secret", derived, secret(given["out"]))
    yield from _signing(case)
    yield from _encrypting(case)


def _signing(case: Fields) -> Iterator[Fact]:
    using, given = suite(case), case["sign_with_label"]
    public, label, content = raw(given["pub"]), given["label"], raw(given["content"])
    key = using.signature_key(secret(given["priv"]))
    yield Fact("sign_with_label's pub", key.public, public)
    signatures = (raw(given["signature"]), using.sign_with_label(key, label, content))
    yield Fact(
        "sign_with_label's signature, and an own one",
        [using.verify_with_label(public, label, content, each) for each in signatures],
        [True, True],
    )


def _encrypting(case: Fields) -> Iterator[Fact]:
    using, given = suite(case), case["encrypt_with_label"]
    label, context, plaintext = given["label"], raw(given["context"]), raw(given["plaintext"])
    key = using.private_key(secret(given["priv"]))
    yield Fact("encrypt_with_label's pub", key.public, raw(given["pub"]))
    theirs = HPKECiphertext(raw(given["kem_output"]), raw(given["ciphertext"]))
    own = using.encrypt_with_label(key.public, using.prepare(label, context), plaintext)
    for name, sealed in (("encrypt_with_label", theirs), ("an own encrypt_with_label", own)):
        yield Fact(name, using.decrypt_with_label(key, label, context, sealed), plaintext)


# --- the key schedule --------------------------------------------------------------------


def key_schedule_case(case: Fields, random: Randomness) -> Iterator[Fact]:
    """Epoch after epoch (§8)."""
    using, init_secret = suite(case), secret(case["initial_init_secret"])
    for number, epoch in enumerate(case["epochs"]):
        context = group_context(case, number, raw(epoch["tree_hash"]), raw(epoch["confirmed_transcript_hash"]))
        yield Fact(f"epoch {number}: group_context", encode(context), raw(epoch["group_context"]))
        psks = secret(epoch["psk_secret"])
        begun = key_schedule.next_epoch(using, init_secret, secret(epoch["commit_secret"]), psks, context)
        yield Fact(f"epoch {number}: joiner_secret", begun.joiner_secret, secret(epoch["joiner_secret"]))
        welcomed = key_schedule.welcome_secret(using, begun.joiner_secret, psks)
        yield Fact(f"epoch {number}: welcome_secret", welcomed, secret(epoch["welcome_secret"]))
        for field in dataclasses.fields(begun.epoch):
            yield Fact(f"epoch {number}: {field.name}", getattr(begun.epoch, field.name), secret(epoch[field.name]))
        external = key_schedule.external_key(using, begun.epoch.external_secret).public
        yield Fact(f"epoch {number}: external_pub", external, raw(epoch["external_pub"]))
        asked = epoch["exporter"]
        exported = key_schedule.exported(
            using, begun.epoch.exporter_secret, asked["label"], raw(asked["context"]), asked["length"]
        )
        yield Fact(f"epoch {number}: exporter", exported, secret(asked["secret"]))
        init_secret = begun.epoch.init_secret


def psk_secret_case(case: Fields, random: Randomness) -> Iterator[Fact]:
    """External pre-shared keys in one (§8.4)."""
    psks = [
        (psk.PreSharedKeyID(psk.ExternalPsk(raw(each["psk_id"])), raw(each["psk_nonce"])), secret(each["psk"]))
        for each in case["psks"]
    ]
    yield Fact("psk_secret", psk.psk_secret(suite(case), psks), secret(case["psk_secret"]))


def transcript_hashes_case(case: Fields, random: Randomness) -> Iterator[Fact]:
    """The hashes after a commit, and its confirmation tag (§8.2)."""
    using, commit = suite(case), decode(AuthenticatedContent, raw(case["authenticated_content"]), limits.MESSAGE_BYTES)
    confirmed = transcript.confirmed(using, raw(case["interim_transcript_hash_before"]), commit)
    yield Fact("confirmed_transcript_hash_after", confirmed, raw(case["confirmed_transcript_hash_after"]))
    tag = transcript.confirmation_tag(using, secret(case["confirmation_key"]), confirmed)
    yield Fact("the confirmation tag", commit.confirmation_tag, tag)
    after = transcript.interim(using, confirmed, tag)
    yield Fact("interim_transcript_hash_after", after, raw(case["interim_transcript_hash_after"]))


# --- messages ----------------------------------------------------------------------------


def secret_tree_case(case: Fields, random: Randomness) -> Iterator[Fact]:
    """The keys of sender data and of messages, each given once (§6.3.2, §9)."""
    using, given = suite(case), case["sender_data"]
    key, nonce = protection.sender_data_key(using, secret(given["sender_data_secret"]), raw(given["ciphertext"]))
    yield Fact("sender_data's key", key, secret(given["key"]))
    yield Fact("sender_data's nonce", nonce, raw(given["nonce"]))
    tree = new_secret_tree(len(case["leaves"]), secret(case["encryption_secret"]))
    for leaf, generations in enumerate(case["leaves"]):
        for each in generations:
            for name in ("handshake", "application"):
                handshake, generation = name == "handshake", each["generation"]
                tree, found = tree.at(using, leaf, handshake, generation, Window())
                where = f"leaf {leaf}, generation {generation}:"
                yield Fact(f"{where} {name}_key", found.key, secret(each[f"{name}_key"]))
                yield Fact(f"{where} {name}_nonce", found.nonce, secret(each[f"{name}_nonce"]))


def _content(name: str, data: bytes) -> AnyContent:
    if name == "application":
        return ApplicationData(data)
    if name == "proposal":
        return decode(ProposalContent, data, limits.MESSAGE_BYTES)
    return decode(Commit, data, limits.MESSAGE_BYTES)


def message_protection_case(case: Fields, random: Randomness) -> Iterator[Fact]:
    """Messages that others protected are opened, and so are those that this engine protects (§6)."""
    yield Fact(
        "signature_pub", suite(case).signature_key(secret(case["signature_priv"])).public, raw(case["signature_pub"])
    )
    for name in ("proposal", "commit", "application"):
        content = _content(name, raw(case[name]))
        yield from _opened(case, f"{name}_priv", raw(case[f"{name}_priv"]), content)
        yield from _opened(case, f"an own {name}_priv", _protected(case, content, random), content)
        if name != "application":
            yield from _opened(case, f"{name}_pub", raw(case[f"{name}_pub"]), content)
            yield from _opened(case, f"an own {name}_pub", _protected(case, content, None), content)


def _opened(case: Fields, name: str, message: bytes, content: AnyContent) -> Iterator[Fact]:
    using, context = suite(case), _context(case)
    match from_wire(message):
        case PrivateMessage() as private:
            tree = new_secret_tree(2, secret(case["encryption_secret"]))
            opened = protection.open_private(using, tree, secret(case["sender_data_secret"]), private, Window()).content
            opened.verify(using, raw(case["signature_pub"]), context)
            found = opened.claimed().content
        case PublicMessage() as public:
            claimed = protection.open_public(using, secret(case["membership_key"]), public, context)
            found = claimed.verified(using, raw(case["signature_pub"]), context).content
        case other:
            raise errors.Malformed(f"{name} is a {type(other).__name__}")
    yield Fact(name, found.content, content)
    yield Fact(f"{name}'s sender", found.sender, Member(_OTHERS_LEAF))


def _context(case: Fields) -> GroupContext:
    return group_context(case, case["epoch"], raw(case["tree_hash"]), raw(case["confirmed_transcript_hash"]))


def _protected(case: Fields, content: AnyContent, random: Randomness | None) -> bytes:
    """The content in a message of this engine: private where there is randomness, else public."""
    using, context, key = suite(case), _context(case), suite(case).signature_key(secret(case["signature_priv"]))
    framed = FramedContent(context.group_id, context.epoch, Member(_OTHERS_LEAF), b"authenticated", content)
    form = WireFormat.PUBLIC_MESSAGE if random is None else WireFormat.PRIVATE_MESSAGE
    signature = protection.signature(using, key, form, framed, context)
    tag = bytes(using.hash_bytes) if isinstance(content, Commit) else None
    message = AuthenticatedContent(form, framed, signature, tag)
    if random is None:
        return to_wire(protection.public_message(using, secret(case["membership_key"]), message, context))
    tree = new_secret_tree(2, secret(case["encryption_secret"]))

    def padding(length: int) -> int:
        return -length % _PADDED_TO

    _, private = protection.private_message(using, tree, secret(case["sender_data_secret"]), message, padding, random)
    return to_wire(private)


def welcome_case(case: Fields, random: Randomness) -> Iterator[Fact]:
    """A Welcome without pre-shared keys is opened, its GroupInfo signed and confirmed (§12.4.3.1)."""
    using, package, received = suite(case), from_wire(raw(case["key_package"])), from_wire(raw(case["welcome"]))
    yield Fact("the two messages' kinds", (type(package), type(received)), (KeyPackage, welcome.Welcome))
    assert isinstance(received, welcome.Welcome)
    reference = using.ref_hash("MLS 1.0 KeyPackage Reference", encode(package))
    mine = [each.encrypted_group_secrets for each in received.secrets if each.new_member == reference]
    yield Fact("secrets for the key package", len(mine), 1)
    sealed = using.decrypt_with_label(
        using.private_key(secret(case["init_priv"])), "Welcome", received.encrypted_group_info, mine[0]
    )
    joiner = Secret(decode(welcome.GroupSecrets, sealed, limits.MESSAGE_BYTES).joiner_secret)
    no_psk = psk.psk_secret(using, ())
    welcome_secret = key_schedule.welcome_secret(using, joiner, no_psk)
    opened = using.open(
        using.expand_with_label(welcome_secret, "key", b"", using.key_bytes),
        using.expand_with_label(welcome_secret, "nonce", b"", using.nonce_bytes).reveal(),
        received.encrypted_group_info,
        b"",
    )
    info = decode(welcome.GroupInfo, opened, limits.MESSAGE_BYTES)
    signed = using.verify_with_label(raw(case["signer_pub"]), "GroupInfoTBS", info.to_be_signed(), info.signature)
    yield Fact("signer_pub verifies the GroupInfo", signed, True)
    context = info.group_context
    epoch = key_schedule.epoch_secrets(using, joiner, no_psk, context)
    tag = transcript.confirmation_tag(using, epoch.confirmation_key, context.confirmed_transcript_hash)
    yield Fact("the confirmation tag", info.confirmation_tag, tag)


FORMATS: Final[dict[str, Format]] = {
    "crypto-basics": of(crypto_basics_case, "ref_hash", "expand_with_label", "sign_with_label", "encrypt_with_label"),
    "deserialization": of(deserialization_case, "vlbytes_header", "length"),
    "key-schedule": of(key_schedule_case, "group_id", "initial_init_secret", "epochs"),
    "message-protection": of(message_protection_case, "membership_key", "proposal_priv", "application_priv"),
    "messages": of(messages_case, *_STRUCTS),
    "psk_secret": of(psk_secret_case, "psks", "psk_secret"),
    "secret-tree": of(secret_tree_case, "encryption_secret", "sender_data", "leaves"),
    "transcript-hashes": of(transcript_hashes_case, "authenticated_content", "interim_transcript_hash_before"),
    "welcome": of(welcome_case, "init_priv", "key_package", "signer_pub", "welcome"),
}
"""The formats of this module by the names of the official files."""
