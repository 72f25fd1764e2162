import { setTimeout as delay } from 'node:timers/promises'
import { MeshError } from '@mesh/shared/core/errors'
import type { PostgresSource } from '@mesh/shared/core/source'
import { nearest } from '@mesh/shared/runtime/config'
import type { ConnectRest } from './adapters/sources/connect-rest.ts'
import { connectorName } from './core/sources/connector-config.ts'
import { isByConnect, tablesOf } from './core/sources/desired-sources.ts'
import type { SourceDatabase } from './core/sources/ports.ts'
import type { DesiredSource } from './core/sources/source-types.ts'
import type { AskForDocuments } from './document-snapshots.ts'
import type { SourceService } from './source-service.ts'

export type SourceOperations = {
  pause(name: string): Promise<void>
  resume(name: string): Promise<void>
  /** Its tasks or readers are stopped and started, without a pause that is left of failures. */
  restart(name: string): Promise<void>
  /** Reads all rows of one table, or of all, again beside the changes. */
  snapshot(name: string, table: string | null): Promise<{ readonly tables: readonly string[] }>
  /** Forgets how far the source has come and begins anew with all rows. */
  resnapshot(name: string): Promise<void>
  /**
   * Removes connector, slot and publication, or the positions of the gateway's own readers; what was captured stays. Nothing is read of it
   * before it is resumed.
   * @returns the keys of the positions
   */
  remove(name: string): Promise<{ readonly positions: readonly string[] }>
  /** Forgets how far a source has come that the gateway reads itself. */
  forget(name: string): Promise<{ readonly positions: readonly string[] }>
}

export type SourceOperationsOptions = {
  readonly service: SourceService
  readonly connect: ConnectRest | null
  readonly database: SourceDatabase
  /** For MongoDB that the gateway reads itself. */
  readonly documents: (source: string, ask: AskForDocuments) => Promise<readonly string[]>
  readonly freshId: () => string
  /** The positions of a source that the gateway reads itself. */
  readonly forgetPositions: (source: string) => Promise<readonly string[]>
}

const STOP_TIMEOUT_MS = 30_000
const ASK_MS = 250

/** What an operator may do with a source. What cannot be undone is asked for by name: `resnapshot` and `remove`. */
export function createSourceOperations(options: SourceOperationsOptions): SourceOperations {
  const { service, database } = options

  function known(name: string): DesiredSource {
    const desired = service.find(name)
    if (desired) return desired
    const near = nearest(
      name,
      service.view().sources.map(({ source }) => source),
    )
    const more = near === undefined ? 'no applied stream has a source' : `did you mean ${near}?`
    throw new MeshError('MESH_SOURCE_UNKNOWN', `no applied stream is pulled from a source ${name}: ${more}`)
  }

  function postgres(name: string): { source: PostgresSource; desired: DesiredSource } {
    const desired = known(name)
    if (desired.source.kind === 'postgres') return { source: desired.source, desired }
    throw new MeshError('MESH_SOURCE_CONFIG', `source ${name} is of kind ${desired.source.kind}, not postgres`)
  }

  function isOfDriver({ source }: DesiredSource): boolean {
    return source.kind === 'mongodb' && !isByConnect(source)
  }

  function connect(): ConnectRest {
    if (options.connect) return options.connect
    throw new MeshError('MESH_CONNECT_UNAVAILABLE', 'this mesh has no Kafka Connect')
  }

  /** Stopped means that no task holds the slot. */
  async function halt(name: string): Promise<void> {
    const rest = connect()
    const connector = connectorName(name)
    if ((await rest.status(connector)) === null) return
    await rest.stop(connector)
    const deadline = Date.now() + STOP_TIMEOUT_MS
    for (;;) {
      const status = await rest.status(connector)
      if (status === null || (status.state === 'STOPPED' && status.tasks.length === 0)) return
      if (Date.now() > deadline) {
        throw new MeshError('MESH_CONNECT_UNAVAILABLE', `connector ${connector} does not stop: it is ${status.state}`)
      }
      await delay(ASK_MS)
    }
  }

  async function snapshot(name: string, table: string | null): Promise<{ tables: readonly string[] }> {
    if (isOfDriver(known(name))) return { tables: await documents(name, table, false) }
    const { source, desired } = postgres(name)
    const tables = tablesOf(desired.uses).map((use) => use.table)
    if (table !== null && !tables.includes(table)) {
      throw new MeshError('MESH_SOURCE_TABLE_UNKNOWN', `source ${name} captures ${tables.join(', ')}, not ${table}`)
    }
    const chosen = table === null ? tables : [table]
    await database.snapshot(
      source,
      `snapshot:${options.freshId()}`,
      chosen.map((one) => ({ table: one })),
    )
    return { tables: chosen }
  }

  async function documents(name: string, collection: string | null, anew: boolean): Promise<readonly string[]> {
    const asked = await options.documents(name, { collection, anew })
    if (asked.length > 0) return asked
    throw new MeshError('MESH_SOURCE_TABLE_UNKNOWN', `source ${name} does not read ${collection ?? 'any collection'}`)
  }

  async function resnapshot(name: string): Promise<void> {
    if (isOfDriver(known(name))) {
      await documents(name, null, true)
      await service.setIntent(name, 'running')
      return
    }
    if (known(name).source.kind === 'mongodb') {
      await forgetOffsets(name)
      await service.setIntent(name, 'running')
      return
    }
    const { desired, source } = postgres(name)
    await forgetOffsets(name)
    await database.drop(source, false)
    await database.note(
      source,
      tablesOf(desired.uses).map(({ table }) => table),
    )
    await service.setIntent(name, 'running')
  }

  /** Leaves the source paused. */
  async function forgetOffsets(name: string): Promise<void> {
    await service.setIntent(name, 'paused')
    await halt(name)
    const status = await connect().status(connectorName(name))
    if (status !== null) await connect().resetOffsets(connectorName(name))
  }

  async function remove(name: string): Promise<{ positions: readonly string[] }> {
    const desired = service.find(name)
    const told = service.view().sources.find(({ source }) => source === name)
    // First, so that whoever is fenced below does not begin anew.
    if (desired) await service.setIntent(name, 'deleted')
    const positions = desired && isByConnect(desired.source) ? [] : await options.forgetPositions(name)
    if (!desired && told?.state !== 'orphaned' && positions.length === 0) known(name)
    const status = desired && !isByConnect(desired.source) ? null : await options.connect?.status(connectorName(name))
    if (status) {
      await halt(name)
      await connect().resetOffsets(connectorName(name))
      await connect().remove(connectorName(name))
    }
    if (desired?.source.kind === 'postgres') await database.drop(desired.source, true)
    if (!desired) await service.forget(name)
    return { positions }
  }

  async function forget(name: string): Promise<{ positions: readonly string[] }> {
    const desired = service.find(name)
    if (desired && isByConnect(desired.source)) {
      const ways = '`mesh sources resnapshot` reads its rows again, `mesh sources delete` removes it'
      throw new MeshError('MESH_SOURCE_BY_CONNECT', `source ${name} is read by Kafka Connect: ${ways}`)
    }
    if (desired?.source.kind === 'mongodb') {
      const way = '`mesh sources resnapshot` reads its documents again'
      throw new MeshError('MESH_SOURCE_CONFIG', `source ${name} is a MongoDB, whose positions are kept: ${way}`)
    }
    const positions = await options.forgetPositions(name)
    if (positions.length === 0 && !desired) known(name)
    return { positions }
  }

  return {
    async pause(name) {
      known(name)
      await service.setIntent(name, 'paused')
    },
    async resume(name) {
      known(name)
      await service.setIntent(name, 'running')
    },
    async restart(name) {
      known(name)
      await service.restart(name)
    },
    snapshot,
    resnapshot,
    remove,
    forget,
  }
}
