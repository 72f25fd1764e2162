import type { StreamVersions } from '@mesh/shared/core/versions'
import type { Bundle } from '@mesh/shared/schema/port'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { createStreamDirectory, type LoadedDirectory } from '../../../src/adapters/stream-directory.ts'
import { contractOf, RAW_SCHEMA } from '../../support/gateway.ts'

const binding = (hash: string) => ({ hash, codeHash: hash, contractHash: hash, schemaId: 1, from: [0] }) as const
const version = (n: number, ...hashes: string[]): StreamVersions['versions'][number] => ({
  version: n,
  status: 'live',
  bundles: hashes.map(binding),
  start: [0],
  replay: null,
})
const stateOf = (stream: string, live: number, ...versions: StreamVersions['versions']): StreamVersions => ({
  stream,
  epoch: 0,
  live,
  rawTopicId: 'x',
  partitions: 3,
  versions,
  at: '2026-01-01T00:00:00Z',
})
const bundleOf = (hash: string): Bundle => ({
  hash,
  codeHash: hash,
  contractHash: hash,
  contract: contractOf('s', { description: hash, validateAtIngest: hash === 'checked' }),
  refinedAvsc: '{}',
  rawSchema: hash === 'checked' ? RAW_SCHEMA : null,
  sources: {},
  files: new Map(),
})
const asMap = (...states: StreamVersions[]): ReadonlyMap<string, StreamVersions> =>
  new Map(states.map((s) => [s.stream, s]))

describe('the stream directory', () => {
  let broken: Set<string>
  let loads: string[]
  let directory: LoadedDirectory
  beforeEach(() => {
    vi.useFakeTimers()
    broken = new Set()
    loads = []
    directory = createStreamDirectory({
      getBundle: async (hash) => {
        loads.push(hash)
        if (broken.has(hash)) throw new Error('no lake')
        return bundleOf(hash)
      },
      onLoaded: () => {},
      onFailing: () => {},
      retryMs: 1000,
    })
  })
  afterEach(async () => {
    await directory.stop()
    vi.useRealTimers()
  })
  const served = (name: string): string => {
    const found = directory.find(name)
    return found.kind === 'found' ? found.stream.contract.description : found.kind
  }

  test('before mesh.versions was read no stream is called unknown', async () => {
    expect(served('s')).toBe('starting')
    await directory.update(asMap())
    expect(served('s')).toBe('missing')
  })

  test('it serves the newest bundle of the live version and follows changes without loading what it has', async () => {
    await directory.update(asMap(stateOf('s', 1, version(1, 'a', 'b'), version(2, 'c'))))
    expect(served('s')).toBe('b')
    await directory.update(asMap(stateOf('s', 1, version(1, 'a', 'b'), version(2, 'c'))))
    await directory.update(asMap(stateOf('s', 2, version(1, 'a', 'b'), version(2, 'c'))))
    expect(served('s')).toBe('c')
    expect(loads).toEqual(['b', 'c'])
    await directory.update(asMap())
    expect(served('s')).toBe('missing')
  })

  test('a bundle that cannot be loaded is tried again; until then the one before is served', async () => {
    broken.add('b')
    await directory.update(asMap(stateOf('s', 1, version(1, 'b')), stateOf('t', 1, version(1, 'a'))))
    expect([served('s'), served('t')]).toEqual(['starting', 'a'])
    expect(directory.state()).toEqual({ caughtUp: true, failing: { s: 'no lake' } })
    broken.clear()
    await vi.advanceTimersByTimeAsync(1000)
    expect([served('s'), directory.state().failing]).toEqual(['b', {}])
    broken.add('d')
    await directory.update(asMap(stateOf('s', 1, version(1, 'b', 'd')), stateOf('t', 1, version(1, 'a'))))
    expect(served('s')).toBe('b')
  })

  test('raw.schema.json is compiled where the contract has it checked here', async () => {
    await directory.update(asMap(stateOf('s', 1, version(1, 'checked'))))
    const found = directory.find('s')
    expect(found.kind === 'found' && found.stream.check !== null).toBe(true)
  })
})
