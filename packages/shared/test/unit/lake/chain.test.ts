import { describe, expect, it } from 'vitest'
import { ZERO_COUNTS } from '../../../src/core/books.ts'
import type { KafkaRecord } from '../../../src/core/record.ts'
import { BRONZE_COLUMNS, type BronzeBatch, bronzeRow, readBronzeRecords } from '../../../src/lake/bronze.ts'
import { type ChainFooter, formatChainFooter, listChain, readLink, walkChain } from '../../../src/lake/chain.ts'
import {
  type ChainId,
  chainKey,
  chainPrefix,
  droppedKey,
  mergedKey,
  parseChainKey,
} from '../../../src/lake/chain-names.ts'
import type { ObjectStore } from '../../../src/lake/object-store.ts'
import { writeParquet } from '../../../src/lake/parquet.ts'
import { createMemoryObjectStore } from '../../../src/testing/memory-object-store.ts'

const ID: ChainId = { layer: 'bronze', stream: 'flights', version: 1, topicId: 'topic-1', partition: 3 }
const record = (offset: number): KafkaRecord => ({
  offset,
  timestamp: 1_000 + offset,
  key: offset % 2 ? Buffer.from(`k${offset}`) : null,
  value: offset % 3 ? Buffer.from(`v${offset}`) : new Uint8Array(0),
  headers: [{ name: 'h', value: null }],
})

/** Writes [first, next) with a record at every offset but multiples of ten; `hole` has none. */
async function link(store: ObjectStore, first: number, next: number, change: Partial<ChainFooter> = {}): Promise<void> {
  const hole = change.kind === 'hole'
  const offsets = Array.from({ length: hole ? 0 : next - first }, (_, i) => first + i).filter(
    (offset) => offset % 10 !== 0,
  )
  const footer: ChainFooter = {
    ...ID,
    kind: 'records',
    firstOffset: first,
    nextOffset: next,
    rows: offsets.length,
    counts: ZERO_COUNTS,
    hash: '',
    highest: {},
    minEventTime: null,
    maxEventTime: null,
    ...change,
  }
  const rows = offsets.map((offset) => bronzeRow({ ...ID, offset }, record(offset)))
  const bytes = writeParquet({ columns: BRONZE_COLUMNS, rows, keyValues: formatChainFooter(footer) })
  await store.create(chainKey(ID, first), bytes)
}

async function chain(...ends: number[]): Promise<ObjectStore> {
  const store = createMemoryObjectStore()
  for (const [i, end] of ends.entries()) await link(store, i === 0 ? 0 : ends[i - 1]!, end)
  return store
}

async function collect<T>(source: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const one of source) all.push(one)
  return all
}

describe('chain names', () => {
  it('say layer, stream, version, topic, partition and first offset, and read back', () => {
    const silver: ChainId = { ...ID, layer: 'silver', version: 2 }
    expect(chainKey(ID, 42)).toBe('bronze/flights/topic-1/3/00000000000000000042.parquet')
    expect(chainKey(silver, 0)).toBe('silver/flights/v2/topic-1/3/00000000000000000000.parquet')
    expect(parseChainKey(chainKey(ID, 42))).toEqual({
      ...ID,
      key: chainKey(ID, 42),
      firstOffset: 42,
      nextOffset: null,
    })
    const far = Number.MAX_SAFE_INTEGER
    expect(parseChainKey(chainKey(silver, far))).toMatchObject({ ...silver, firstOffset: far, nextOffset: null })
    for (const key of [mergedKey(silver, 5, far), droppedKey(silver, 5, far)]) {
      expect(parseChainKey(key)).toEqual({ ...silver, key, firstOffset: 5, nextOffset: far })
    }
    for (const key of ['bundles/x/manifest.json', `${chainPrefix(ID)}42.parquet`, chainKey(ID, 0).slice(1)]) {
      expect(parseChainKey(key)).toBeNull()
    }
  })

  it('never make one key a folder of another', () => {
    expect(`${chainKey(ID, 0)}/`.startsWith(chainPrefix(ID))).toBe(true)
    expect(chainPrefix({ ...ID, partition: 1 }).startsWith(chainPrefix({ ...ID, partition: 11 }))).toBe(false)
    expect(chainKey(ID, 0).includes('.parquet/')).toBe(false)
  })
})

describe('walkChain', () => {
  it('ends at the last object, with and without a hint', async () => {
    const store = await chain(5, 12, 30)
    for (const hint of [undefined, 0, 5, 12]) {
      expect((await walkChain(store, ID, hint))?.footer).toMatchObject({ firstOffset: 12, nextOffset: 30 })
    }
  })

  it('finds an empty chain empty', async () => {
    expect(await walkChain(createMemoryObjectStore(), ID)).toBeNull()
  })

  it('is not misled by a partition whose number begins with the same digits', async () => {
    const store = await chain(5)
    expect(await walkChain(store, { ...ID, partition: 30 })).toBeNull()
  })

  it('refuses a hint whose object is gone', async () => {
    const store = await chain(5, 12)
    await expect(walkChain(store, ID, 7)).rejects.toMatchObject({ code: 'MESH_LAKE_CHAIN_BROKEN' })
  })
})

describe('listChain', () => {
  it('gives every object of a chain that tiles', async () => {
    const links = await collect(listChain(await chain(5, 12, 30), ID))
    expect(links.map(({ footer }) => [footer.firstOffset, footer.nextOffset])).toEqual([
      [0, 5],
      [5, 12],
      [12, 30],
    ])
  })

  it('names a gap, an overlap and a foreign object', async () => {
    const gap = await chain(5, 12, 30)
    await gap.delete(chainKey(ID, 5))
    const overlap = await chain(5, 12)
    await link(overlap, 3, 9)
    const foreign = await chain(5)
    await foreign.create(`${chainPrefix(ID)}notes.txt`, Buffer.from('x'))
    const late = createMemoryObjectStore()
    await link(late, 5, 12)
    for (const store of [gap, overlap, foreign, late]) {
      await expect(collect(listChain(store, ID))).rejects.toMatchObject({ code: 'MESH_LAKE_CHAIN_BROKEN' })
    }
  })

  it('refuses a footer that contradicts its name', async () => {
    for (const change of [
      { firstOffset: 1 },
      { nextOffset: 0 },
      { partition: 4 },
      { topicId: 'other' },
      { rows: 99 },
    ]) {
      const store = createMemoryObjectStore()
      await link(store, 0, 5, change)
      await expect(readLink(store, ID, 0)).rejects.toMatchObject({ code: 'MESH_LAKE_CHAIN_BROKEN' })
    }
  })
})

describe('readBronzeRecords', () => {
  const range = { stream: 'flights', topicId: 'topic-1', partition: 3 }
  const offsets = (batches: readonly BronzeBatch[]): number[] =>
    batches.flatMap(({ records }) => records.map((r) => r.offset))

  it('gives back the records as they were, in batches that tile the range', async () => {
    const store = await chain(5, 12, 30)
    const batches = await collect(readBronzeRecords(store, { ...range, from: 3, to: 25 }))
    expect(batches.map((b) => [b.firstOffset, b.nextOffset])).toEqual([
      [3, 5],
      [5, 12],
      [12, 25],
    ])
    const expected = Array.from({ length: 22 }, (_, i) => i + 3).filter((offset) => offset % 10 !== 0)
    expect(offsets(batches)).toEqual(expected)
    const plain = batches
      .flatMap((b) => b.records)
      .map((r) => ({ ...r, key: r.key && Buffer.from(r.key), value: r.value && Buffer.from(r.value) }))
    expect(plain).toEqual(expected.map(record).map((r) => ({ ...r, value: Buffer.from(r.value!) })))
    expect(batches[0]).toMatchObject({ topic: 'raw.flights.v1', topicId: 'topic-1', partition: 3, hole: false })
  })

  it('ends where the chain ends, and gives nothing above it', async () => {
    const store = await chain(5, 12)
    const batches = await collect(readBronzeRecords(store, { ...range, from: 0, to: 100 }))
    expect(batches.at(-1)?.nextOffset).toBe(12)
    expect(await collect(readBronzeRecords(store, { ...range, from: 12, to: 100 }))).toEqual([])
    expect(await collect(readBronzeRecords(createMemoryObjectStore(), { ...range, from: 0, to: 9 }))).toEqual([])
  })

  it('shows a hole', async () => {
    const store = createMemoryObjectStore()
    await link(store, 0, 40, { kind: 'hole', rows: 0 })
    await link(store, 40, 45)
    const batches = await collect(readBronzeRecords(store, { ...range, from: 10, to: 45 }))
    expect(batches.map((b) => [b.firstOffset, b.nextOffset, b.hole])).toEqual([
      [10, 40, true],
      [40, 45, false],
    ])
    expect(offsets(batches)).toEqual([41, 42, 43, 44])
  })
})
