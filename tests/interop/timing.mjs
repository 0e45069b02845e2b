// How long ts-mls takes for what `./dev bench mls` measures: `node timing.mjs SUITE MEMBERS MILLISECONDS`, the last for
// each operation. It goes from bytes to bytes; its median in milliseconds of processor time, or of the clock where that is
// less, is a line of JSON as soon as it is known. The one who starts this ends it when it takes too long.

import {
  ciphersuites,
  createApplicationMessage,
  createCommit,
  createGroup,
  decodeGroupState,
  decodeMlsMessage,
  defaultCapabilities,
  emptyPskIndex,
  encodeGroupState,
  encodeMlsMessage,
  generateKeyPackageWithKey,
  getCiphersuiteFromName,
  getCiphersuiteImpl,
  joinGroup,
  processMessage,
} from "ts-mls"
import { defaultClientConfig } from "ts-mls/clientConfig.js"
import { p256 } from "@noble/curves/nist.js"

const [number, members, enough] = process.argv.slice(2).map(Number)
const [name] = Object.entries(ciphersuites).find(([, each]) => each === number)
const suite = await getCiphersuiteImpl(getCiphersuiteFromName(name))
const config = { ...defaultClientConfig, authService: { validateCredential: async () => true } }
const bytes = (wireformat, body) => encodeMlsMessage({ version: "mls10", wireformat, ...body })
const read = (message) => decodeMlsMessage(message, 0)[0]

async function signatureKeys() {
  // Left to itself, ts-mls makes a compressed P-256 key; RFC 9420 §5.1.1 wants the uncompressed form.
  if (!suite.name.endsWith("_P256")) return suite.signature.keygen()
  const signKey = p256.utils.randomSecretKey()
  return { signKey, publicKey: p256.getPublicKey(signKey, false) }
}

async function keyPackage(at) {
  const made = await generateKeyPackageWithKey(
    { credentialType: "basic", identity: new TextEncoder().encode(`member-${String(at).padStart(6, "0")}`) },
    defaultCapabilities(),
    { notBefore: 0n, notAfter: 2n ** 63n - 1n },
    [],
    await signatureKeys(),
    suite,
  )
  return { ...made, wire: bytes("mls_key_package", { keyPackage: made.publicPackage }) }
}

async function once(call) {
  const cpu = process.cpuUsage()
  const clock = performance.now()
  const found = await call()
  const wall = performance.now() - clock
  const { user, system } = process.cpuUsage(cpu)
  return { found, ms: Math.min(wall, (user + system) / 1000) }
}

// At least once; again until there are 9, or it is enough, or no more. The last result is handed back.
async function timed(operation, call, batch = 1, more = () => true) {
  const times = []
  const begun = performance.now()
  let found
  do {
    const one = await once(async () => {
      let last
      for (let turn = 0; turn < batch; turn++) last = await call()
      return last
    })
    found = one.found
    times.push(one.ms / batch)
  } while (times.length < 9 && more() && performance.now() - begun < enough)
  times.sort((a, b) => a - b)
  console.log(JSON.stringify({ operation, ms: times[times.length >> 1] }))
  return found
}

const addition = (wire) => ({ proposalType: "add", add: { keyPackage: read(wire).keyPackage } })

async function commit(state, proposals) {
  const options = { extraProposals: proposals(), ratchetTreeExtension: true }
  const made = await createCommit({ state, cipherSuite: suite }, options)
  const welcome = made.welcome && bytes("mls_welcome", { welcome: made.welcome })
  return { state: made.newState, message: encodeMlsMessage(made.commit), welcome }
}

async function process_(state, message) {
  return (await processMessage(read(message), state, emptyPskIndex, () => "accept", suite)).newState
}

async function join(welcome, made) {
  const { publicPackage, privatePackage } = made
  const none = undefined
  return joinGroup(read(welcome).welcome, publicPackage, privatePackage, emptyPskIndex, suite, none, none, config)
}

// One member of each subtree beside the first one's path, of the largest first.
function beside() {
  const found = []
  for (let size = 1; size < members; size *= 2) found.unshift(size)
  return found
}

const packages = []
for (let at = 0; at < members; at++) packages.push(await keyPackage(at))
const founder = packages[0]
const found = () =>
  createGroup(new TextEncoder().encode("group"), founder.publicPackage, founder.privatePackage, [], suite, config)
const alone = await timed("create", found)
const last = members - 1

const all = () => commit(alone, () => packages.slice(1).map(({ wire }) => addition(wire)))
const added = await timed("add all", all)
let one = added.state
let other = await timed("join cold", () => join(added.welcome, packages[last]))

async function update(how) {
  const made = await timed(`update made, ${how}`, () => commit(one, () => []))
  await timed(`update processed, ${how}`, () => process_(other, made.message))
}
await update("cold")

for (const text of [100, 1000]) {
  const data = new Uint8Array(text)
  const sent = []
  let sender = one
  let receiver = other
  await timed(
    `protect ${text} B`,
    async () => {
      const made = await createApplicationMessage(sender, data, suite)
      sender = made.newState
      sent.push(bytes("mls_private_message", { privateMessage: made.privateMessage }))
    },
    20,
  )
  const unprotect = async () => (receiver = await process_(receiver, sent.shift()))
  await timed(`unprotect ${text} B`, unprotect, 20, () => sent.length > 0)
}

const saved = await timed("save all", async () => encodeGroupState(one))
await timed("load", async () => decodeGroupState(saved, 0)[0])

// Those whose subtrees lie beside the first member's path commit, so that each level has a key; until then they follow.
const few = new Map()
for (const at of beside()) if (at !== last) few.set(at, await join(added.welcome, packages[at]))
for (const at of beside()) {
  const made = await commit(at === last ? other : few.get(at), () => [])
  few.delete(at)
  one = await process_(one, made.message)
  for (const [each, state] of few) few.set(each, await process_(state, made.message))
  other = at === last ? made.state : await process_(other, made.message)
}
await update("warm")

const extra = await keyPackage(members)
const more = await timed("add 1 made", () => commit(one, () => [addition(extra.wire)]))
await timed("add 1 processed", () => process_(other, more.message))
await timed("join warm", () => join(more.welcome, extra))
// The one beside the first: no other costs ts-mls less.
const gone = { proposalType: "remove", remove: { removed: members > 2 ? 1 : last } }
const less = await timed("remove made", () => commit(one, () => [gone]))
if (members > 2) await timed("remove processed", () => process_(other, less.message))
