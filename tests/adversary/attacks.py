"""Attack id → the program that attacks."""

from __future__ import annotations

from typing import Final

from adversary import attacks_accomplice as accomplice
from adversary import attacks_account as account
from adversary import attacks_bombs as bombs
from adversary import attacks_device as device
from adversary import attacks_member as member
from adversary import attacks_network as network
from adversary import attacks_oracle as oracle
from adversary import attacks_order as order
from adversary import attacks_probing as probing
from adversary import attacks_restored as restored
from adversary import attacks_rules as rules
from adversary import attacks_server as server
from adversary import attacks_storage as storage
from adversary import attacks_unlock as unlock
from adversary.attack import Attack

ATTACKS: Final[dict[str, type[Attack]]] = {
    "D1": storage.Dump,
    "D1.keys": storage.Dump,
    "D1.messages": storage.Dump,
    "MM11": member.CannotBeReported,
    "MM12.plain-member": member.PlainMember,
    "MM12.invented-chain": member.InventedChain,
    "MM3.impersonation": member.Impersonates,
    "MM4": member.ReadsOn,
    "MM4.returns": member.ComesBack,
    "MM4.speaks": member.SpeaksOn,
    "MM4.speaks-before": member.SpeaksBefore,
    "MM4.speaks-first": member.SpeaksFirst,
    "MM4.unserved": member.SaysItWasTaken,
    "MM7.removed-admin": member.RemovedAdmin,
    "MM8.client": member.ChangesOthers,
    "MM8.device": member.BorrowsDevice,
    "MM8.message-id": member.Suppresses,
    "MM8.server": member.SuppressesAtServer,
    "MM9.leave": member.Leaves,
    "MS1": server.GhostMember,
    "MS1.device": server.GhostDevice,
    "MS1.leave": member.ForgedLeave,
    "MM12.reset-role": account.RoleByAnother,
    "MS16": account.OwnVault,
    "MS16.amk": account.StolenAmk,
    "MS17": account.FakeReset,
    "MS17.role": account.CarriesRole,
    "MS18": account.OldOuterPart,
    "MS18.age": account.AgedOuterPart,
    "MS2": account.SwappedContact,
    "MS2.rotation": account.SwappedAtRotation,
    "MS5.cost": unlock.CheapDerivation,
    "MS5.profile": unlock.WeakerProfile,
    "MS5.salt": unlock.SharedSalt,
    "MS5.server": unlock.BorrowedSalt,
    "MS5.server-name": unlock.BorrowedName,
    "MS3": server.SubstitutedGrant,
    "MS3.key": server.SwappedKey,
    "MS6": oracle.Oracle,
    "MS6.timing": oracle.Timing,
    "MS7.gap": order.Gap,
    "MS7.late": order.Late,
    "MS7.reorder": order.Reorder,
    "MS7.replay": order.Replay,
    "MS7.splice": order.Splice,
    "MS19": server.HiddenRecords,
    "MS19.roster": server.HiddenRoster,
    "N2.replay": network.ReplayedWrite,
    "N2.replay-read": network.ReplayedRead,
    "N2.socket": network.StolenTokenOnSocket,
    "N2.socket-replay": network.ReplayedHello,
    "N2.token": network.StolenToken,
    "N4": network.AnotherKey,
    "N4.authority": network.NobodysCertificate,
    "T1": device.StolenState,
    "T1.store": device.SearchedStore,
    "T2": device.KeyTwice,
    "T2.resync": device.SendsBeforeSync,
    "T3": device.RevokedDevice,
    "T4": device.AsksForReset,
    "MM2": rules.ShortTag,
    "MM2.vault": rules.ShortTagOfVault,
    "MS4.plaintext": rules.Downgrade,
    "MS4.profile": rules.LowerProfile,
    "MS11": restored.OldBackup,
    "T4.restored": restored.ResetAtOnce,
    "MS14": rules.OtherLabel,
    "N1": rules.FalseKeys,
    "N1.compat": rules.FalseKeysOfCompat,
    "N1.fips": rules.FalseKeysOfFips,
    "D2": accomplice.EditedDump,
    "D2.copied": accomplice.CopiedInDump,
    "MS12.answer": bombs.Answer,
    "MS12.answer-json": bombs.AnswerJson,
    "MS12.elements": bombs.Elements,
    "MS12.base64": bombs.Base64,
    "MS12.body": bombs.LargeBody,
    "MS12.deflate": bombs.Deflated,
    "MS12.frame": bombs.LargeFrame,
    "MS12.json": bombs.Json,
    "N3.conversation": probing.Conversations,
    "N3.proofs": probing.Proofs,
    "N3.receipts": probing.Receipts,
    "N3.session": probing.SignsIn,
    "N3.sizes": probing.Sizes,
    "N3.unlocker": probing.Unlockers,
    "MM12.grant": accomplice.WrongGrant,
    "MM3.fields": accomplice.Borrows,
    "MM7.laundered": accomplice.Laundered,
}
