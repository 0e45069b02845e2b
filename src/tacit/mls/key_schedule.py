"""The key schedule (RFC 9420 §8): from one epoch's init secret to the next one's secrets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tacit.crypto import hpke
from tacit.crypto.kem import PrivateKey
from tacit.crypto.secret import Secret
from tacit.mls.group_context import GroupContext
from tacit.mls.suites import CipherSuite
from tacit.wire.codec import encode

_EXTERNAL_INIT: Final = b"MLS 1.0 external init secret"


@dataclass(frozen=True, slots=True)
class EpochSecrets:
    """The secrets of one epoch (§8, table 4)."""

    sender_data_secret: Secret
    encryption_secret: Secret
    exporter_secret: Secret
    external_secret: Secret
    confirmation_key: Secret
    membership_key: Secret
    resumption_psk: Secret
    epoch_authenticator: Secret
    init_secret: Secret

    def without_encryption_secret(self) -> EpochSecrets:
        """What stays once the secret tree was made (§9.2); each epoch begins so, hence no `dataclasses.replace`."""
        return EpochSecrets(
            self.sender_data_secret,
            Secret(b""),
            self.exporter_secret,
            self.external_secret,
            self.confirmation_key,
            self.membership_key,
            self.resumption_psk,
            self.epoch_authenticator,
            self.init_secret,
        )


@dataclass(frozen=True, slots=True)
class Joined:
    """The secrets from which an epoch begins: for joiners, and for everybody."""

    joiner_secret: Secret
    epoch: EpochSecrets


def joiner_secret(suite: CipherSuite, init_secret: Secret, commit_secret: Secret, context: GroupContext) -> Secret:
    """What a Welcome carries: the former init secret with the commit's."""
    extracted = suite.extract(init_secret.reveal(), commit_secret)
    return suite.expand_with_label(extracted, "joiner", encode(context), suite.hash_bytes)


def _member_secret(suite: CipherSuite, joiner: Secret, psk: Secret) -> Secret:
    return suite.extract(joiner.reveal(), psk)


def welcome_secret(suite: CipherSuite, joiner: Secret, psk: Secret) -> Secret:
    """What the GroupInfo in a Welcome is encrypted with (§12.4.3.1); a joiner has no context before."""
    return suite.derive_secret(_member_secret(suite, joiner, psk), "welcome")


def epoch_secrets(suite: CipherSuite, joiner: Secret, psk: Secret, context: GroupContext) -> EpochSecrets:
    """The secrets of the epoch of that context."""
    member = _member_secret(suite, joiner, psk)
    epoch_secret = suite.expand_with_label(member, "epoch", encode(context), suite.hash_bytes)
    return of_epoch_secret(suite, epoch_secret)


def of_epoch_secret(suite: CipherSuite, epoch_secret: Secret) -> EpochSecrets:
    """All that is derived from an epoch secret."""
    labels = (
        "sender data",
        "encryption",
        "exporter",
        "external",
        "confirm",
        "membership",
        "resumption",
        "authentication",
        "init",
    )
    return EpochSecrets(*(suite.derive_secret(epoch_secret, label) for label in labels))


def next_epoch(
    suite: CipherSuite, init_secret: Secret, commit_secret: Secret, psk: Secret, context: GroupContext
) -> Joined:
    """The secrets of the epoch that a commit begins."""
    joiner = joiner_secret(suite, init_secret, commit_secret, context)
    return Joined(joiner, epoch_secrets(suite, joiner, psk, context))


def exported(suite: CipherSuite, exporter_secret: Secret, label: str, context: bytes, length: int) -> Secret:
    """MLS-Exporter (§8.5); raises `WrongLength` outside of 1 to 255 times the hash's size."""
    derived = suite.derive_secret(exporter_secret, label)
    return suite.expand_with_label(derived, "exported", suite.digest(context), length)


def external_key(suite: CipherSuite, external_secret: Secret) -> PrivateKey:
    """The key pair by which an epoch can be joined from outside (§8.3)."""
    return suite.derive_key_pair(external_secret)


def external_init(suite: CipherSuite, external_pub: bytes) -> tuple[bytes, Secret]:
    """A KEM output for an ExternalInit proposal, and the init secret that it stands for (§8.3)."""
    kem_output, context = hpke.sender(suite.hpke, external_pub, b"")
    return kem_output, context.export(_EXTERNAL_INIT, suite.hash_bytes)


def external_init_opened(suite: CipherSuite, key: PrivateKey, kem_output: bytes) -> Secret:
    """The init secret of a KEM output (§8.3); raises `DecryptionError`."""
    return hpke.recipient(suite.hpke, key, kem_output, b"").export(_EXTERNAL_INIT, suite.hash_bytes)
