import { refinedHash } from '@mesh/shared/core/books'
import { advanceHighest, type HighestSrc, isRedelivered, parseMeshSrc, parseOrigin } from '@mesh/shared/core/coordinate'
import { bytesText, headerText, type KafkaRecord } from '@mesh/shared/core/record'
import type { Fate } from '../src/core/decide.ts'
import { srcOf } from './orders.ts'

/** `origin` is `<raw offset>;<index>`, whatever the lane. */
export type Output = {
  readonly origin: string
  readonly offset: number
  readonly key: string
  readonly value: string | null
}

/** The records of a refined partition by a reader's rule. */
export function readOutputs(log: readonly KafkaRecord[]): { outputs: Output[]; hash: bigint; redelivered: number } {
  const highest: HighestSrc = {}
  const outputs: Output[] = []
  let hash = 0n
  let redelivered = 0
  for (const record of log) {
    const src = parseMeshSrc(srcOf(record))
    if (isRedelivered(highest, src)) {
      redelivered++
      continue
    }
    advanceHighest(highest, src)
    hash += refinedHash(src, record.key, record.value?.subarray(5) ?? null)
    const text = headerText(record.headers, 'mesh-origin')
    const origin = text === null ? src : parseOrigin(text)
    outputs.push({
      origin: `${origin.offset};${origin.index}`,
      offset: origin.offset,
      key: bytesText(record.key!).split('/')[0]!,
      value: payload(record.value),
    })
  }
  return { outputs, hash: hash & ((1n << 128n) - 1n), redelivered }
}

/** What a reader must have of the fates: `[origin, value]` in source order. */
export function outputsOf(fates: readonly Fate[]): (readonly [string, string | null])[] {
  return fates.flatMap((fate, offset) =>
    fate.kind === 'ok' ? fate.records.map(({ value }, index) => [`${offset};${index}`, payload(value)] as const) : [],
  )
}

const payload = (value: Uint8Array | null): string | null => (value === null ? null : bytesText(value.subarray(5)))

/** Orders `[origin, …]` by raw offset and index. */
export function byOrigin([a]: readonly unknown[], [b]: readonly unknown[]): number {
  const [[x, i], [y, j]] = [a, b].map((origin) => String(origin).split(';').map(Number)) as [number[], number[]]
  return x! - y! || i! - j!
}
