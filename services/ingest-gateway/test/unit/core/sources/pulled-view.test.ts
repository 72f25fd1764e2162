import type { MongodbSource } from '@mesh/shared/core/source'
import { describe, expect, test } from 'vitest'
import { pulledSources } from '../../../../src/core/source-id.ts'
import type { SourceStatus } from '../../../../src/core/source-status.ts'
import { withReaders } from '../../../../src/core/sources/pulled-view.ts'
import type { SourceReport } from '../../../../src/core/sources/source-types.ts'

const REPORT: SourceReport = {
  source: 'crm',
  kind: 'mongodb',
  state: 'starting',
  streams: ['people', 'orders'],
  problems: [],
  connector: null,
  tables: [],
  lagBytes: null,
  restarts: 0,
  at: '2026-01-01T00:00:00.000Z',
}
const status = (state: SourceStatus['state'], error?: SourceStatus['error']): SourceStatus => ({
  kind: 'cdc',
  stream: 'people',
  state,
  leads: true,
  since: '',
  lastOk: null,
  cursor: null,
  ...(error ? { error } : {}),
})
const LOST = { code: 'MESH_SOURCE_TOKEN_LOST', message: 'lost', hint: 'resnapshot' }

describe('the report of a source that the gateway reads itself', () => {
  test('fails with its first failing reader, and has its way out', () => {
    const readers = { 'crm/people': status('running'), 'crm/orders': status('failing', LOST) }
    expect(withReaders(REPORT, readers)).toMatchObject({ state: 'failed', problems: [LOST] })
  })

  test('runs where one reader runs, waits where none does', () => {
    const running = { 'crm/people': status('running'), 'crm/orders': status('waiting') }
    expect(withReaders(REPORT, running).state).toBe('running')
    expect(withReaders(REPORT, { 'crm/people': status('waiting') }).state).toBe('waiting')
  })

  test('is what an operator has made of it', () => {
    expect(withReaders(REPORT, { 'crm/people': status('paused') }).state).toBe('paused')
    expect(withReaders(REPORT, { 'crm/people': status('deleted') }).state).toBe('deleted')
  })

  test('is left alone where the readers are of other sources, or of none', () => {
    expect(withReaders(REPORT, { 'crm-eu/people': status('failing', LOST) })).toBe(REPORT)
    expect(withReaders(REPORT, {})).toBe(REPORT)
  })
})

test('a MongoDB is pulled by the gateway only where its reader is the driver', () => {
  const ingest = [{ kind: 'cdc', source: 'crm', table: 'crm.people' }] as const
  const source: MongodbSource = {
    name: 'crm',
    description: '',
    owner: '',
    kind: 'mongodb',
    url: 'env:CRM_URL',
    reader: 'driver',
  }
  const pulled = (reader: MongodbSource['reader']): unknown =>
    pulledSources({ name: 'people', ingest }, { crm: { ...source, reader } })
  expect(pulled('driver')).toEqual([{ id: 'people/crm/cdc:crm.people', label: 'crm/people', ingest: ingest[0] }])
  expect(pulled('connect')).toEqual([])
})
