import { expect, test } from 'vitest'
import { createKeyTable, type KeyTable } from '../../../../src/core/key-table.ts'
import { createSweep } from '../../../../src/core/poll/sweep.ts'

const DAY = 86_400_000
const table = (): KeyTable => createKeyTable(new Map(), 100)

test('a key is gone after two runs in a row without it, and told once', () => {
  const sweep = createSweep(table(), DAY)
  for (const key of ['a', 'b']) sweep.see(key, 0)
  const found: string[][] = [sweep.vanished(0, 0)]
  for (const run of [1, 2, 3]) {
    sweep.see('a', run)
    found.push(sweep.vanished(run, run))
  }
  expect(found).toEqual([[], [], ['b'], []])
})

test('a key that every second run misses is never gone', () => {
  const sweep = createSweep(table(), DAY)
  for (let run = 0; run < 20; run++) {
    if (run % 2 === 0) sweep.see('a', run)
    expect(sweep.vanished(run, run)).toEqual([])
  }
})

test('what comes back after its delete is of another generation, also over a restart, and keeps it while it is there', () => {
  const keys = table()
  const sweep = createSweep(keys, DAY)
  sweep.see('a', 0)
  expect(sweep.generation('a')).toBe('')
  sweep.vanished(1, 1)
  expect(sweep.vanished(2, 2)).toEqual(['a'])
  const restarted = createSweep(createKeyTable(keys.takeChanged(), 100), DAY)
  expect(restarted.generation('a')).toBe('~2')
  for (const run of [3, 4]) {
    restarted.see('a', run)
    expect(restarted.vanished(run, run)).toEqual([])
    expect(restarted.generation('a')).toBe('~2')
  }
  restarted.vanished(5, 5)
  expect(restarted.vanished(6, 6)).toEqual(['a'])
  expect(restarted.generation('a')).toBe('~6')
})

test('what is gone is forgotten when its event ids are', () => {
  const keys = table()
  const sweep = createSweep(keys, DAY)
  sweep.see('a', 0)
  sweep.vanished(2, 0)
  sweep.vanished(3, DAY - 1)
  expect(keys.size()).toBe(1)
  sweep.vanished(4, DAY)
  expect(keys.size()).toBe(0)
  expect(sweep.generation('a')).toBe('')
})
