import { MeshError } from '@mesh/shared/core/errors'
import type { PostgresSource } from '@mesh/shared/core/source'
import { describe, expect, it } from 'vitest'
import type { ConnectRest } from '../../src/adapters/sources/connect-rest.ts'
import type { ConnectorStatus } from '../../src/core/sources/connector-actions.ts'
import type { PreparedDatabase, SourceDatabase } from '../../src/core/sources/ports.ts'
import type { DesiredSource, Intent, SourceReport, Wish } from '../../src/core/sources/source-types.ts'
import { createSourceReconciler } from '../../src/source-reconciler.ts'

const SHOP: PostgresSource = {
  name: 'shop',
  description: '',
  owner: '',
  kind: 'postgres',
  host: 'h',
  port: '5432',
  database: 'd',
  user: 'u',
  password: null,
  ssl: 'prefer',
  publication: 'managed',
  signalSchema: 'mesh',
  snapshot: 'initial',
  heartbeatMs: 1000,
}
const DESIRED: DesiredSource = {
  source: SHOP,
  uses: [
    { stream: 'a', rawTopic: 'raw.a.v1', ingest: { kind: 'cdc', source: 'shop', table: 'public.a' } },
    { stream: 'b', rawTopic: 'raw.b.v1', ingest: { kind: 'cdc', source: 'shop', table: 'public.b' } },
  ],
  problems: [],
}

/** Connect and a database as the reconciler sees them, with everything it does to them. */
function world(intent: Intent = 'running') {
  let restartedAt: Wish['restartedAt'] = null
  const done: string[] = []
  let now = 1_000_000
  let connector: ConnectorStatus | null = null
  let offset: Record<string, unknown> | null = null
  let prepared: PreparedDatabase | MeshError = {
    tables: ['public.a', 'public.b'],
    reports: [],
    problems: [],
    slot: { active: true, lost: false, lagBytes: 7 },
  }
  let whileAsked: () => void = () => undefined
  const change = (state: string) => (name: string) => {
    done.push(`${state} ${name}`)
    connector = connector && { ...connector, state }
    return Promise.resolve()
  }
  const connect: ConnectRest = {
    names: () => Promise.resolve(connector ? ['mesh-shop'] : []),
    status() {
      whileAsked()
      return Promise.resolve(connector)
    },
    put(name, config) {
      done.push(`put ${name} ${config['table.include.list']}`)
      connector = { config, state: 'RUNNING', tasks: [{ id: 0, state: 'RUNNING', trace: null }] }
      return Promise.resolve()
    },
    pause: change('PAUSED'),
    resume: change('RUNNING'),
    stop: change('STOPPED'),
    restart(name, which) {
      done.push(`restart ${name} ${which}`)
      return Promise.resolve()
    },
    remove: () => Promise.resolve(),
    offset: () => Promise.resolve(offset),
    resetOffsets: () => Promise.resolve(),
  }
  const database: SourceDatabase = {
    prepare: () => (prepared instanceof MeshError ? Promise.reject(prepared) : Promise.resolve(prepared)),
    note: (_source, tables) => Promise.resolve(void done.push(`note ${tables.join(' ')}`)),
    snapshotNew: (_source, tables) => Promise.resolve(void done.push(`snapshotNew ${tables.join(' ')}`)),
    snapshot: () => Promise.resolve(),
    drop: () => Promise.resolve(),
  }
  const reconciler = createSourceReconciler({ connect, database, onAction: () => undefined, now: () => now })
  return {
    done,
    round: async (desired: readonly DesiredSource[] = [DESIRED]): Promise<SourceReport[]> =>
      reconciler.round(desired, () => ({ intent, restartedAt })),
    pass: (ms: number) => (now += ms),
    intend: (to: Intent) => (intent = to),
    /** What an operation does to the connector while a round is looking at it. */
    haltWhileAsked: (to: Intent) => {
      whileAsked = () => {
        intent = to
        connector = connector && { ...connector, state: 'STOPPED', tasks: [] }
      }
    },
    askRestart: (at: string) => (restartedAt = at),
    fail: (trace: string) => {
      connector = connector && { ...connector, tasks: [{ id: 0, state: 'FAILED', trace }] }
    },
    setOffset: (to: Record<string, unknown>) => (offset = to),
    setPrepared: (to: PreparedDatabase | MeshError) => (prepared = to),
  }
}

describe('the reconciler of sources', () => {
  it('notes the tables, creates the connector, and then leaves it alone', async () => {
    const { done, round } = world()
    expect((await round())[0]?.state).toBe('starting')
    expect((await round())[0]).toMatchObject({ state: 'running', lagBytes: 7, streams: ['a', 'b'] })
    await round()
    expect(done).toEqual(['note public.a public.b', 'put mesh-shop public\\.a,public\\.b'])
  })

  it('reads tables that came later once the connector has settled', async () => {
    const { done, round, pass } = world()
    await round()
    await round()
    pass(20_000)
    await round()
    expect(done.at(-1)).toBe('snapshotNew public.a public.b')
  })

  it('captures what can be captured beside a table in trouble', async () => {
    const { done, round, setPrepared } = world()
    const problems = [new MeshError('MESH_SOURCE_TABLE_NO_KEY', 'public.b has no primary key')]
    setPrepared({ tables: ['public.a'], reports: [], problems, slot: null })
    await round()
    const [report] = await round()
    expect(done.at(-1)).toBe('put mesh-shop public\\.a')
    expect([report?.state, report?.problems[0]?.code]).toEqual(['running', 'MESH_SOURCE_TABLE_NO_KEY'])
  })

  it('asks a database in trouble again with growing pauses, and starts no connector', async () => {
    const { done, round, pass, setPrepared } = world()
    let asked = 0
    const auth = new MeshError('MESH_SOURCE_AUTH', 'password authentication failed')
    Object.defineProperty(auth, 'status', { get: () => (asked++, 500) })
    setPrepared(auth)
    for (let i = 0; i < 100; i++) {
      const [report] = await round()
      expect([report?.state, report?.problems[0]?.code]).toEqual(['failed', 'MESH_SOURCE_AUTH'])
      pass(1000)
    }
    // 5 s, 10 s, 20 s, 40 s apart within 100 s.
    expect(asked).toBe(5)
    expect(done).toEqual([])
  })

  it('tries a source that was mended in its file at once', async () => {
    const { round, setPrepared } = world()
    setPrepared(new MeshError('MESH_SOURCE_AUTH', 'password authentication failed'))
    expect((await round())[0]?.state).toBe('failed')
    setPrepared({ tables: ['public.a', 'public.b'], reports: [], problems: [], slot: null })
    expect((await round())[0]?.state).toBe('failed')
    const mended = { ...DESIRED, source: { ...DESIRED.source, description: 'with another user' } } as DesiredSource
    expect((await round([mended]))[0]?.state).toBe('starting')
  })

  it('stops a connector whose slot is gone, and does not start it again', async () => {
    const { done, round, setPrepared, setOffset } = world()
    await round()
    setOffset({ lsn: 5 })
    setPrepared({ tables: ['public.a', 'public.b'], reports: [], problems: [], slot: null })
    for (let i = 0; i < 3; i++) {
      const [report] = await round()
      expect([report?.state, report?.problems[0]?.code]).toEqual(['failed', 'MESH_SOURCE_SLOT_LOST'])
    }
    expect(done.slice(2)).toEqual(['STOPPED mesh-shop'])
  })

  it('starts a failed task again with growing pauses and tells its cause', async () => {
    const { done, round, pass, fail } = world()
    await round()
    fail('org.x.ConnectException: outer\nCaused by: java.io.IOException: broken pipe')
    const [report] = await round()
    expect(report).toMatchObject({ state: 'failed', restarts: 1 })
    expect(report?.problems).toMatchObject([{ code: 'MESH_SOURCE_TASK_FAILED', message: 'source shop: broken pipe' }])
    for (let i = 0; i < 60; i++) {
      pass(1000)
      await round()
    }
    // At 0, 2, 6, 14 and 30 s.
    expect(done.filter((step) => step.startsWith('restart'))).toHaveLength(5)
  })

  it('restarts all tasks once where it is asked to, and not again where another leader has seen to it', async () => {
    const { done, round, askRestart } = world()
    await round()
    askRestart('2026-01-01T00:00:00.000Z')
    for (let i = 0; i < 3; i++) await round()
    expect(done.slice(2)).toEqual(['restart mesh-shop all'])
    const next = world()
    next.askRestart('2026-01-01T00:00:00.000Z')
    for (let i = 0; i < 3; i++) await next.round()
    expect(next.done.slice(2)).toEqual([])
  })

  it('asks a source in trouble at once where a restart is asked for', async () => {
    const { round, setPrepared, askRestart } = world()
    setPrepared(new MeshError('MESH_SOURCE_AUTH', 'password authentication failed'))
    expect((await round())[0]?.state).toBe('failed')
    setPrepared({ tables: ['public.a', 'public.b'], reports: [], problems: [], slot: null })
    askRestart('2026-01-01T00:00:00.000Z')
    expect((await round())[0]?.state).toBe('starting')
  })

  it('pauses what nobody asks for any more, and deletes nothing', async () => {
    const { done, round } = world()
    await round()
    const [report] = await round([])
    expect(report).toMatchObject({ source: 'shop', state: 'orphaned', kind: 'postgres' })
    await round([])
    expect(done.slice(2)).toEqual(['PAUSED mesh-shop'])
  })

  it.each(['paused', 'deleted'] as const)('does not start what is being stopped while it looks: %s', async (to) => {
    const { done, round, haltWhileAsked } = world()
    await round()
    await round()
    haltWhileAsked(to)
    await round()
    await round()
    expect(done.slice(2)).toEqual([])
  })

  it('leaves a deleted source alone', async () => {
    const { done, round, intend } = world('deleted')
    expect((await round())[0]?.state).toBe('deleted')
    expect(done).toEqual([])
    intend('running')
    await round()
    expect(done).toHaveLength(2)
  })
})
