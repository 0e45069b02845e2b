// What a plain WebCrypto client makes of a compat account: nothing but crypto.subtle and this file.
// Reads one JSON object on standard input (what the server served, a password, a device's key), opens the vault, the
// conversation and its messages, checks every signature on the way, and seals a message of its own.
// Written from docs/specification.md and docs/structs.md.

const { subtle } = globalThis.crypto;
const utf8 = new TextEncoder();
const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

// --- bytes ----------------------------------------------------------------------------

const concat = (...parts) => {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
};
const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
const fromHex = (digits) => Uint8Array.from(digits.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
const base64 = (bytes) => btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
const fromBase64 = (characters) => Uint8Array.from(atob(characters), (character) => character.charCodeAt(0));
const equal = (one, other) => hex(one) === hex(other);

function need(holds, rule) {
  if (!holds) throw new Error(`refused: ${rule}`);
}

// --- the TLS presentation language ----------------------------------------------------

const uint = (size) => ({
  write: (value) => {
    const out = new Uint8Array(size);
    let rest = BigInt(value);
    for (let at = size - 1; at >= 0; at--) {
      out[at] = Number(rest & 255n);
      rest >>= 8n;
    }
    return out;
  },
  read: (from) => Number(from.take(size).reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n)),
});
const [u8, u16, u32, u64] = [1, 2, 4, 8].map(uint);
const fixed = (size) => ({
  write: (value) => {
    need(value.length === size, "a length");
    return value;
  },
  read: (from) => from.take(size),
});
const hash = fixed(32);

function length(number) {
  if (number < 64) return u8.write(number);
  if (number < 16384) return u16.write(number | 0x4000);
  return u32.write(number + 0x80000000);
}
const opaque = { write: (value) => concat(length(value.length), value), read: (from) => from.take(from.length()) };
const string = {
  write: (value) => opaque.write(utf8.encode(value)),
  read: (from) => text.decode(opaque.read(from)),
};
const many = (of) => ({
  write: (values) => opaque.write(concat(...values.map(of.write))),
  read: (from) => {
    const inner = new Reader(opaque.read(from));
    const values = [];
    while (inner.at < inner.data.length) values.push(of.read(inner));
    return values;
  },
});
const struct = (fields) => ({
  write: (value) => concat(...Object.entries(fields).map(([name, of]) => of.write(value[name]))),
  read: (from) => Object.fromEntries(Object.entries(fields).map(([name, of]) => [name, of.read(from)])),
});

class Reader {
  constructor(data) {
    this.data = data;
    this.at = 0;
  }
  take(count) {
    need(this.at + count <= this.data.length, "it ends too early");
    this.at += count;
    return this.data.slice(this.at - count, this.at);
  }
  length() {
    const [first] = this.take(1);
    need(first < 0xc0, "a length");
    let value = first & 63;
    for (let left = (1 << (first >> 6)) - 1; left > 0; left--) value = value * 256 + this.take(1)[0];
    need(equal(length(value), this.data.slice(this.at - length(value).length, this.at)), "a length not minimal");
    return value;
  }
}

function decode(of, data) {
  const reader = new Reader(data);
  const value = of.read(reader);
  need(reader.at === data.length, "bytes are left over");
  return value;
}

// --- the structs of a compat account ---------------------------------------------------

const EncryptionKey = struct({ algorithm: u16, public_key: opaque });
const DeviceKey = struct({ user_id: string, request_key: opaque });
const Certificate = struct({
  user_id: string, device_id: string, request_key: opaque, mls_key: opaque, kem_key: opaque, suites: many(u16),
});
const AccountRecord = struct({
  server_name: string, user_id: string, version: u64, previous_hash: hash, aik: opaque, profile: u8,
  encryption_keys: many(EncryptionKey), archive_key_id: opaque, devices: many(Certificate),
  revoked: many(struct({ device_id: string, version: u64 })), reset_by: struct({ by: u8, device_id: string }),
  inner_hash: hash, boxes_hash: hash, outer: struct({ version: u64, hash }),
});
const AccountSignatures = struct({ aik: opaque, device: opaque, old_aik: opaque });
const AikKey = struct({ profile: u8, aik: opaque });
const PasswordParameters = struct({ kdf: u8, memory_kib: u32, iterations: u32, lanes: u8, salt: opaque });
const Unlocker = struct({ id: string, kind: u8, parameters: opaque, proof_hash: hash, wrapped_amk: opaque });
const Inner = struct({ unlockers: many(Unlocker), wrapped_aik: opaque, wrapped_outer_key: opaque });
const Boxes = struct({ boxes: many(struct({ device_id: string, wrapped_outer_key: opaque })) });
const OuterHeader = struct({
  server_name: string, user_id: string, account_version: u64, version: u64, previous_hash: hash, written_at: u64,
  device_id: string, entries_hash: hash,
});
const Outer = struct({ header: OuterHeader, signature: opaque, sealed_entries: opaque });
const Sealed = struct({ sealed_entries: opaque });
const Entry = struct({ kind: u8, key: opaque, value: opaque, clock: u64, device_id: string });
const Entries = struct({ entries: many(struct({ entry: Entry, signature: opaque })) });
const PrivateKey = struct({ algorithm: u16, public_key: opaque, private: opaque });
const PasswordSalt = struct({ server_name: string, user_id: string, salt: opaque });
const UnlockContext = struct({
  server_name: string, user_id: string, profile: u8, unlocker_id: string, aik_fingerprint: hash,
});
const AuthContext = struct({ server_name: string, user_id: string, unlocker_id: string });
const AccountContext = struct({ server_name: string, user_id: string, aik_fingerprint: hash });
const OuterContext = struct({ server_name: string, user_id: string, account_version: u64, version: u64 });
const Proof = struct({ proof: hash });
const Change = struct({ user_id: string, aik_fingerprint: hash, role: u8, account_version: u64, account_hash: hash });
const Policy = struct({
  history: u8, rotation: struct({ max_age: u64, max_messages: u64 }), retention: u64, member_history: u8,
});
const Acting = struct({ user_id: string, device_id: string, account_hash: hash });
const ConversationRecord = struct({
  conversation_id: string, epoch: u64, previous_record_hash: hash, protocol: u8, profile: u8, suite: u16,
  group_id: opaque, mls_epoch: u64, key_id: opaque, roster_hash: hash, changes: many(Change),
  requests: many(struct({ kind: u8, body: opaque })), policy: Policy, genesis_random: opaque, predecessor: opaque,
  reason: string, created_at: u64, opener: Acting,
});
const Founding = struct({ user_id: string, genesis_random: hash });
const RosterList = struct({ members: many(Change) });
const Grant = struct({
  record_hash: hash, granter: Acting, recipient: string, account_hash: hash, algorithm: u16, ciphertext: opaque,
});
const SignedGrant = struct({ grant: Grant, signature: opaque });
const KeyIdContext = struct({ record_hash: hash });
const MessageKeyContext = struct({ device_id: string, instance_id: fixed(16), counter: u64 });
const MessageAad = struct({
  version: u16, record_hash: hash, key_id: hash, epoch: u64, user_id: string, device_id: string,
  instance_id: fixed(16), counter: u64, client_message_id: string, content_type: u16, franking_tag: hash,
});
const Message = struct({ aad: MessageAad, iv: fixed(12), ciphertext: opaque });
const Content = struct({
  kind: u16, sent_at: u64, seen: many(hash), checkpoint: opaque, franking_key: hash, body: opaque,
});
const TextBody = struct({ text: string });
const COMPAT = 1;
const RSA = 3;
const RSA_OAEP_SHA256 = 2;

// --- what is done with labelled structs ------------------------------------------------

const labelledBytes = (label, bytes) => concat(opaque.write(utf8.encode(`tacit/1 ${label}`)), opaque.write(bytes));
const labelled = (label, of, value) => labelledBytes(label, of.write(value));
const sha256 = async (bytes) => new Uint8Array(await subtle.digest("SHA-256", bytes));
const structHash = (label, of, value) => sha256(labelled(label, of, value));
const hmac = async (name, key, bytes) => {
  const imported = await subtle.importKey("raw", key, { name: "HMAC", hash: name }, false, ["sign"]);
  return new Uint8Array(await subtle.sign("HMAC", imported, bytes));
};
async function hkdf(key, info) {
  const imported = await subtle.importKey("raw", key, "HKDF", false, ["deriveBits"]);
  const how = { name: "HKDF", hash: "SHA-256", salt: new Uint8Array(), info };
  return new Uint8Array(await subtle.deriveBits(how, imported, 256));
}
const CURVE = { name: "ECDSA", namedCurve: "P-256" };
const SIGNING = { name: "ECDSA", hash: "SHA-256" };
async function verify(label, of, value, publicKey, signature) {
  const key = await subtle.importKey("raw", publicKey, CURVE, false, ["verify"]);
  need(await subtle.verify(SIGNING, key, signature, labelled(label, of, value)), `the signature of a ${label}`);
}
function base64url(bytes) {
  return base64(bytes).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}
function signingKey(seed, publicKey) {
  const jwk = { kty: "EC", crv: "P-256", d: base64url(seed) };
  const point = { x: base64url(publicKey.slice(1, 33)), y: base64url(publicKey.slice(33)) };
  return subtle.importKey("jwk", { ...jwk, ...point }, CURVE, false, ["sign"]);
}
async function gcm(mode, key, iv, bytes, additionalData) {
  const imported = await subtle.importKey("raw", key, "AES-GCM", false, [mode]);
  return new Uint8Array(await subtle[mode]({ name: "AES-GCM", iv, additionalData }, imported, bytes));
}

// Cobblestone-256: HKDF-Expand with SHA-512 gives an AES key, a nonce and the commitment; chunks of 16 KiB.
async function openSealed(key, context, sealed) {
  const [salt, commitment, body] = [sealed.slice(0, 24), sealed.slice(24, 56), sealed.slice(56)];
  const info = concat(utf8.encode("c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\0"), salt, context);
  const first = await hmac("SHA-512", key, concat(info, u8.write(1)));
  const second = await hmac("SHA-512", key, concat(first, info, u8.write(2)));
  const made = concat(first, second);
  need(equal(made.slice(44, 76), commitment), "a commitment to another key or context");
  const step = 16384 + 16;
  const chunks = [];
  for (let at = 0, number = 0; at === 0 || at < body.length; at += step, number++) {
    const nonce = made.slice(32, 44);
    u32.write(number).forEach((byte, place) => {
      nonce[8 + place] ^= byte;
    });
    const chunk = await gcm("decrypt", made.slice(0, 32), nonce, body.slice(at, at + step), new Uint8Array());
    need((at + step >= body.length) === chunk.length < 16384, "a chunk in the wrong place");
    chunks.push(chunk);
  }
  return concat(...chunks);
}

// --- accounts --------------------------------------------------------------------------

async function verifyAccount(served) {
  let before;
  const versions = [];
  for (const each of served.versions) {
    const record = decode(AccountRecord, fromBase64(each.record));
    const signatures = decode(AccountSignatures, fromBase64(each.signature));
    const own = await structHash("account record", AccountRecord, record);
    need(hex(own) === each.keyId && record.user_id === served.userId, "an account record beside its fields");
    need(record.profile === COMPAT && record.reset_by.by === 0, "not a compat account that goes on");
    const earlier = before ?? { record: { version: 0, aik: record.aik }, hash: new Uint8Array(32) };
    need(record.version === earlier.record.version + 1 && equal(record.previous_hash, earlier.hash), "the chain");
    need(equal(record.aik, earlier.record.aik), "another identity key");
    await verify("account record", AccountRecord, record, record.aik, signatures.aik);
    for (const device of record.devices) {
      const id = hex(await structHash("device id", DeviceKey, device));
      need(id === device.device_id && device.mls_key.length === 0, "a certificate");
    }
    if (!before) {
      const [device] = record.devices;
      await verify("device possession", AccountRecord, record, device.request_key, signatures.device);
    }
    before = { record, hash: own };
    versions.push(before);
  }
  return versions;
}

const certificateIn = (record, deviceId) => record.devices.find((device) => device.device_id === deviceId);

async function openVault(given, versions) {
  const { record } = versions.at(-1);
  const served = given.vault;
  const [inner, boxes, outer] = [
    decode(Inner, fromBase64(served.inner)),
    decode(Boxes, fromBase64(served.boxes)),
    decode(Outer, fromBase64(served.outer)),
  ];
  need(equal(await structHash("vault inner", Inner, inner), record.inner_hash), "the inner part");
  need(equal(await structHash("vault boxes", Boxes, boxes), record.boxes_hash), "the boxes");
  const { server_name, user_id } = record;
  const parameters = decode(PasswordParameters, fromBase64(given.unlocker.parameters));
  need(parameters.kdf === 2 && parameters.iterations >= 600000, "a cheap derivation");
  const salt = await structHash("password salt", PasswordSalt, { server_name, user_id, salt: parameters.salt });
  const password = utf8.encode(given.password.normalize("NFKC"));
  const imported = await subtle.importKey("raw", password, "PBKDF2", false, ["deriveBits"]);
  const how = { name: "PBKDF2", hash: "SHA-256", salt, iterations: parameters.iterations };
  const secret = new Uint8Array(await subtle.deriveBits(how, imported, 256));
  const unlocker_id = given.unlocker.unlockerId;
  const proof = await hkdf(secret, labelled("auth", AuthContext, { server_name, user_id, unlocker_id }));
  const unlocker = inner.unlockers.find((each) => each.id === unlocker_id);
  need(equal(await structHash("unlocker proof", Proof, { proof }), unlocker.proof_hash), "the proof");

  const aik_fingerprint = await structHash("aik fingerprint", AikKey, record);
  const unlock = { server_name, user_id, profile: COMPAT, unlocker_id, aik_fingerprint };
  const key = await hkdf(secret, labelled("unlock", UnlockContext, unlock));
  const amk = await openSealed(key, labelled("wrapped amk", UnlockContext, unlock), unlocker.wrapped_amk);
  const account = { server_name, user_id, aik_fingerprint };
  const seed = await openSealed(amk, labelled("wrapped aik", AccountContext, account), inner.wrapped_aik);
  const context = labelled("wrapped outer key", AccountContext, account);
  const outerKey = await openSealed(amk, context, inner.wrapped_outer_key);
  const aik = await signingKey(seed, record.aik);
  const said = utf8.encode("it fits");
  const checking = await subtle.importKey("raw", record.aik, CURVE, false, ["verify"]);
  need(await subtle.verify(SIGNING, checking, await subtle.sign(SIGNING, aik, said), said), "the identity key");

  const { header } = outer;
  const headerHash = await structHash("vault outer header", OuterHeader, header);
  need(header.version > record.outer.version || equal(headerHash, record.outer.hash), "the outer part");
  const writer = certificateIn(record, header.device_id);
  await verify("vault outer header", OuterHeader, header, writer.request_key, outer.signature);
  need(equal(await structHash("vault outer entries", Sealed, outer), header.entries_hash), "the entries");
  const where = labelled("outer", OuterContext, header);
  const { entries } = decode(Entries, await openSealed(outerKey, where, outer.sealed_entries));
  const keys = [];
  for (const { entry, signature } of entries) {
    const certified = versions.map((version) => certificateIn(version.record, entry.device_id)).find(Boolean);
    await verify("vault entry", Entry, entry, certified.request_key, signature);
    if (entry.kind === 1) keys.push(decode(PrivateKey, entry.value));
  }
  return { proof, keys };
}

// --- the conversation ------------------------------------------------------------------

async function openEpoch(item, accounts, me, keys) {
  const record = decode(ConversationRecord, fromBase64(item.record));
  const own = await structHash("conversation record", ConversationRecord, record);
  need(record.profile === COMPAT && record.protocol === 1 && record.epoch === 1, "a compat genesis");
  const founding = { user_id: record.opener.user_id, genesis_random: record.genesis_random };
  need(hex(await structHash("conversation id", Founding, founding)) === record.conversation_id, "the founder");
  const roster = await structHash("roster", RosterList, { members: record.changes });
  need(equal(roster, record.roster_hash), "the roster");
  const find = ({ user_id, account_hash, device_id }) => {
    const version = accounts[user_id].find((each) => equal(each.hash, account_hash));
    return certificateIn(version.record, device_id);
  };
  const signature = fromBase64(item.signature);
  await verify("conversation record", ConversationRecord, record, find(record.opener).request_key, signature);

  const granted = item.encryptedKeys.find((each) => each.userId === me);
  const signed = decode(SignedGrant, fromBase64(granted.encryptedKey));
  const { grant } = signed;
  need(equal(grant.record_hash, own) && grant.recipient === me && grant.algorithm === RSA_OAEP_SHA256, "the grant");
  await verify("grant", Grant, grant, find(grant.granter).request_key, signed.signature);
  const named = accounts[me].find((each) => equal(each.hash, grant.account_hash)).record.encryption_keys;
  const pair = keys.find((each) => each.algorithm === RSA && equal(each.public_key, named[0].public_key));
  const oaep = { name: "RSA-OAEP", hash: "SHA-256" };
  const rsa = await subtle.importKey("pkcs8", pair.private, oaep, false, ["decrypt"]);
  const key = new Uint8Array(await subtle.decrypt(oaep, rsa, grant.ciphertext));
  const record_hash = await structHash("conversation record", ConversationRecord, {
    ...record, key_id: new Uint8Array(),
  });
  const keyId = await hkdf(key, labelled("key id", KeyIdContext, { record_hash }));
  need(equal(keyId, record.key_id), "the key that the record commits to");
  return { record, hash: own, key };
}

const messageKey = (epoch, aad) => hkdf(epoch.key, labelled("message key", MessageKeyContext, aad));

async function openMessage(payload, epoch, accounts) {
  need(payload.tag === "" && payload.version === 1, "the message's form");
  const aad = {
    version: payload.version,
    record_hash: fromHex(payload.recordHash),
    key_id: fromHex(payload.keyId),
    epoch: payload.epoch,
    user_id: payload.senderId,
    device_id: payload.deviceId,
    instance_id: fromBase64(payload.instanceId),
    counter: payload.counter,
    client_message_id: payload.clientMessageId,
    content_type: payload.contentType,
    franking_tag: fromBase64(payload.frankingTag),
  };
  const message = { aad, iv: fromBase64(payload.iv), ciphertext: fromBase64(payload.encryptedText) };
  need(equal(aad.record_hash, epoch.hash) && equal(aad.key_id, epoch.record.key_id), "the message's epoch");
  const sender = accounts[aad.user_id].map(({ record }) => certificateIn(record, aad.device_id)).find(Boolean);
  await verify("message", Message, message, sender.request_key, fromBase64(payload.signature));
  const bound = labelled("message aad", MessageAad, aad);
  const padded = await gcm("decrypt", await messageKey(epoch, aad), message.iv, message.ciphertext, bound);
  const reader = new Reader(padded);
  const plain = opaque.read(reader);
  need(padded.slice(reader.at).every((byte) => byte === 0), "the padding");
  const content = decode(Content, plain);
  const tag = await hmac("SHA-256", content.franking_key, labelledBytes("franking", plain));
  need(equal(tag, aad.franking_tag), "the franking tag");
  return { message, content };
}

function pad(plain) {
  const whole = opaque.write(plain);
  const exponent = 31 - Math.clz32(whole.length);
  const step = 2 ** (exponent - (32 - Math.clz32(exponent)));
  const out = new Uint8Array(Math.ceil(whole.length / step) * step);
  out.set(whole);
  return out;
}

async function sealMessage(given, epoch, seen) {
  const { device } = given;
  const random = (size) => globalThis.crypto.getRandomValues(new Uint8Array(size));
  const content = {
    kind: 1, sent_at: given.now, seen, checkpoint: new Uint8Array(), franking_key: random(32),
    body: TextBody.write({ text: given.text }),
  };
  const plain = Content.write(content);
  const aad = {
    version: 1, record_hash: epoch.hash, key_id: epoch.record.key_id, epoch: epoch.record.epoch,
    user_id: given.userId, device_id: device.deviceId, instance_id: random(16), counter: 0,
    client_message_id: hex(random(16)), content_type: 1,
    franking_tag: await hmac("SHA-256", content.franking_key, labelledBytes("franking", plain)),
  };
  const iv = random(12);
  const bound = labelled("message aad", MessageAad, aad);
  const ciphertext = await gcm("encrypt", await messageKey(epoch, aad), iv, pad(plain), bound);
  const key = await signingKey(fromBase64(device.seed), fromBase64(device.requestKey));
  const signature = await subtle.sign(SIGNING, key, labelled("message", Message, { aad, iv, ciphertext }));
  return {
    version: 1,
    encryptedText: base64(ciphertext),
    iv: base64(iv),
    tag: "",
    keyId: hex(aad.key_id),
    recordHash: hex(aad.record_hash),
    epoch: aad.epoch,
    senderId: aad.user_id,
    deviceId: aad.device_id,
    instanceId: base64(aad.instance_id),
    counter: aad.counter,
    clientMessageId: aad.client_message_id,
    contentType: aad.content_type,
    frankingTag: base64(aad.franking_tag),
    signature: base64(new Uint8Array(signature)),
  };
}

// --- all of it -------------------------------------------------------------------------

async function main(given) {
  const accounts = {};
  for (const each of given.accounts) accounts[each.userId] = await verifyAccount(each);
  const versions = accounts[given.userId];
  const until = versions.filter((each) => each.record.version <= given.vault.accountVersion);
  const { proof, keys } = await openVault(given, until);
  const epoch = await openEpoch(given.items.find((item) => item.kind === "record"), accounts, given.userId, keys);
  const texts = [];
  const seen = [];
  for (const item of given.items.filter((each) => each.kind === "message")) {
    const { message, content } = await openMessage(item.encryptedPayload, epoch, accounts);
    if (content.kind === 1) texts.push([message.aad.user_id, decode(TextBody, content.body).text]);
    seen.push(await structHash("message hash", Message, message));
  }
  return { proof: base64(proof), texts, payload: await sealMessage(given, epoch, seen) };
}

let input = "";
process.stdin.setEncoding("utf8");
for await (const chunk of process.stdin) input += chunk;
try {
  process.stdout.write(`${JSON.stringify(await main(JSON.parse(input)))}\n`);
} catch (error) {
  process.stdout.write(`${JSON.stringify({ refused: String(error.message) })}\n`);
}
