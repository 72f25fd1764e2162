import { BRONZE_COLUMNS } from '@mesh/shared/lake/bronze'
import { formatChainFooter, readLink } from '@mesh/shared/lake/chain'
import { chainKey, mergedKey } from '@mesh/shared/lake/chain-names'
import { readParquetRows, writeParquet } from '@mesh/shared/lake/parquet'
import { expect, it } from 'vitest'
import { BRONZE_ID, BRONZE_TASK, rawRecords, readBronze } from './streams.ts'
import { createWorld, runProcess, startProcess, type World } from './world.ts'

const LARGE = { maxRows: 1_000, maxBytes: 1e9, maxAgeMs: 1e9 }

/** What compaction leaves of [0,4) and [4,8): one object, and later on no parts. */
async function merge(world: World): Promise<void> {
  const parts = [chainKey(BRONZE_ID, 0), chainKey(BRONZE_ID, 4)]
  const last = (await readLink(world.objects, BRONZE_ID, 4))!.footer
  const rows: unknown[][] = []
  for (const key of parts) {
    for (const row of await readParquetRows((await world.objects.get(key))!)) {
      rows.push(BRONZE_COLUMNS.map(({ name }) => row[name]))
    }
  }
  const footer = { ...last, firstOffset: 0, rows: rows.length, merged: { at: 1, objects: 2 } }
  const content = writeParquet({ columns: BRONZE_COLUMNS, rows, keyValues: formatChainFooter(footer) })
  await world.objects.create(mergedKey(BRONZE_ID, 0, 8), content)
  for (const key of parts) await world.objects.delete(key)
}

it('a group offset that names an object which was merged and deleted still leads to the end of the chain', async () => {
  const world = createWorld(rawRecords(12))
  await runProcess({ ...world, highWatermark: 10 }, { task: BRONZE_TASK, limits: { ...LARGE, maxRows: 4 } })
  world.committed = { offset: 8, metadata: JSON.stringify({ v: 1, object: chainKey(BRONZE_ID, 4), firstOffset: 4 }) }
  await merge(world)
  expect(await runProcess(world, { task: BRONZE_TASK, limits: LARGE })).toBe(true)
  const { footers, offsets } = await readBronze(world)
  expect(footers.map(({ firstOffset, nextOffset }) => [firstOffset, nextOffset])).toEqual([
    [0, 8],
    [8, 10],
    [10, 12],
  ])
  expect(offsets).toEqual(world.records.map(({ offset }) => offset))
})

it('a writer that slept while its names were merged and deleted writes what nobody reads', async () => {
  const world = createWorld(rawRecords(10))
  const zombie = startProcess({ ...world }, { task: BRONZE_TASK, limits: LARGE, batch: 7 })
  await zombie.assign()
  await zombie.step()
  await runProcess(world, { task: BRONZE_TASK, limits: { ...LARGE, maxRows: 4 } })
  await merge(world)
  await zombie.close()
  expect(await world.objects.size(chainKey(BRONZE_ID, 0))).not.toBeNull()
  world.committed = null
  await runProcess(world, { task: BRONZE_TASK, limits: LARGE })
  const { footers, offsets } = await readBronze(world)
  expect(footers.map(({ nextOffset }) => nextOffset)).toEqual([8, 10])
  expect(offsets).toEqual(world.records.map(({ offset }) => offset))
})
