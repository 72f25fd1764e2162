import { isMeshError } from '@mesh/shared/core/errors'
import type { MongodbSource } from '@mesh/shared/core/source'
import { describe, expect, test } from 'vitest'
import type { ConnectRest } from '../../src/adapters/sources/connect-rest.ts'
import type { SourceDatabase } from '../../src/core/sources/ports.ts'
import type { DesiredSource } from '../../src/core/sources/source-types.ts'
import type { AskForDocuments } from '../../src/document-snapshots.ts'
import { createSourceOperations, type SourceOperations } from '../../src/source-operations.ts'
import type { SourceService } from '../../src/source-service.ts'

/** What is done to a MongoDB, in its order; `reader` says by whom it is read. */
function world(reader: MongodbSource['reader']): { operations: SourceOperations; done: string[] } {
  const done: string[] = []
  const source: MongodbSource = { name: 'crm', description: '', owner: '', kind: 'mongodb', url: 'env:CRM_URL', reader }
  const desired: DesiredSource = {
    source,
    uses: [
      { stream: 'people', rawTopic: 'raw.people.v1', ingest: { kind: 'cdc', source: 'crm', table: 'crm.people' } },
    ],
    problems: [],
  }
  const service = {
    find: (name: string) => (name === 'crm' ? desired : undefined),
    view: () => ({ connectWanted: true, leader: true, sources: [], audits: [] }),
    setIntent: async (_name: string, intent: string) => void done.push(`intent ${intent}`),
    restart: async () => void done.push('restart'),
    forget: async (name: string) => void done.push(`drop ${name}`),
  } as Partial<SourceService> as SourceService
  const connect = {
    status: async (name: string) => (name === 'mesh-crm' ? { config: {}, state: 'STOPPED', tasks: [] } : null),
    stop: async (name: string) => void done.push(`stop ${name}`),
    resetOffsets: async (name: string) => void done.push(`reset ${name}`),
  } as Partial<ConnectRest> as ConnectRest
  const documents = async (name: string, { collection, anew }: AskForDocuments): Promise<string[]> => {
    if (collection !== null && collection !== 'crm.people') return []
    done.push(`documents of ${name}${anew ? ' anew' : ''}`)
    return ['crm.people']
  }
  const database = {} as SourceDatabase
  const forgetPositions = async (name: string): Promise<string[]> => {
    if (name === 'never') return []
    done.push(`forget ${name}`)
    return [`people/${name}/cdc:crm.people`]
  }
  return {
    operations: createSourceOperations({ service, connect, database, documents, freshId: () => 'id', forgetPositions }),
    done,
  }
}

async function refusal(work: Promise<unknown>): Promise<string> {
  const error: unknown = await work.catch((thrown: unknown) => thrown)
  return isMeshError(error) ? `${error.code} ${error.message}` : 'accepted'
}

describe('a MongoDB that the gateway reads', () => {
  test('is asked for its documents, beside the changes or anew', async () => {
    const { operations, done } = world('driver')
    expect(await operations.snapshot('crm', null)).toEqual({ tables: ['crm.people'] })
    await operations.resnapshot('crm')
    expect(done).toEqual(['documents of crm', 'documents of crm anew', 'intent running'])
    expect(await refusal(operations.snapshot('crm', 'crm.other'))).toContain('MESH_SOURCE_TABLE_UNKNOWN')
  })

  test('is not forgotten: its documents are read again by another command', async () => {
    expect(await refusal(world('driver').operations.forget('crm'))).toContain('mesh sources resnapshot')
  })

  test('is paused, resumed, restarted and deleted like any other source, and Connect is not asked', async () => {
    const { operations, done } = world('driver')
    await operations.pause('crm')
    await operations.resume('crm')
    await operations.restart('crm')
    expect(await operations.remove('crm')).toEqual({ positions: ['people/crm/cdc:crm.people'] })
    // What is deleted must be known before its reader is fenced: else it would begin anew.
    expect(done).toEqual(['intent paused', 'intent running', 'restart', 'intent deleted', 'forget crm'])
  })

  test('that no stream names any more is deleted where it has a position, and what was asked of it is forgotten', async () => {
    const { operations, done } = world('driver')
    expect(await operations.remove('old')).toEqual({ positions: ['people/old/cdc:crm.people'] })
    expect(done).toEqual(['forget old', 'drop old'])
    expect(await refusal(operations.remove('never'))).toContain('MESH_SOURCE_UNKNOWN')
    expect(await refusal(operations.pause('old'))).toContain('MESH_SOURCE_UNKNOWN')
  })
})

describe('a MongoDB that Debezium reads', () => {
  test('begins anew without its offsets, once nothing of it runs', async () => {
    const { operations, done } = world('connect')
    await operations.resnapshot('crm')
    expect(done).toEqual(['intent paused', 'stop mesh-crm', 'reset mesh-crm', 'intent running'])
  })

  test('has no snapshot beside the changes', async () => {
    expect(await refusal(world('connect').operations.snapshot('crm', null))).toContain('not postgres')
  })
})
