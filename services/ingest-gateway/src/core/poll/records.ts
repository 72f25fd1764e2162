import { isMeshError, MeshError } from '@mesh/shared/core/errors'
import { eventKey, textAt } from '@mesh/shared/core/event-identity'
import type { RecordToSend } from '@mesh/shared/core/record'
import { type BuiltRecord, buildRecord, buildTombstone, type RecordContext } from '../build-record.ts'
import { NO_ATTRIBUTES } from '../event-attributes.ts'
import type { IngestStream } from '../ports.ts'
import type { PageEvent } from './answer.ts'
import type { PollSpec } from './spec.ts'
import type { Sweep } from './sweep.ts'

export type PageBuild = {
  readonly stream: IngestStream
  readonly source: string
  readonly maxEventBytes: number
  readonly receivedAt: number
  /** Of a poll that looks for deletes. */
  readonly sweep: Sweep | null
}

/**
 * The raw records of a page, on the path of a posted event. Identity: the contract's `eventId`, else `<id>`, else with `updatedAt`
 * `<id>@<updatedAt>`. So what an overlap reads again has the id that it had, and a changed thing is a new event;
 * one that comes back after its delete is one too.
 * @throws MeshError MESH_SOURCE_EVENT: one event cannot become a record, and none of the page does.
 */
export function buildPage(spec: PollSpec, events: readonly PageEvent[], build: PageBuild): BuiltRecord[] {
  const context = contextOf(build, (index) => eventId(spec, events[index]!) + generation(build, events[index]!))
  return events.map(({ bytes }, index) => {
    try {
      if (bytes.byteLength > build.maxEventBytes) {
        throw new MeshError('MESH_EVENT_TOO_LARGE', `it has ${bytes.byteLength} bytes, at most ${build.maxEventBytes}`)
      }
      return buildRecord(index, bytes, context)
    } catch (error) {
      if (!isMeshError(error)) throw error
      throw new MeshError('MESH_SOURCE_EVENT', `event ${index} of the page: ${error.message} (${error.code})`, {
        cause: error,
      })
    }
  })
}

/** Deletes of the keys that a finished run has found gone. An id is stable: the run's number is in it. */
export function buildDeletes(keys: readonly string[], run: number, build: PageBuild): RecordToSend[] {
  const context = contextOf(build, () => '')
  return keys.map((key) => buildTombstone(key, `${key}@deleted-${run}`, context))
}

function generation({ sweep, stream }: PageBuild, { event, bytes }: PageEvent): string {
  return sweep?.generation(eventKey(stream.contract, event, bytes) ?? '') ?? ''
}

function contextOf({ stream, source, receivedAt }: PageBuild, idFor: RecordContext['idFor']): RecordContext {
  return {
    contract: stream.contract,
    partitions: stream.partitions,
    check: stream.check,
    attributes: { ...NO_ATTRIBUTES, source: `/sources/${source}` },
    idFor,
    kept: [],
    receivedAt,
  }
}

function eventId(spec: PollSpec, { event, bytes }: PageEvent): string {
  const id = pointed(spec.id ?? '', { event, bytes })
  return spec.updatedAt === null ? id : `${id}@${pointed(spec.updatedAt, { event, bytes })}`
}

function pointed(pointer: string, { event, bytes }: PageEvent): string {
  const text = textAt(event, pointer, bytes)
  if (text === null || text === undefined || text === '') {
    throw new MeshError('MESH_EVENT_ID', `there is no text or number at ${pointer}`)
  }
  return text
}
