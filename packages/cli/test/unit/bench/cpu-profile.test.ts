import { expect, test } from 'vitest'
import { type CpuProfile, groupOf, renderProfile, selfTimes } from '../../../../../tests/bench/cpu-profile.ts'

const node = (id: number, functionName: string, url = ''): CpuProfile['nodes'][number] => ({
  id,
  callFrame: { functionName, url },
})

const PROFILE: CpuProfile = {
  nodes: [
    node(1, '(idle)'),
    node(2, 'encode', 'file:///x/packages/shared/src/schema/avro-writer.ts'),
    node(3, 'parse'),
    node(4, 'encode', 'file:///x/packages/shared/src/schema/avro-writer.ts'),
  ],
  samples: [1, 2, 3, 4],
  timeDeltas: [9000, 1000, 1000, 2000],
}

test('self time is summed by module and by function, and waiting is left out', () => {
  const { groups, functions } = selfTimes(PROFILE)
  expect(groups).toEqual([
    { name: 'shared/schema', milliseconds: 3, percent: 75 },
    { name: 'native parse', milliseconds: 1, percent: 25 },
  ])
  expect(functions[0]).toEqual({ name: 'encode · shared/schema', milliseconds: 3, percent: 75 })
  expect(renderProfile('enricher', PROFILE)).toContain('- modules: shared/schema 75 % · native parse 25 %')
})

test.each([
  ['file:///x/node_modules/.pnpm/kafkajs@2.2.4/node_modules/kafkajs/src/protocol/encoder.js', 'kafkajs'],
  ['/x/node_modules/.pnpm/a@1/node_modules/@duckdb/node-api/lib/index.js', '@duckdb/node-api'],
  ['file:///x/services/enricher/src/core/fates.ts', 'enricher/core'],
  ['file:///x/services/lake-sink/src/service.ts', 'lake-sink'],
  ['node:internal/deps/undici/undici', 'node:internal/deps'],
  ['node:zlib', 'node:zlib'],
  ['file:///state/services/enricher/bundles/0af1/refine.mjs', 'refine.ts'],
])('%s counts as %s', (url, group) => {
  expect(groupOf({ url, functionName: 'f' })).toBe(group)
})

test('what has no source is the engine or one of its built-in functions', () => {
  expect(groupOf({ url: '', functionName: '(garbage collector)' })).toBe('(garbage collector)')
  expect(groupOf({ url: '', functionName: 'stringify' })).toBe('native stringify')
})
