import { type RecordToSend, textBytes } from '@mesh/shared/core/record'
import { describe, expect, test } from 'vitest'
import { createRawWriter, MAX_SEND_BYTES } from '../../../src/adapters/raw-writer.ts'
import { kafkaDown, producerDouble } from '../../support/gateway.ts'

const recordOf = (partition: number, size: number): RecordToSend => ({
  partition,
  key: null,
  value: new Uint8Array(size),
  headers: [],
})

describe('writing raw records', () => {
  test('offsets come back in input order, whatever the partitions', async () => {
    const producer = producerDouble()
    const records = Array.from({ length: 30 }, (_, n) => ({ ...recordOf(n % 4, 1), key: textBytes(`${n}`) }))
    const write = createRawWriter(() => producer).write('raw.s.v1', records)
    await write.done
    expect(write.outcomes).toEqual(records.map((_, n) => ({ offset: Math.floor(n / 4) })))
  })

  test('a send holds one partition and stays under the bound; a larger record goes alone', async () => {
    const producer = producerDouble()
    const sends: number[][] = []
    producer.fail((_topic, records) => {
      expect(new Set(records.map((r) => r.partition)).size).toBe(1)
      sends.push(records.map((r) => r.value!.byteLength))
      return null
    })
    const sizes = [300_000, 300_000, 300_000, 900_000, 1000]
    await createRawWriter(() => producer).write(
      't',
      sizes.map((size) => recordOf(1, size)),
    ).done
    expect(sends).toEqual([[300_000, 300_000], [300_000], [900_000], [1000]])
    expect(MAX_SEND_BYTES).toBeLessThan(1_000_000)
  })

  test('after a failed send the rest of its partition is not tried, so that a retry keeps the order', async () => {
    const producer = producerDouble()
    let sends = 0
    producer.fail((_topic, records) => (records[0]!.partition === 1 && ++sends === 2 ? kafkaDown() : null))
    const records = [1, 1, 1, 2].map((partition) => recordOf(partition, 600_000))
    const write = createRawWriter(() => producer).write('t', records)
    await write.done
    expect(write.outcomes.map((o) => (o && 'offset' in o ? 'there' : o?.error.code))).toEqual([
      'there',
      'MESH_KAFKA_UNAVAILABLE',
      'MESH_KAFKA_UNAVAILABLE',
      'there',
    ])
    expect(producer.written.filter((w) => w.record.partition === 1)).toHaveLength(1)
  })

  test('a producer that answers with too few offsets is not believed', async () => {
    const producer = { ...producerDouble(), send: async () => [0] }
    const write = createRawWriter(() => producer).write('t', [recordOf(0, 1), recordOf(0, 1)])
    await write.done
    expect(write.outcomes[1]).toMatchObject({ error: { code: 'MESH_KAFKA_UNAVAILABLE' } })
  })
})
