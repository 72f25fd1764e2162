/** What the gold page draws. */
export type GoldView =
  | { readonly state: 'ready'; readonly reason: null; readonly tables: GoldTables }
  /** none: there is nothing to show yet. busy: gold is there and could not be read now. */
  | { readonly state: 'none' | 'busy'; readonly reason: string; readonly tables: null }

export type GoldTables = {
  /** By day, all airports. */
  readonly days: readonly {
    readonly day: string
    readonly flights: number
    readonly delayed: number
    readonly delay: number
  }[]
  readonly airports: readonly Punctual[]
  readonly routes: readonly (Punctual & { readonly distance: number | null })[]
  readonly repositories: readonly Active[]
  readonly activity: readonly { readonly day: string; readonly events: number; readonly commits: number }[]
  readonly totals: readonly { readonly flights: number; readonly delayed: number; readonly delay: number }[]
}
/** `share`: delayed flights for an airport, flights on time for a route. `delay` in minutes, every flight counts the same. */
type Punctual = { readonly name: string; readonly flights: number; readonly share: number; readonly delay: number }
type Active = {
  readonly name: string
  readonly events: number
  readonly commits: number
  readonly pulls: number
  readonly issues: number
}

type Query = { readonly table: string; readonly sql: string }

/** Sums and weighted averages as transforms/dbt/metrics.yaml defines them. */
export const GOLD_QUERIES: Readonly<Record<keyof GoldTables, Query>> = {
  totals: {
    table: 'daily_airport_delays',
    sql: 'SELECT sum(flights)::BIGINT AS flights, sum(delayed)::BIGINT AS delayed, sum(avg_delay * flights) / sum(flights) AS delay FROM daily_airport_delays HAVING sum(flights) > 0',
  },
  days: {
    table: 'daily_airport_delays',
    sql: 'SELECT flight_date::VARCHAR AS day, sum(flights)::BIGINT AS flights, sum(delayed)::BIGINT AS delayed, sum(avg_delay * flights) / sum(flights) AS delay FROM daily_airport_delays GROUP BY flight_date ORDER BY flight_date DESC LIMIT 120',
  },
  airports: {
    table: 'daily_airport_delays',
    sql: "SELECT origin || coalesce(' ' || max(city), '') AS name, sum(flights)::BIGINT AS flights, sum(delayed) / sum(flights) AS share, sum(avg_delay * flights) / sum(flights) AS delay FROM daily_airport_delays GROUP BY origin ORDER BY sum(flights) DESC, origin LIMIT 12",
  },
  routes: {
    table: 'route_performance',
    sql: "SELECT origin || ' → ' || destination AS name, flights, on_time / flights AS share, avg_delay AS delay, distance FROM route_performance ORDER BY flights DESC, origin, destination LIMIT 12",
  },
  repositories: {
    table: 'repository_activity',
    sql: 'SELECT repository AS name, sum(events)::BIGINT AS events, sum(commits)::BIGINT AS commits, sum(pull_request_events)::BIGINT AS pulls, sum(issue_events)::BIGINT AS issues FROM repository_activity GROUP BY repository ORDER BY sum(events) DESC, repository LIMIT 10',
  },
  activity: {
    table: 'repository_activity',
    sql: 'SELECT activity_date::VARCHAR AS day, sum(events)::BIGINT AS events, sum(commits)::BIGINT AS commits FROM repository_activity GROUP BY activity_date ORDER BY activity_date DESC LIMIT 120',
  },
}

/** @param row one column of JSON text per part; a part whose table is not there yet is empty */
export function goldView(row: Readonly<Record<string, unknown>>): GoldView {
  const part = (name: keyof GoldTables): never[] =>
    typeof row[name] === 'string' ? (JSON.parse(row[name]) as never[]) : []
  const [days, activity] = [part('days').toReversed(), part('activity').toReversed()]
  const tables: GoldTables = {
    days,
    activity,
    totals: part('totals'),
    airports: part('airports'),
    routes: part('routes'),
    repositories: part('repositories'),
  }
  return { state: 'ready', reason: null, tables }
}
