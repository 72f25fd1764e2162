import { MeshError } from '@mesh/shared/core/errors'
import type { RecordBatch } from '@mesh/shared/core/record'
import { refinedTopic } from '@mesh/shared/core/topics'
import { createAvroCodec } from '@mesh/shared/schema/avro-codec'
import { createSchemaRegistry } from '@mesh/shared/schema/registry'
import type { Command, CommandContext } from '../command.ts'
import { decodeRecord, type TailedRecord } from '../decode-record.ts'
import type { MeshAccess } from '../mesh-access.ts'
import { withMesh } from '../running-mesh.ts'

export const tail: Command = {
  name: 'tail',
  summary: 'show records of a topic, or of the live refined topic of a stream, decoded',
  usage: '<topic|stream>',
  options: {
    'from-beginning': { type: 'boolean', doc: 'start with the oldest record, not with the next one' },
    limit: { type: 'string', short: 'n', value: 'NUMBER', doc: 'end after so many records' },
  },
  /** Ends at the limit, at Ctrl-C, or, from the beginning with a limit above what there is, when it has shown everything. */
  async run(context) {
    const [name, ...rest] = context.positionals
    if (!name || rest.length > 0) throw new MeshError('MESH_CLI_USAGE', 'tail takes one topic or stream')
    const limit = limitOf(context)
    return withMesh(context, async (mesh) => {
      const topic = await topicOf(mesh, name)
      const codec = createAvroCodec(createSchemaRegistry({ url: mesh.addresses.registryUrl }))
      const end = Promise.withResolvers<void>()
      let taken = 0
      let shown = 0
      context.signal.addEventListener('abort', () => end.resolve())
      const fromStart = context.flag('from-beginning')
      const follower = await mesh.kafka().follow(topic, {
        from: fromStart ? 'start' : 'end',
        onFatal: end.reject,
        async onBatch(batch: RecordBatch) {
          for (const record of batch.records) {
            // Partitions come side by side: the place is taken before the record is decoded.
            if (taken >= limit) return
            taken++
            show(context, await decodeRecord(codec, batch, record))
            if (++shown >= limit) end.resolve()
          }
        },
      })
      if (fromStart && limit !== Number.POSITIVE_INFINITY) void follower.caughtUp.then(() => end.resolve(), end.reject)
      await end.promise
      await follower.stop()
      return 0
    })
  },
}

function limitOf(context: CommandContext): number {
  const text = context.text('limit')
  if (text === undefined) return Number.POSITIVE_INFINITY
  const limit = Number(text)
  if (!Number.isSafeInteger(limit) || limit < 1)
    throw new MeshError('MESH_CLI_USAGE', `--limit: '${text}' is not a positive number`)
  return limit
}

async function topicOf(mesh: MeshAccess, name: string): Promise<string> {
  const topics = await mesh.kafka().admin.listTopics()
  if (topics.includes(name)) return name
  const state = (await mesh.streams()).find((candidate) => candidate.stream === name)
  if (state) return refinedTopic(name, state.live)
  throw new MeshError(
    'MESH_STREAM_UNKNOWN',
    `there is no topic and no stream ${name}; topics: ${topics.sort().join(', ')}`,
  )
}

function show(context: CommandContext, record: TailedRecord): void {
  if (context.json) return context.print(JSON.stringify(record))
  const { partition, offset, key, value, headers } = record
  const src = headers['mesh-src'] ?? headers['ce_id']
  context.print(`${partition}/${offset}  ${key ?? '(no key)'}  ${JSON.stringify(value)}${src ? `  [${src}]` : ''}`)
}
