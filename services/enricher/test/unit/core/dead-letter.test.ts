import { bytesText, header, textBytes } from '@mesh/shared/core/record'
import { describe, expect, test } from 'vitest'
import { deadLetterRecord } from '../../../src/core/dead-letter.ts'
import { problemOf, refusal } from '../../../src/core/problem.ts'

const SOURCE = {
  at: { topicId: 'raw-1', partition: 4, offset: 77 },
  record: {
    offset: 9,
    timestamp: 1,
    key: textBytes('k'),
    value: Uint8Array.of(0xff, 0x00),
    headers: [header('ce_id', 'e'), { name: 'n', value: null }, header('mesh-replay', 'job')],
  },
}
const FROM = { topic: 'raw.orders.v1', group: 'mesh.enricher.refined.orders.v2', version: 2 }

describe('dead letter', () => {
  test("keeps the source's bytes and headers and says where, what and why", () => {
    const record = deadLetterRecord(SOURCE, refusal('TOO_ODD', 'because'), FROM)
    expect(record.value).toBe(SOURCE.record.value)
    expect(record.key).toBe(SOURCE.record.key)
    expect(record.partition).toBe(4)
    expect(record.timestamp).toBeUndefined()
    expect(record.headers.map((h) => [h.name, h.value === null ? null : bytesText(h.value)])).toEqual([
      ['ce_id', 'e'],
      ['n', null],
      ['__connect.errors.topic', 'raw.orders.v1'],
      ['__connect.errors.partition', '4'],
      ['__connect.errors.offset', '77'],
      ['__connect.errors.connector.name', 'mesh.enricher.refined.orders.v2'],
      ['__connect.errors.task.id', '4'],
      ['__connect.errors.stage', 'TRANSFORMATION'],
      ['__connect.errors.class.name', 'mesh.enricher.refine'],
      ['__connect.errors.exception.class.name', 'DeadLetter'],
      ['__connect.errors.exception.message', 'because'],
      ['mesh-error-code', 'TOO_ODD'],
      ['mesh-attempt', '1'],
      ['mesh-version', '2'],
      ['mesh-src', 'main;raw-1;4;77;0'],
    ])
  })

  test('a stack is cut to 8 KB of whole characters', () => {
    const error = new Error('x')
    error.stack = `${'a'.repeat(8191)}é and more`
    const record = deadLetterRecord(SOURCE, problemOf('refine', 'MESH_REFINE_THROWN', error), FROM)
    const stack = record.headers.find((h) => h.name === '__connect.errors.exception.stacktrace')!.value!
    expect(bytesText(stack)).toBe('a'.repeat(8191))
  })
})
