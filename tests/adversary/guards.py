"""Attack id → guard → permissive stand-in. An attack that several layers stop lists them all: each goes without."""

from __future__ import annotations

from typing import Final

STAND_INS: Final = "adversary.stand_ins"
OF_CRYPTO: Final = "adversary.stand_ins_crypto"
OF_DEVICES: Final = "adversary.stand_ins_device"
OF_ACCOUNTS: Final = "adversary.stand_ins_account"
OF_PROBING: Final = "adversary.stand_ins_probing"

GUARDS: Final[dict[str, dict[str, str]]] = {
    "D1": {"tacit.crypto.server:hash_token": f"{STAND_INS}:the_token_itself"},
    "D1.keys": {
        "tacit.crypto.sealed:seal": f"{STAND_INS}:sealed_in_the_clear",
        "tacit.crypto.sealed:open": f"{STAND_INS}:opened_in_the_clear",
    },
    "D1.messages": {
        "tacit.crypto.aead:aes_gcm_seal": f"{STAND_INS}:encrypted_in_the_clear",
        "tacit.crypto.aead:aes_gcm_open": f"{STAND_INS}:decrypted_in_the_clear",
    },
    "MM11": {"tacit.conversation.sealing:check_franking": f"{STAND_INS}:nothing"},
    "MM12.plain-member": {"tacit.signed.rights:_check_rights": f"{STAND_INS}:nothing"},
    "MM12.invented-chain": {"tacit.signed.rights:_check_genesis": f"{STAND_INS}:nothing"},
    "MM3.impersonation": {"tacit.conversation.judging:check_signature": f"{STAND_INS}:by_anybody"},
    "MM4": {"tacit.conversation.keys:ConversationKey.generate": f"{STAND_INS}:the_same_key"},
    "MM4.returns": {
        "tacit.signed.rights:_check_opener": f"{STAND_INS}:opener_after",
        "tacit.signed.rights:_check_rights": f"{STAND_INS}:nothing",
    },
    "MM4.speaks": {"tacit.conversation.judging:check_removal": f"{STAND_INS}:nothing"},
    "MM4.speaks-before": {"tacit.client.inbox:is_new_place": f"{STAND_INS}:yes"},
    "MM4.speaks-first": {"tacit.conversation.judging:check_order": f"{STAND_INS}:nothing"},
    "MM4.unserved": {"tacit.client.conversations:check_own": f"{STAND_INS}:on_its_word"},
    "MM7.removed-admin": {"tacit.conversation.judging_records:judge_second": f"{STAND_INS}:the_later_counts"},
    "MM8.client": {"tacit.conversation.timeline:check_author": f"{STAND_INS}:nothing"},
    "MM8.device": {"tacit.conversation.judging:sending_device": f"{STAND_INS}:any_device"},
    "MM8.message-id": {"tacit.client.inbox:find_by_name": f"{STAND_INS}:found_by_id_alone"},
    "MM8.server": {"tacit.server.messages:check_sender": f"{STAND_INS}:nothing"},
    "MM9.leave": {"tacit.signed.rights:_check_leave": f"{STAND_INS}:of_any_stay"},
    "MS1": {"tacit.signed.verify:signature_holds": f"{STAND_INS}:any_record"},
    "MS1.device": {"tacit.signed.verify:signature_holds": f"{STAND_INS}:any_account"},
    "MS1.leave": {"tacit.signed.verify:signature_holds": f"{STAND_INS}:any_leave"},
    "MM12.reset-role": {"tacit.signed.rights:_check_rights": f"{STAND_INS}:nothing"},
    "MS16": {"tacit.identity.unlockers:open_amk": f"{OF_ACCOUNTS}:what_is_there"},
    "MS16.amk": {"tacit.identity.unlockers:Account.unlock_context": f"{OF_ACCOUNTS}:of_any_identity"},
    "MS17": {
        "tacit.signed.account:_verify_reset": f"{OF_ACCOUNTS}:any_reset",
        "tacit.signed.rights:_check_opener": f"{STAND_INS}:opener_after",
    },
    "MS17.role": {"tacit.signed.rights:_check_opener": f"{STAND_INS}:opener_after"},
    "MS18": {
        "tacit.client.vaults:check_follows": f"{STAND_INS}:nothing",
        "tacit.signed.vault:verify_outer": f"{OF_ACCOUNTS}:any_outer",
        "tacit.signed.account:verify_next": f"{OF_ACCOUNTS}:any_next",
    },
    "MS18.age": {"tacit.client.accountview:view_of": f"{OF_ACCOUNTS}:of_no_age"},
    "MS2": {
        "tacit.client.accountbook:check_pinned": f"{STAND_INS}:nothing",
        "tacit.client.openings:check_known": f"{STAND_INS}:nothing",
    },
    "MS2.rotation": {"tacit.signed.account:verify_next": f"{OF_ACCOUNTS}:any_next"},
    "MS5.cost": {"tacit.identity.unlockers:KdfBounds.check": f"{STAND_INS}:nothing"},
    "MS5.profile": {"tacit.identity.unlockers:KdfBounds.check": f"{STAND_INS}:nothing"},
    "MS5.salt": {"tacit.identity.unlockers:password_secret": f"{OF_ACCOUNTS}:unbound_secret"},
    "MS5.server": {
        "tacit.identity.unlockers:password_secret": f"{OF_ACCOUNTS}:unbound_secret",
        "tacit.identity.unlockers:proof_of": f"{OF_ACCOUNTS}:unbound_proof",
    },
    "MS5.server-name": {"tacit.client.transport:EncryptionAPIClient.get_server": f"{OF_ACCOUNTS}:by_its_own_name"},
    "MS3": {
        "tacit.conversation.envelope:check_granter": f"{STAND_INS}:nothing",
        "tacit.conversation.keys:is_key_of": f"{STAND_INS}:yes",
    },
    "MS3.key": {"tacit.signed.verify:signature_holds": f"{STAND_INS}:any_account"},
    "MS6": {"tacit.crypto.rsa:unwrap": f"{OF_CRYPTO}:says_why"},
    "MS6.timing": {"tacit.crypto.rsa:unwrap": f"{OF_CRYPTO}:takes_longer"},
    "MS7.gap": {"tacit.conversation.timeline:find_gaps": f"{STAND_INS}:no_gaps"},
    "MS7.late": {"tacit.conversation.judging:is_late": f"{STAND_INS}:nothing_is_late"},
    "MS7.reorder": {"tacit.conversation.timeline:find_misplaced": f"{STAND_INS}:nothing_is_misplaced"},
    "MS7.replay": {
        "tacit.conversation.judging:check_replay": f"{STAND_INS}:nothing",
        "tacit.conversation.judging:first_shown": f"{STAND_INS}:nothing",
    },
    "MS7.splice": {
        "tacit.conversation.judging:check_splice": f"{STAND_INS}:nothing",
        "tacit.conversation.sealing:check_epoch": f"{STAND_INS}:nothing",
    },
    "MS19": {
        "tacit.client.standing:check_may_open": f"{STAND_INS}:nothing",
        "tacit.client.standing:check_sendable": f"{STAND_INS}:sends_anyway",
    },
    "MS19.roster": {"tacit.signed.rights:_check_genesis": f"{STAND_INS}:nothing"},
    "N2.replay": {"tacit.server.store.nonces:take": f"{STAND_INS}:nothing"},
    "N2.replay-read": {"tacit.server.store.nonces:take": f"{STAND_INS}:nothing"},
    "N2.socket": {"tacit.server.talk:check_hello": f"{STAND_INS}:nothing"},
    "N2.socket-replay": {"tacit.server.talk:check_hello": f"{STAND_INS}:nothing"},
    "N2.token": {"tacit.server.gate:check_signed": f"{STAND_INS}:nothing"},
    "N4": {"tacit.client.tls:check_pinned": f"{STAND_INS}:nothing"},
    "N4.authority": {"tacit.client.tls:context_for": f"{STAND_INS}:trusting_anybody"},
    "T1": {
        "tacit.identity.account:make_keys": f"{OF_DEVICES}:the_same_keys",
        "tacit.signed.account:_check_replaced": f"{STAND_INS}:nothing",
    },
    "T1.store": {
        "tacit.client.enrolment:finish": f"{OF_DEVICES}:keeping_words",
        "tacit.client.accountchange:words_seen": f"{STAND_INS}:nothing",
    },
    "T2": {"tacit.client.queue:new_instance": f"{OF_DEVICES}:one_instance"},
    "T2.resync": {"tacit.client.outbox:Outbox._first": f"{STAND_INS}:nothing"},
    "T3": {"tacit.identity.changes:revoke": f"{OF_DEVICES}:under_the_old_key"},
    "T4": {"tacit.server.accounts:wait": f"{STAND_INS}:nothing"},
    "MM2": {"tacit.crypto.aead:aes_gcm_open": f"{OF_CRYPTO}:with_short_tags"},
    "MM2.vault": {
        "tacit.crypto.sealed:seal": f"{OF_CRYPTO}:sealed_loosely",
        "tacit.crypto.sealed:open": f"{OF_CRYPTO}:opened_loosely",
    },
    "MS4.plaintext": {
        "tacit.signed.rights:_check_link": f"{STAND_INS}:nothing",
        "tacit.signed.rights:_check_known": f"{STAND_INS}:nothing",
    },
    "MS4.profile": {"tacit.signed.rights:_check_link": f"{STAND_INS}:nothing"},
    "MS11": {
        "tacit.client.lost:begin_again": f"{OF_DEVICES}:forgetting",
        "tacit.client.comparing:why_contradicted": f"{STAND_INS}:nothing",
    },
    "T4.restored": {"tacit.server.reconcile_account:check_waited": f"{STAND_INS}:nothing"},
    "MS14": {"tacit.signed.verify:labelled_bytes": f"{OF_CRYPTO}:without_label"},
    "N1": {
        "tacit.crypto.verify:check_public": f"{STAND_INS}:nothing",
        "tacit.crypto.verify:has_small_order": f"{OF_CRYPTO}:of_any_order",
    },
    "N1.compat": {"tacit.crypto.verify:check_public": f"{STAND_INS}:nothing"},
    "N1.fips": {"tacit.crypto.verify:check_public": f"{STAND_INS}:nothing"},
    "D2": {"tacit.conversation.timeline:find_gaps": f"{STAND_INS}:no_gaps"},
    "D2.copied": {
        "tacit.conversation.judging:check_replay": f"{STAND_INS}:nothing",
        "tacit.conversation.judging:first_shown": f"{STAND_INS}:nothing",
        "tacit.conversation.timeline:find_gaps": f"{STAND_INS}:no_gaps",
    },
    "MS12.answer": {"tacit.client.transport:read_limited": f"{OF_PROBING}:all_that_comes"},
    "MS12.answer-json": {"tacit.wire.text:_check_size": f"{STAND_INS}:nothing"},
    "MS12.elements": {"tacit.wire.codec:_no_more": f"{STAND_INS}:nothing"},
    "MS12.base64": {"tacit.wire.text:_check_length": f"{STAND_INS}:nothing"},
    "MS12.body": {"tacit.server.gate:read_body": f"{OF_PROBING}:whatever_comes"},
    "MS12.deflate": {"tacit.server.socket:protocol": f"{OF_PROBING}:inflating"},
    "MS12.frame": {"tacit.server.socket:protocol": f"{OF_PROBING}:frames_of_any_size"},
    "MS12.json": {"tacit.wire.text:_check_size": f"{STAND_INS}:nothing"},
    "N3.conversation": {"tacit.server.store.conversations:standing": f"{OF_PROBING}:of_what_is_there"},
    "N3.proofs": {"tacit.server.unlocking:counted_for": f"{OF_PROBING}:only_accounts"},
    "N3.receipts": {
        "tacit.client.granting:missing": f"{OF_PROBING}:all_keys",
        "tacit.client.granting:is_missing": f"{STAND_INS}:yes",
    },
    "N3.session": {"tacit.server.store.accounts:device": f"{OF_PROBING}:of_accounts"},
    "N3.sizes": {"tacit.conversation.content:padded_size": f"{OF_PROBING}:as_it_is"},
    "N3.unlocker": {"tacit.server.unlocking:unlockers_of": f"{OF_PROBING}:only_who_is_there"},
    "MM12.grant": {"tacit.client.granting:missing": f"{STAND_INS}:none"},
    "MM3.fields": {"tacit.conversation.judging:check_signature": f"{STAND_INS}:by_anybody"},
    "MM7.laundered": {"tacit.conversation.judging_records:vouches": f"{STAND_INS}:yes"},
}
