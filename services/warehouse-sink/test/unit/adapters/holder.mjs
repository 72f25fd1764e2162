// Holds a DuckDB file until its standard input closes.
import { DuckDBInstance } from '@duckdb/node-api'

const instance = await DuckDBInstance.create(process.argv[2])
process.stdout.write('held\n')
process.stdin.resume()
process.stdin.on('end', () => {
  instance.closeSync()
  process.exit(0)
})
