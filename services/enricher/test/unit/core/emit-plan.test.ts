import { type RecordToSend, recordBytes } from '@mesh/shared/core/record'
import { describe, expect, test } from 'vitest'
import { createEmitPlan, totalBytes } from '../../../src/core/emit-plan.ts'

const record = (bytes: number): RecordToSend => ({
  partition: 0,
  key: null,
  value: new Uint8Array(bytes - 32),
  headers: [],
})

describe('emit plan', () => {
  test('cuts chunks below the limit without splitting the outputs of one record', () => {
    const plan = createEmitPlan(1000)
    expect(plan.add([record(400), record(400)])).toBeNull()
    const first = plan.add([record(300), record(300)])
    expect(first?.length).toBe(2)
    expect(plan.add([record(400)])).toBeNull()
    expect(plan.take().length).toBe(3)
    expect(plan.take()).toEqual([])
  })

  test('outputs larger than a chunk make a chunk of their own', () => {
    const plan = createEmitPlan(1000)
    expect(plan.add([record(5000)])).toBeNull()
    expect(plan.add([record(40)])?.map(recordBytes)).toEqual([5000])
    expect(totalBytes(plan.take())).toBe(40)
  })
})
