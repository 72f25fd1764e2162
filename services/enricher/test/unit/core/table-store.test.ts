import { mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openSqliteTableStore } from '../../../src/adapters/sqlite-table-store.ts'
import { createMemoryTableStore, type TableRow, type TableStore } from '../../../src/core/table-store.ts'
import { seeded } from '../../seeded.ts'

let root: string
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'tables-'))
})
afterAll(() => rmSync(root, { recursive: true, force: true }))

const pathOf = (): string => join(mkdtempSync(join(root, 't-')), 'table.db')
const openAt = (path: string, historyMs: number | null = null, identity = 'topic-1'): TableStore =>
  openSqliteTableStore({ path, identity, historyMs, cacheBytes: 100_000 })

/** The suite of the port. */
const STORES: [name: string, open: (historyMs: number | null) => TableStore][] = [
  ['in memory', createMemoryTableStore],
  ['on disk', (historyMs) => openAt(pathOf(), historyMs)],
]

const valueOf = (text: string): Uint8Array => Uint8Array.from([0, 0, 0, 0, 1, ...Buffer.from(text)])
const row = (key: string, offset: number, value: string | null, validFromMs = offset): TableRow => ({
  key,
  src: `main;raw-1;0;${offset};0`,
  validFromMs,
  value: value === null ? null : valueOf(value),
})

function put(store: TableStore, ...rows: readonly TableRow[]): void {
  const next = Math.max(0, ...rows.map(({ src }) => Number(src.split(';')[3]))) + 1
  store.apply({ partition: 0, nextOffset: next, rows, highest: { 'main;raw-1;0': { offset: next - 1, index: 0 } } })
}
const textOf = (found: TableRow | null): string | null =>
  found === null ? null : Buffer.from(found.value!.subarray(5)).toString()

describe.each(STORES)('table store %s', (_name, open) => {
  test('holds the last row of each key; a delete removes it', () => {
    const store = open(null)
    put(store, row('a', 1, 'one'), row('b', 2, 'two'), row('a', 3, 'three'), row('c', 4, 'four'), row('c', 5, null))
    expect(['a', 'b', 'c', 'd'].map((key) => textOf(store.latest(key)))).toEqual(['three', 'two', null, null])
    expect(store.latest('a')).toMatchObject({ src: 'main;raw-1;0;3;0', validFromMs: 3 })
    expect(store.size()).toBe(2)
    expect(store.positions()).toEqual(new Map([[0, 6]]))
    expect(store.highest()).toEqual({ 'main;raw-1;0': { offset: 5, index: 0 } })
  })

  test('with a history a row holds from its time on, and a delete does too', () => {
    const store = open(1000)
    put(store, row('a', 1, 'one', 100), row('a', 2, 'two', 200), row('a', 3, null, 300), row('a', 4, 'four', 400))
    expect([99, 100, 199, 200, 299, 300, 399, 400, 9000].map((at) => textOf(store.asOf('a', at).row))).toEqual([
      null,
      'one',
      'one',
      'two',
      'two',
      null,
      null,
      'four',
      'four',
    ])
    expect(textOf(store.latest('a'))).toBe('four')
  })

  test('versions may come late, and of two with one time the later coordinate holds', () => {
    const store = open(1000)
    put(store, row('a', 1, 'one', 300), row('a', 2, 'two', 100), row('a', 4, 'four', 200), row('a', 3, 'three', 200))
    expect([100, 200, 300].map((at) => textOf(store.asOf('a', at).row))).toEqual(['two', 'four', 'one'])
    expect(textOf(store.latest('a'))).toBe('one')
    expect(store.size()).toBe(3)
  })

  test('what the history no longer covers goes; a lookup before it takes the oldest row and says so', () => {
    const store = open(100)
    put(store, row('a', 1, 'one', 1000), row('a', 2, 'two', 1050), row('b', 3, 'bee', 1000))
    put(store, row('a', 4, 'four', 1200))
    expect(store.size()).toBe(3)
    expect(store.asOf('a', 1120)).toMatchObject({ row: { src: 'main;raw-1;0;2;0' }, beyond: false })
    expect(store.asOf('a', 900)).toMatchObject({ row: { src: 'main;raw-1;0;2;0' }, beyond: true })
    expect(store.asOf('b', 1190)).toMatchObject({ row: { src: 'main;raw-1;0;3;0' }, beyond: false })
    expect(store.asOf('never', 900)).toEqual({ row: null, beyond: true })
    expect(store.asOf('a', 1100)).toMatchObject({ beyond: false })
  })

  test('decides as a list of all versions does, in whatever order they come', () => {
    for (let seed = 1; seed <= 8; seed++) {
      const random = seeded(seed)
      const store = open(100_000)
      const all: TableRow[] = []
      for (let offset = 0; offset < 40; offset++) {
        const value = random.chance(0.2) ? null : `v${offset}`
        const one = row(`k${random.below(4)}`, offset, value, random.below(30))
        all.push(one)
        put(store, one)
      }
      for (let at = 0; at < 30; at++) {
        for (let k = 0; k < 4; k++) {
          const held = all.filter(({ key, validFromMs }) => key === `k${k}` && validFromMs <= at)
          const time = Math.max(...held.map(({ validFromMs }) => validFromMs))
          const expected = held.findLast(({ validFromMs }) => validFromMs === time) ?? null
          const found = store.asOf(`k${k}`, at).row
          expect(textOf(found), `seed ${seed}`).toBe(expected?.value == null ? null : textOf(expected))
        }
      }
      store.close()
    }
  })

  test('clear forgets rows, positions and times', () => {
    const store = open(100)
    put(store, row('a', 1, 'one', 5000))
    store.clear()
    expect([store.size(), store.positions().size, store.latest('a'), store.highest()]).toEqual([0, 0, null, {}])
    put(store, row('a', 1, 'one', 10))
    expect(store.asOf('a', 10)).toMatchObject({ beyond: false })
  })
})

describe('table store on disk', () => {
  test('opens again with rows, positions, history and schemas', () => {
    const path = pathOf()
    const first = openAt(path, 100)
    put(first, row('a', 1, 'one', 1000), row('a', 2, 'two', 1010))
    first.close()
    const again = openAt(path, 100)
    expect(textOf(again.asOf('a', 1005).row)).toBe('one')
    expect(again.asOf('a', 900).beyond).toBe(true)
    expect([again.size(), again.positions(), again.schemaIds()]).toEqual([2, new Map([[0, 3]]), [1]])
    expect(again.savedAtMs()).not.toBeNull()
    again.close()
  })

  test.each([
    ['of another topic', (path: string) => openAt(path, null, 'topic-2')],
    ['with another history', (path: string) => openAt(path, 5)],
  ])('a file %s is begun anew', (_name, open) => {
    const path = pathOf()
    const first = openAt(path)
    put(first, row('a', 1, 'one'))
    first.close()
    const again = open(path)
    expect([again.size(), again.positions().size]).toEqual([0, 0])
    again.close()
  })

  test.each([
    ['garbage', (path: string) => writeFileSync(path, Buffer.alloc(20_000, 3))],
    ['cut short', (path: string) => truncateSync(path, statSync(path).size - 5000)],
    ['empty', (path: string) => truncateSync(path, 0)],
  ])('a file that is %s is begun anew', (_name, damage) => {
    const path = pathOf()
    const first = openAt(path)
    put(first, ...Array.from({ length: 300 }, (_, i) => row(`k${i}`, i, 'x'.repeat(50))))
    first.close()
    damage(path)
    const again = openAt(path)
    expect([again.size(), again.positions().size]).toEqual([0, 0])
    put(again, row('a', 1, 'one'))
    expect(textOf(again.latest('a'))).toBe('one')
    again.close()
  })

  test('a row whose bytes have changed is never handed out: the file goes, and the next start begins anew', () => {
    const path = pathOf()
    const first = openAt(path)
    put(first, row('a', 1, 'original value'))
    first.close()
    const bytes = readFileSync(path)
    bytes.write('0riginal', bytes.indexOf('original'))
    writeFileSync(path, bytes)
    const again = openAt(path)
    expect(() => again.latest('a')).toThrow(expect.objectContaining({ code: 'MESH_STATE_DAMAGED' }))
    const anew = openAt(path)
    expect(anew.positions().size).toBe(0)
    anew.close()
  })

  test('a second process is told that the folder is not its own, and harms nothing', () => {
    const path = pathOf()
    const first = openAt(path)
    put(first, row('a', 1, 'one'))
    expect(() => openAt(path)).toThrow(expect.objectContaining({ code: 'MESH_STATE_IN_USE' }))
    expect(textOf(first.latest('a'))).toBe('one')
    first.close()
  })
})
