import { expect, test } from 'vitest'
import { createBodyCache } from '../../../src/core/body-cache.ts'

test('nothing of a held record keeps the fetch alive that it came in', () => {
  const fetched = Buffer.alloc(1_000_000, 7)
  const view = (): Uint8Array => fetched.subarray(10, 20)
  const record = { offset: 0, timestamp: 0, key: view(), value: view(), headers: [{ name: 'h', value: view() }] }
  const bodies = createBodyCache(1000)
  bodies.put('a', { at: { topicId: 't', partition: 0, offset: 0 }, record })
  const held = bodies.get('a')!.record
  expect(held).toEqual({
    ...record,
    key: new Uint8Array(view()),
    value: new Uint8Array(view()),
    headers: expect.anything(),
  })
  for (const bytes of [held.key, held.value, held.headers[0]!.value]) expect(bytes!.buffer.byteLength).toBe(10)
})
