import { parseArgs } from 'node:util'

export type BenchOptions = {
  /** Events of one repeat; every hop handles each of them once. */
  readonly records: number
  readonly repeats: number
  /** Where all measurements go as JSON; null for nowhere. */
  readonly jsonFile: string | null
  /** One more repeat with the services' CPU profiles on; its rates are not counted. */
  readonly profile: boolean
  /** Instead of the hops: the Kafka clients against each other, role by role. */
  readonly clients: boolean
  /** Instead of the hops: so many events, one after the other, from a POST to the changed row of gold. Null: the hops. */
  readonly freshness: number | null
  /** Instead of the hops: the enricher's latency at a fixed rate, each setting for so many seconds. Null: the hops. */
  readonly latency: number | null
  /** Instead of the hops: change capture from PostgreSQL, `records` changes in each repeat. */
  readonly sources: boolean
}

export const USAGE = `usage: npm run bench -- [options]
  --records N   events of one repeat (default 300000)
  --repeats N   interleaved repeats of all hops (default 3)
  --json FILE   writes every measurement as JSON
  --profile     one more repeat that shows where each service's CPU time goes
  --clients     instead of the hops: the Kafka clients against each other, role by role
  --freshness N instead: seconds from a POST to the changed row of gold, for N events one after the other
  --latency S   instead: the enricher's latency at 2,000 events/s under each guarantee, S seconds for each setting
  --sources     instead: change capture from PostgreSQL beside plain Debezium (--records changes, default 30000, --repeats)`

/** @throws Error naming the option that is wrong. */
export function parseOptions(args: readonly string[]): BenchOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      records: { type: 'string' },
      repeats: { type: 'string', default: '3' },
      json: { type: 'string' },
      profile: { type: 'boolean', default: false },
      clients: { type: 'boolean', default: false },
      freshness: { type: 'string' },
      latency: { type: 'string' },
      sources: { type: 'boolean', default: false },
    },
  })
  return {
    records: wholeNumber('records', values.records ?? (values.sources ? '30000' : '300000'), {
      least: 1000,
      most: 5_000_000,
    }),
    repeats: wholeNumber('repeats', values.repeats, { least: 1, most: 100 }),
    jsonFile: values.json ?? null,
    profile: values.profile,
    clients: values.clients,
    freshness:
      values.freshness === undefined ? null : wholeNumber('freshness', values.freshness, { least: 1, most: 1000 }),
    sources: values.sources,
    latency: values.latency === undefined ? null : wholeNumber('latency', values.latency, { least: 1, most: 3600 }),
  }
}

function wholeNumber(name: string, text: string, { least, most }: { least: number; most: number }): number {
  const value = Number(text)
  if (Number.isInteger(value) && value >= least && value <= most) return value
  throw new Error(`--${name}: ${text} is not a whole number from ${least} to ${most}`)
}
