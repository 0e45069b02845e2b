"""Messaging Layer Security (RFC 9420), usable by itself: no network, no database, no clock, no randomness of its own.

    keys = new_key_package(suite, suite.new_signature_key(urandom), BasicCredential(b"alice"), Lifetime(...), urandom)
    group = Group.create(b"group id", keys, policy, urandom)
    group, pending = group.commit(Add(bobs_key_package), now=now, random=urandom)
    group = group.merge(pending, now)

What can be imported from here is the interface; the modules below are named after what the RFC calls things.
"""

from __future__ import annotations

from tacit.mls.committing import LeafChanges
from tacit.mls.credential import BasicCredential, Certificate, CustomCredential, X509Credential
from tacit.mls.extensions import (
    ApplicationId,
    Extension,
    ExternalSender,
    ExternalSenders,
    RequiredCapabilities,
    as_extension,
)
from tacit.mls.framing import External, Member, NewMemberCommit, NewMemberProposal, to_wire
from tacit.mls.group import Group
from tacit.mls.joining import KeyPackageKeys, capabilities, greased, new_key_package, proposed_from_outside
from tacit.mls.key_package import KeyPackage
from tacit.mls.leaf_node import Capabilities, LeafNode, Lifetime
from tacit.mls.policy import Effects, Policy, Proposed, in_parts
from tacit.mls.processing import Application, CommitChecked, Own, ProposalTaken
from tacit.mls.proposals import (
    Add,
    CustomProposal,
    ExternalInit,
    GroupContextExtensions,
    PreSharedKey,
    ReInit,
    Remove,
    Update,
)
from tacit.mls.psk import ExternalPsk, PreSharedKeyID, ResumptionPsk, ResumptionPskUsage
from tacit.mls.secret_tree import Window
from tacit.mls.snapshot import load_keys, load_pending, save_keys, save_pending
from tacit.mls.state import PendingCommit
from tacit.mls.suites import CipherSuite, suite_of

__all__ = [
    "Add",
    "Application",
    "ApplicationId",
    "BasicCredential",
    "Capabilities",
    "Certificate",
    "CipherSuite",
    "CommitChecked",
    "CustomCredential",
    "CustomProposal",
    "Effects",
    "Extension",
    "External",
    "ExternalInit",
    "ExternalPsk",
    "ExternalSender",
    "ExternalSenders",
    "Group",
    "GroupContextExtensions",
    "KeyPackage",
    "KeyPackageKeys",
    "LeafChanges",
    "LeafNode",
    "Lifetime",
    "Member",
    "NewMemberCommit",
    "NewMemberProposal",
    "Own",
    "PendingCommit",
    "Policy",
    "PreSharedKey",
    "PreSharedKeyID",
    "ProposalTaken",
    "Proposed",
    "ReInit",
    "Remove",
    "RequiredCapabilities",
    "ResumptionPsk",
    "ResumptionPskUsage",
    "Update",
    "Window",
    "X509Credential",
    "as_extension",
    "capabilities",
    "greased",
    "in_parts",
    "load_keys",
    "load_pending",
    "new_key_package",
    "proposed_from_outside",
    "save_keys",
    "save_pending",
    "suite_of",
    "to_wire",
]
