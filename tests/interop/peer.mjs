// Any number of ts-mls members, by name, behind one door: a command as a line of JSON on stdin, its answer as a line of
// JSON on stdout. Bytes are hex. What fails is answered as {"error": "..."} and changes nothing.

import { createInterface } from "node:readline"
import {
  ciphersuites,
  createApplicationMessage,
  createCommit,
  createGroup,
  createProposal,
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
  mlsExporter,
  processMessage,
} from "ts-mls"
import { defaultClientConfig } from "ts-mls/clientConfig.js"
import { encode } from "ts-mls/codec/tlsEncoder.js"
import { makeKeyPackageRef } from "ts-mls/keyPackage.js"
import { leafNodeTBSEncoder } from "ts-mls/leafNode.js"
import { unprotectPrivateMessage } from "ts-mls/messageProtection.js"
import { decodeRatchetTree, ratchetTreeEncoder } from "ts-mls/ratchetTree.js"
import { signWithLabel } from "ts-mls/crypto/signature.js"
import { p256 } from "@noble/curves/nist.js"

const hex = (bytes) => Buffer.from(bytes).toString("hex")
const unhex = (text) => Uint8Array.from(Buffer.from(text, "hex"))
const text = (bytes) => Buffer.from(bytes).toString("utf8")

class Refusal extends Error {}

// Who is whom: the identities with their signature keys that were introduced here. Nobody else is let in.
const introduced = new Set()
const config = {
  ...defaultClientConfig,
  // Delivery is out of order here: the default forgets a message that is overtaken by ten.
  keyRetentionConfig: { retainKeysForGenerations: 1000, retainKeysForEpochs: 8, maximumForwardRatchetSteps: 1000 },
  authService: {
    async validateCredential(credential, signatureKey) {
      return credential.credentialType === "basic" && introduced.has(`${hex(credential.identity)}:${hex(signatureKey)}`)
    },
  },
}

const persons = new Map()

function personOf(name) {
  const person = persons.get(name)
  if (person === undefined) throw new Refusal(`nobody is called ${name}`)
  return person
}

function memberOf(name) {
  const person = personOf(name)
  if (person.state === undefined) throw new Refusal(`${name} is in no group`)
  return person
}

function decoded(bytes, wireformat) {
  const [message, read] = decodeMlsMessage(bytes, 0) ?? [undefined, 0]
  if (message === undefined || read !== bytes.length) throw new Refusal("this is no MLSMessage")
  if (wireformat !== undefined && message.wireformat !== wireformat)
    throw new Refusal(`this is a ${message.wireformat}, not a ${wireformat}`)
  return message
}

const encoded = (wireformat, body) => hex(encodeMlsMessage({ version: "mls10", wireformat, ...body }))

async function signatureKeys(suite) {
  // Left to itself, ts-mls makes a compressed P-256 key; RFC 9420 §5.1.1 wants the uncompressed form.
  if (!suite.name.endsWith("_P256")) return suite.signature.keygen()
  const signKey = p256.utils.randomSecretKey()
  return { signKey, publicKey: p256.getPublicKey(signKey, false) }
}

const leaves = (state) =>
  state.ratchetTree.flatMap((node, at) => (node?.nodeType === "leaf" ? [{ leaf: at / 2, node: node.leaf }] : []))

function leafOf(state, identity) {
  const found = leaves(state).find(({ node }) => text(node.credential.identity) === identity)
  if (found === undefined) throw new Refusal(`${identity} is no member`)
  return found
}

const additionOf = (bytes) => ({
  proposalType: "add",
  add: { keyPackage: decoded(unhex(bytes), "mls_key_package").keyPackage },
})
const removalOf = (state, identity) => ({
  proposalType: "remove",
  remove: { removed: leafOf(state, identity).leaf },
})

// ts-mls takes an Update proposal but makes none: a leaf with a new key, signed for its place in this group.
async function renewal({ state, suite }) {
  const { leaf, node } = leaves(state).find((each) => each.leaf === state.privatePath.leafIndex)
  const keys = await suite.hpke.generateKeyPair()
  const fresh = {
    hpkePublicKey: await suite.hpke.exportPublicKey(keys.publicKey),
    signaturePublicKey: node.signaturePublicKey,
    credential: node.credential,
    capabilities: node.capabilities,
    extensions: node.extensions,
    leafNodeSource: "update",
  }
  const signed = encode(leafNodeTBSEncoder)({ ...fresh, groupId: state.groupContext.groupId, leafIndex: leaf })
  const signature = await signWithLabel(state.signaturePrivateKey, "LeafNodeTBS", signed, suite.signature)
  return { leafNode: { ...fresh, signature }, privateKey: await suite.hpke.exportPrivateKey(keys.privateKey) }
}

// Nor does it take the new private key into use when somebody else commits the Update.
function renewed(person, proposals) {
  const { state, renewing } = person
  const own = state.privatePath.leafIndex
  const ours = proposals.some(
    ({ proposal, senderLeafIndex }) =>
      proposal.proposalType === "update" &&
      senderLeafIndex === own &&
      hex(proposal.update.leafNode.hpkePublicKey) === hex(renewing.leafNode.hpkePublicKey),
  )
  if (!ours) return state
  return { ...state, privatePath: { leafIndex: own, privateKeys: { [own * 2]: renewing.privateKey } } }
}

const removes = (seen, leaf) =>
  seen?.kind === "commit" &&
  seen.proposals.some(({ proposal }) => proposal.proposalType === "remove" && proposal.remove.removed === leaf)

// processMessage tells neither the sender nor the authenticated data of an application message.
async function opened(person, message) {
  const { state, suite } = person
  const past = message.epoch === state.groupContext.epoch ? undefined : state.historicalReceiverData.get(message.epoch)
  if (past === undefined && message.epoch !== state.groupContext.epoch) throw new Refusal("no keys for that epoch")
  if (past === undefined && state.groupActiveState.kind !== "active") throw new Refusal("removed from the group")
  const from = past ?? { ...state, senderDataSecret: state.keySchedule.senderDataSecret }
  const { tree, content } = await unprotectPrivateMessage(
    from.senderDataSecret,
    message,
    from.secretTree,
    from.ratchetTree,
    from.groupContext,
    config.keyRetentionConfig,
    suite,
  )
  const historicalReceiverData = new Map(state.historicalReceiverData)
  if (past !== undefined) historicalReceiverData.set(message.epoch, { ...past, secretTree: tree })
  person.state = past === undefined ? { ...state, secretTree: tree } : { ...state, historicalReceiverData }
  const sender = from.ratchetTree[content.content.sender.leafIndex * 2].leaf
  return {
    kind: "application",
    epoch: Number(message.epoch),
    sender: text(sender.credential.identity),
    data: hex(content.content.applicationData),
    aad: hex(content.content.authenticatedData),
  }
}

const commands = {
  async person({ name, suite }) {
    if (persons.has(name)) throw new Refusal(`somebody is called ${name} already`)
    const found = Object.entries(ciphersuites).find(([, number]) => number === suite)
    if (found === undefined) throw new Refusal(`ts-mls has no suite ${suite}`)
    const impl = await getCiphersuiteImpl(getCiphersuiteFromName(found[0]))
    const keys = await signatureKeys(impl)
    persons.set(name, { suite: impl, keys, packages: new Map() })
    return { signatureKey: hex(keys.publicKey) }
  },

  async know({ identity, signatureKey }) {
    introduced.add(`${hex(Buffer.from(identity, "utf8"))}:${signatureKey}`)
    return {}
  },

  async keyPackage({ name, notBefore, notAfter }) {
    const person = personOf(name)
    const made = await generateKeyPackageWithKey(
      { credentialType: "basic", identity: new TextEncoder().encode(name) },
      defaultCapabilities(),
      { notBefore: BigInt(notBefore), notAfter: BigInt(notAfter) },
      [],
      person.keys,
      person.suite,
    )
    person.packages.set(hex(await makeKeyPackageRef(made.publicPackage, person.suite.hash)), made)
    return { keyPackage: encoded("mls_key_package", { keyPackage: made.publicPackage }) }
  },

  async create({ name, groupId }) {
    const person = personOf(name)
    const [ref, made] = [...person.packages].at(-1) ?? []
    if (made === undefined) throw new Refusal(`${name} has no key package`)
    const id = unhex(groupId)
    person.state = await createGroup(id, made.publicPackage, made.privatePackage, [], person.suite, config)
    person.packages.delete(ref)
    person.pending = person.renewing = undefined
    return {}
  },

  async join({ name, welcome, tree }) {
    const person = personOf(name)
    const message = decoded(unhex(welcome), "mls_welcome").welcome
    const ref = message.secrets.map((each) => hex(each.newMember)).find((each) => person.packages.has(each))
    if (ref === undefined) throw new Refusal("this Welcome is for nobody here")
    const made = person.packages.get(ref)
    const beside = tree === null ? undefined : decodeRatchetTree(unhex(tree), 0)?.[0]
    person.state = await joinGroup(
      message,
      made.publicPackage,
      made.privatePackage,
      emptyPskIndex,
      person.suite,
      beside,
      undefined,
      config,
    )
    person.packages.delete(ref)
    person.pending = person.renewing = undefined
    return {}
  },

  // Commits what was proposed, and what is named here; with nothing of either, an update of the committer's path.
  async commit({ name, add, remove, asPublic, treeInside }) {
    const person = memberOf(name)
    if (person.pending !== undefined) throw new Refusal("a commit is waiting for its delivery")
    const { state, suite } = person
    const made = await createCommit(
      { state, cipherSuite: suite },
      {
        wireAsPublicMessage: asPublic,
        extraProposals: [...remove.map((identity) => removalOf(state, identity)), ...add.map(additionOf)],
        ratchetTreeExtension: treeInside,
      },
    )
    person.pending = made.newState
    return {
      message: hex(encodeMlsMessage(made.commit)),
      welcome: made.welcome === undefined ? null : encoded("mls_welcome", { welcome: made.welcome }),
      tree: treeInside ? null : hex(encode(ratchetTreeEncoder)(made.newState.ratchetTree)),
    }
  },

  async accept({ name }) {
    const person = memberOf(name)
    if (person.pending === undefined) throw new Refusal("no commit is waiting")
    person.state = person.pending
    person.pending = person.renewing = undefined
    return {}
  },

  async drop({ name }) {
    const person = memberOf(name)
    if (person.pending === undefined) throw new Refusal("no commit is waiting")
    person.pending = undefined
    return {}
  },

  async propose({ name, kind, keyPackage, identity, asPublic }) {
    const person = memberOf(name)
    const renewing = kind === "update" ? await renewal(person) : undefined
    const proposal =
      kind === "add"
        ? additionOf(keyPackage)
        : kind === "remove"
          ? removalOf(person.state, identity)
          : { proposalType: "update", update: { leafNode: renewing.leafNode } }
    const made = await createProposal(person.state, asPublic, proposal, person.suite)
    person.state = made.newState
    person.renewing = renewing ?? person.renewing
    return { message: hex(encodeMlsMessage(made.message)) }
  },

  async send({ name, data, aad }) {
    const person = memberOf(name)
    const made = await createApplicationMessage(person.state, unhex(data), person.suite, unhex(aad))
    person.state = made.newState
    return { message: encoded("mls_private_message", { privateMessage: made.privateMessage }) }
  },

  async receive({ name, message: bytes }) {
    const person = memberOf(name)
    const message = decoded(unhex(bytes))
    if (message.wireformat === "mls_private_message" && message.privateMessage.contentType === "application")
      return opened(person, message.privateMessage)
    let seen
    const look = (action) => (incoming) => {
      seen = incoming
      return action
    }
    let { state } = person
    if (person.renewing !== undefined) {
      // Once to see what is committed, and nothing changes; then with the key that this commit brings into use.
      await processMessage(message, state, emptyPskIndex, look("reject"), person.suite)
      if (seen.kind === "commit") state = renewed(person, seen.proposals)
    }
    let next
    try {
      next = (await processMessage(message, state, emptyPskIndex, look("accept"), person.suite)).newState
    } catch (error) {
      // A leaf that is removed and taken again by the same commit is not seen as removed, and an internal error follows.
      if (!removes(seen, state.privatePath.leafIndex)) throw error
      next = { ...state, unappliedProposals: {}, groupActiveState: { kind: "removedFromGroup" } }
    }
    const sender = seen.kind === "commit" ? seen.senderLeafIndex : seen.proposal.senderLeafIndex
    const from = text(state.ratchetTree[sender * 2].leaf.credential.identity)
    const epoch = Number(state.groupContext.epoch)
    person.state = next
    if (seen.kind === "commit") person.pending = person.renewing = undefined
    return { kind: seen.kind, sender: from, epoch, removed: next.groupActiveState.kind === "removedFromGroup" }
  },

  async look({ name }) {
    const { state } = memberOf(name)
    return {
      epoch: Number(state.groupContext.epoch),
      authenticator: hex(state.keySchedule.epochAuthenticator),
      members: leaves(state).map(({ leaf, node }) => [leaf, text(node.credential.identity)]),
    }
  },

  async export({ name, label, context, length }) {
    const { state, suite } = memberOf(name)
    return { secret: hex(await mlsExporter(state.keySchedule.exporterSecret, label, unhex(context), length, suite)) }
  },

  async save({ name }) {
    return { state: hex(encodeGroupState(memberOf(name).state)) }
  },

  async restore({ name, state }) {
    const person = personOf(name)
    const bytes = unhex(state)
    const [restored, read] = decodeGroupState(bytes, 0) ?? [undefined, 0]
    if (restored === undefined || read !== bytes.length) throw new Refusal("this is no saved group")
    // A saved proposal of leaf 0 comes back without a sender: ts-mls takes the 0 for nothing.
    const unappliedProposals = Object.fromEntries(
      Object.entries(restored.unappliedProposals).map(([ref, { proposal, senderLeafIndex }]) => [
        ref,
        { proposal, senderLeafIndex: senderLeafIndex ?? 0 },
      ]),
    )
    person.state = { ...restored, unappliedProposals, clientConfig: config }
    return {}
  },
}

async function answer(line) {
  try {
    const { do: name, ...given } = JSON.parse(line)
    if (!Object.hasOwn(commands, name)) throw new Refusal(`no command ${name}`)
    return await commands[name](given)
  } catch (error) {
    return { error: `${error?.constructor?.name ?? "Error"}: ${error?.message ?? error}` }
  }
}

for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
  process.stdout.write(`${JSON.stringify(await answer(line))}\n`)
}
