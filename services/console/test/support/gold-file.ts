import { DuckDBInstance } from '@duckdb/node-api'

const TABLES: readonly string[] = [
  'daily_airport_delays (origin VARCHAR, flight_date DATE, city VARCHAR, state VARCHAR, flights BIGINT, delayed BIGINT, avg_delay DOUBLE, max_delay INTEGER, _run_id VARCHAR)',
  'route_performance (origin VARCHAR, destination VARCHAR, flights BIGINT, on_time BIGINT, avg_delay DOUBLE, distance INTEGER, first_date DATE, last_date DATE, _run_id VARCHAR)',
  'repository_activity (repository VARCHAR, activity_date DATE, events BIGINT, actors BIGINT, commits BIGINT, issue_events BIGINT, pull_request_events BIGINT, _run_id VARCHAR)',
]

/** Gold with the columns that models/gold/gold.yml gives its tables, and what the statements put in. */
export async function fillGold(file: string, statements: readonly string[]): Promise<void> {
  const instance = await DuckDBInstance.create(file)
  const connection = await instance.connect()
  for (const table of TABLES) await connection.run(`CREATE TABLE IF NOT EXISTS ${table}`)
  for (const statement of statements) await connection.run(statement)
  connection.closeSync()
  instance.closeSync()
}
