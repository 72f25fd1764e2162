import { parseJson } from '@mesh/shared/core/json-text'
import { describe, expect, test } from 'vitest'
import { changeOutcome } from '../../../src/core/change-outcome.ts'
import { readEnvelope } from '../../../src/core/debezium.ts'
import { type MongoChange, mongoChange, postgresChange } from '../../changes.ts'

const outcomeOf = (text: string): unknown => changeOutcome(readEnvelope(parseJson(text)).change)
const mongo = (change: Partial<MongoChange>): string => mongoChange({ seconds: 9, ord: 1, ...change })

describe('what a change becomes without a refine.ts', () => {
  test('its row, or a delete of its key', () => {
    expect(outcomeOf(mongo({ op: 'c', after: '{"a": 1}' }))).toMatchObject({ kind: 'ok' })
    expect(outcomeOf(mongo({ op: 'd' }))).toMatchObject({ kind: 'tombstone' })
  })

  test('nothing, for an update whose document was gone before it was looked up', () => {
    expect(outcomeOf(mongo({ op: 'u' }))).toMatchObject({ kind: 'drop' })
  })

  test('a dead letter where a row is missing that must be there', () => {
    const missing = { code: 'MESH_CDC_ROW_MISSING' }
    expect(outcomeOf(mongo({ op: 'c' }))).toMatchObject(missing)
    expect(outcomeOf(postgresChange({ op: 'u', lsn: 1 }))).toMatchObject(missing)
    const stripped = mongo({ op: 'u' }).replace('"ord":1', '"ord":1,"oversize":5000000')
    expect(outcomeOf(stripped)).toMatchObject(missing)
  })
})
