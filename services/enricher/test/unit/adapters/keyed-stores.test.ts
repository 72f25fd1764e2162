import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { createSqliteKeyedStore, openKeyedState, retainKeyedStates } from '../../../src/adapters/keyed-stores.ts'
import { createKeyedState, createMemoryKeyedStore, type KeyedStore } from '../../../src/core/keyed-state.ts'

const dir = mkdtempSync(join(tmpdir(), 'keyed-'))
afterAll(() => rmSync(dir, { recursive: true, force: true }))

let files = 0
const stores: readonly (readonly [string, () => { open: () => KeyedStore }])[] = [
  [
    'SQLite',
    () => {
      const file = join(dir, `${files++}.sqlite`)
      return { open: () => createSqliteKeyedStore(file) }
    },
  ],
  [
    'memory',
    () => {
      const store = createMemoryKeyedStore()
      return { open: () => store }
    },
  ],
]

describe.each(stores)('keyed state in %s', (_name, place) => {
  test('keeps what was sealed before the commit, and nothing that came after', () => {
    const { open } = place()
    const state = createKeyedState(open())
    state.set('a', '1')
    state.set('ключ\0"', 'line\nline')
    state.seal(10)
    state.set('a', '2')
    state.set('b', '3')
    expect([state.get('a'), state.get('b'), state.at()]).toEqual(['2', '3', 0])
    state.keep()
    const after = createKeyedState(open())
    expect([after.get('a'), after.get('b'), after.get('ключ\0"'), after.at()]).toEqual(['1', null, 'line\nline', 10])
  })

  test('what was never committed is not there', () => {
    const { open } = place()
    const state = createKeyedState(open())
    state.set('a', '1')
    state.seal(5)
    const after = createKeyedState(open())
    expect([after.get('a'), after.at()]).toEqual([null, 0])
  })

  test('two seals before one commit are kept together', () => {
    const { open } = place()
    const state = createKeyedState(open())
    state.set('a', '1')
    state.seal(5)
    state.set('a', '2')
    state.seal(6)
    state.keep()
    state.keep()
    expect([createKeyedState(open()).get('a'), state.at()]).toEqual(['2', 6])
  })

  test('a write moves the position even without keys, and a clear forgets both', () => {
    const { open } = place()
    const state = createKeyedState(open())
    state.set('a', '1')
    state.seal(5)
    state.keep()
    state.seal(9)
    state.keep()
    expect(state.at()).toBe(9)
    state.clear()
    const after = createKeyedState(open())
    expect([after.get('a'), after.at()]).toEqual([null, 0])
    state.close()
  })
})

test('the histories of retired versions and of streams that are gone leave the disk; a folder that is not there is nothing', () => {
  const root = join(dir, 'retained')
  retainKeyedStates(root, [])
  for (const [stream, version] of [
    ['orders', 1],
    ['orders', 2],
    ['gone', 1],
  ] as const) {
    openKeyedState(root, { stream, version, rawTopicId: 'raw', partition: 0 }).close()
  }
  retainKeyedStates(root, [{ stream: 'orders', version: 2 }])
  expect(readdirSync(root)).toEqual(['orders.v2'])
  expect(readdirSync(join(root, 'orders.v2'))).toContain('raw-0.sqlite')
})
