import { join } from 'node:path'
import type { Privacy } from '@mesh/shared/core/contract'
import { MeshError } from '@mesh/shared/core/errors'
import { createObjectKeyStore } from '@mesh/shared/privacy/object-key-store'
import { fieldOf } from '@mesh/shared/privacy/protect'
import {
  decryptValue,
  type MasterKeys,
  masterKeys,
  parseCiphertext,
  subjectName,
  unwrapDataKey,
} from '@mesh/shared/privacy/seal'
import { createSecretReader } from '@mesh/shared/runtime/secrets'
import { loadStreamFolder } from '@mesh/shared/schema/stream-folder'
import type { Command, CommandContext } from '../command.ts'
import type { MeshAccess } from '../mesh-access.ts'
import { withMesh } from '../running-mesh.ts'
import { projectStreams } from '../streams/project.ts'

export const privacy: Command = {
  name: 'privacy',
  summary: 'erase a subject of a stream for good, or reveal an encrypted value',
  usage: 'erase <stream> <subject> | reveal <stream> <value>',
  options: { yes: { type: 'boolean', doc: 'erase: it cannot be undone, and this says that you know' } },
  async run(context) {
    const [action, stream, value, ...rest] = context.positionals
    if (!stream || !value || rest.length > 0) {
      throw new MeshError('MESH_CLI_USAGE', 'privacy takes `erase <stream> <subject>` or `reveal <stream> <value>`')
    }
    if (action === 'erase') return withMesh(context, (mesh) => erase(context, mesh, { stream, subject: value }))
    if (action === 'reveal') return withMesh(context, (mesh) => reveal(context, mesh, { stream, value }))
    throw new MeshError('MESH_CLI_USAGE', `privacy takes erase or reveal, not '${action ?? ''}'`)
  },
}

async function erase(
  context: CommandContext,
  { store }: Pick<MeshAccess, 'store'>,
  { stream, subject }: { stream: string; subject: string },
): Promise<number> {
  const { keys } = await openPrivacy(context, stream)
  if (!context.flag('yes')) {
    throw new MeshError('MESH_CLI_USAGE', `erasing ${subject} of ${stream} destroys its key for good: add --yes`)
  }
  await createObjectKeyStore(store).erase(stream, subjectName(keys, stream, subject))
  if (context.json) context.print(JSON.stringify({ stream, erased: subject }))
  else {
    context.print(`${stream}: the key of ${subject} is destroyed; its encrypted values cannot be revealed any more`)
    context.note('raw, bronze and dead letters keep what was received until their retention ends')
  }
  return 0
}

async function reveal(
  context: CommandContext,
  { store }: Pick<MeshAccess, 'store'>,
  { stream, value }: { stream: string; value: string },
): Promise<number> {
  const ciphertext = parseCiphertext(value)
  if (ciphertext === null) throw new MeshError('MESH_PRIVACY_NOT_SEALED', 'the value is no ciphertext of the mesh')
  const { keys, rules } = await openPrivacy(context, stream)
  if (ciphertext.keyId !== keys.keyId) {
    throw new MeshError(
      'MESH_PRIVACY_KEY',
      `the value was written under secret ${ciphertext.keyId}, the contract names ${keys.keyId}`,
    )
  }
  const kept = await createObjectKeyStore(store).find(stream, ciphertext.name)
  if (kept?.kind === 'erased')
    throw new MeshError('MESH_PRIVACY_ERASED', `the subject of this value of ${stream} was erased`)
  if (!kept)
    throw new MeshError('MESH_PRIVACY_KEY', `${stream} has no key of that name: the value is of another stream or mesh`)
  const dataKey = unwrapDataKey(keys, kept.wrapped, ciphertext.name)
  const text = openAny(rules, (at) =>
    Buffer.from(decryptValue(dataKey, ciphertext, fieldOf(stream, at))).toString('utf8'),
  )
  context.print(context.json ? JSON.stringify({ stream, value: text }) : text)
  return 0
}

/** The field is authenticated and not told: the one that opens is it. */
function openAny(rules: Privacy, open: (at: string) => string): string {
  let failure: unknown = null
  for (const { at, as } of rules.fields) {
    if (as !== 'encrypt') continue
    try {
      return open(at)
    } catch (error) {
      failure = error
    }
  }
  throw failure ?? new MeshError('MESH_PRIVACY_KEY', 'the contract encrypts no field')
}

async function openPrivacy(context: CommandContext, stream: string): Promise<{ keys: MasterKeys; rules: Privacy }> {
  const projectRoot = context.projectDir()
  await projectStreams(projectRoot, [stream])
  const { contract } = await loadStreamFolder(join(projectRoot, 'streams', stream))
  const rules = contract.privacy
  if (!rules) throw new MeshError('MESH_CLI_USAGE', `the contract of ${stream} has no privacy rules`)
  return { keys: masterKeys(await createSecretReader(context.env)(rules.key), rules.key), rules }
}
