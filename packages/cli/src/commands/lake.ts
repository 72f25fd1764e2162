import { formatDuration, parseDuration } from '@mesh/shared/core/duration'
import { MeshError } from '@mesh/shared/core/errors'
import { parseInstant } from '@mesh/shared/core/instant'
import type { StreamVersions } from '@mesh/shared/core/versions'
import { type ChainId, currentNames } from '@mesh/shared/lake/chain-names'
import type { Command, CommandContext } from '../command.ts'
import { chainsOf, type Layer } from '../lake/chains.ts'
import { compactChain } from '../lake/compact.ts'
import { historyRule, readHistoryFacts } from '../lake/history-rule.ts'
import { renderCompaction, renderRetention } from '../lake/render.ts'
import { type HistoryRule, retainChain } from '../lake/retain.ts'
import type { MeshAccess } from '../mesh-access.ts'
import { withMesh } from '../running-mesh.ts'

const LAYERS: readonly Layer[] = ['bronze', 'silver']
const DAY_MS = 86_400_000
const DEFAULT_TARGET_MB = 128
const MB = 1_048_576
/** Readers that listed objects before a merge may open them this long; a writer that slept this long is taken for dead. */
const SAFE_GRACE_MS = 7 * DAY_MS
const ACTIONS = 'compact [stream...], retain [stream...] or files <stream...>'

export const lake: Command = {
  name: 'lake',
  summary: 'merge small objects of the lake, delete what is merged, drop history that contracts let go, list objects',
  usage: 'compact [stream...] | retain [stream...] | files <stream...>',
  options: {
    layer: { type: 'string', value: 'LAYER', doc: 'bronze or silver (default: both)' },
    'dry-run': { type: 'boolean', doc: 'say what would be done, and do nothing' },
    'target-mb': {
      type: 'string',
      value: 'MB',
      doc: `compact: size of a merged object (default ${DEFAULT_TARGET_MB})`,
    },
    'older-than': {
      type: 'string',
      value: 'AGE',
      doc: 'compact: leave younger records alone (default 1d). retain: keep history younger than this, whatever the contract says',
    },
    grace: {
      type: 'string',
      value: 'AGE',
      doc: `retain: delete what has been merged this long (default ${formatDuration(SAFE_GRACE_MS)})`,
    },
    force: { type: 'boolean', doc: 'retain: allow a shorter --grace; no reader, writer or compaction may be at work' },
    history: { type: 'boolean', doc: 'retain: also drop what the contract (lake.<layer>.retention) lets go' },
    'as-of': {
      type: 'string',
      value: 'TIME',
      doc: 'retain: as at this time (RFC 3339): no more than a dry run has shown',
    },
  },
  async run(context) {
    const [action, ...streams] = context.positionals
    if (action === 'compact') return withMesh(context, (mesh) => compact(context, mesh, streams))
    if (action === 'retain') return withMesh(context, (mesh) => retain(context, mesh, streams))
    if (action === 'files' && streams.length > 0) return withMesh(context, (mesh) => files(context, mesh, streams))
    throw new MeshError('MESH_CLI_USAGE', `lake takes ${ACTIONS}`)
  },
}

async function compact(context: CommandContext, mesh: MeshAccess, streams: readonly string[]): Promise<number> {
  const targetBytes = positive(context, 'target-mb', DEFAULT_TARGET_MB) * MB
  const before = Date.now() - age(context, 'older-than', DAY_MS)
  const dryRun = context.flag('dry-run')
  const now = (): number => Date.now()
  const onProgress = (text: string): void => context.note(text)
  const options = { targetBytes, before, dryRun, now, signal: context.signal, onProgress }
  const chains = []
  for (const { id } of await chosen(context, mesh, streams)) {
    if (context.signal.aborted) break
    chains.push(await compactChain(mesh.store, id, options))
  }
  context.print(context.json ? JSON.stringify({ dryRun, chains }, null, 2) : renderCompaction(chains, dryRun))
  return context.signal.aborted ? 1 : 0
}

async function retain(context: CommandContext, mesh: MeshAccess, streams: readonly string[]): Promise<number> {
  const graceMs = age(context, 'grace', SAFE_GRACE_MS)
  if (graceMs < SAFE_GRACE_MS && !context.flag('force')) {
    const safe = formatDuration(SAFE_GRACE_MS)
    throw new MeshError(
      'MESH_CLI_USAGE',
      `--grace is shorter than ${safe}: a reader or a writer may still hold what would be deleted; --force if none does`,
    )
  }
  const now = asOf(context)
  const onProgress = (text: string): void => context.note(text)
  const minAgeMs = age(context, 'older-than', 0)
  const dryRun = context.flag('dry-run')
  const chains = []
  for (const { id, state } of await chosen(context, mesh, streams)) {
    if (context.signal.aborted) break
    const history: HistoryRule = context.flag('history')
      ? historyRule(id, await readHistoryFacts({ kafka: mesh.kafka(), store: mesh.store }, state, id), now, minAgeMs)
      : { keep: '--history is not given' }
    const options = { now, graceMs, history, dryRun, signal: context.signal, onProgress }
    chains.push(await retainChain(mesh.store, id, options))
  }
  const asOfText = new Date(now).toISOString()
  const answer = { dryRun, asOf: asOfText, chains }
  context.print(context.json ? JSON.stringify(answer, null, 2) : renderRetention(chains, dryRun))
  return context.signal.aborted ? 1 : 0
}

/** The objects that count: what to read where the lake is compacted, instead of a glob. */
async function files(context: CommandContext, mesh: MeshAccess, streams: readonly string[]): Promise<number> {
  const objects = []
  for (const { id } of await chosen(context, mesh, streams)) {
    for await (const { key, firstOffset } of currentNames(mesh.store, id)) {
      const url = `${mesh.addresses.lakeUrl.replace(/\/$/, '')}/${key}`
      objects.push({
        layer: id.layer,
        stream: id.stream,
        version: id.version,
        partition: id.partition,
        firstOffset,
        url,
      })
    }
  }
  context.print(context.json ? JSON.stringify(objects, null, 2) : objects.map(({ url }) => url).join('\n'))
  return 0
}

/** @throws MeshError MESH_CLI_USAGE for a stream that is not applied */
async function chosen(
  context: CommandContext,
  mesh: MeshAccess,
  streams: readonly string[],
): Promise<{ id: ChainId; state: StreamVersions }[]> {
  const layer = context.text('layer')
  if (layer !== undefined && !LAYERS.some((each) => each === layer)) {
    throw new MeshError('MESH_CLI_USAGE', `--layer takes bronze or silver, not '${layer}'`)
  }
  const states = await mesh.streams()
  const unknown = streams.find((name) => !states.some(({ stream }) => stream === name))
  if (unknown !== undefined) {
    const there = states.map(({ stream }) => stream).join(', ')
    throw new MeshError('MESH_CLI_USAGE', `stream ${unknown} is not applied; there are: ${there}`)
  }
  const found: { id: ChainId; state: StreamVersions }[] = []
  for (const state of states) {
    if (streams.length > 0 && !streams.includes(state.stream)) continue
    for (const each of LAYERS) {
      if (layer !== undefined && each !== layer) continue
      for (const id of await chainsOf(mesh.store, each, state.stream)) found.push({ id, state })
    }
  }
  return found
}

function age(context: CommandContext, option: string, otherwise: number): number {
  const text = context.text(option)
  if (text === undefined) return otherwise
  const ms = parseDuration(text)
  if (ms === null) throw new MeshError('MESH_CLI_USAGE', `--${option} is an age as 7d, 12h or 30m, not '${text}'`)
  return ms
}

function positive(context: CommandContext, option: string, otherwise: number): number {
  const text = context.text(option)
  const value = Number(text ?? otherwise)
  if (value > 0 && Number.isFinite(value)) return value
  throw new MeshError('MESH_CLI_USAGE', `--${option} is a number above 0, not '${text ?? ''}'`)
}

/** Epoch ms. A time to come would delete what nobody has agreed to yet. */
function asOf(context: CommandContext): number {
  const text = context.text('as-of')
  if (text === undefined) return Date.now()
  const instant = parseInstant(text)
  if (!instant || instant.offset === null || instant.epochMs > Date.now()) {
    throw new MeshError('MESH_CLI_USAGE', `--as-of is an RFC 3339 time that has passed, not '${text}'`)
  }
  return instant.epochMs
}
