import { type DuckDBConnection, DuckDBInstance } from '@duckdb/node-api'
import { MeshError } from '@mesh/shared/core/errors'
import { type RetryPolicy, retryDelayMs } from '@mesh/shared/core/retry-policy'

export type DuckDbFileOptions = {
  /** How long an opener waits while another process holds the file. */
  readonly lockWaitMs: number
  /** DuckDB's own limits, so that a flush cannot take the machine. */
  readonly memoryLimit: string
  readonly threads: number
  /** Told once per opening that has to wait. */
  readonly onWaiting?: () => void
}

export type DuckDbFile = {
  /**
   * Opens the file, hands over a connection, closes. Calls queue: a second handle inside this process would drop the file lock
   * (POSIX locks belong to the process) and let a stranger in.
   * @throws MeshError MESH_WAREHOUSE_LOCKED after `lockWaitMs`
   */
  use<T>(work: (connection: DuckDBConnection) => Promise<T>): Promise<T>
  /** As `use`, inside one transaction: committed when `work` resolves, rolled back when it throws. */
  transaction<T>(work: (connection: DuckDBConnection) => Promise<T>): Promise<T>
}

const LOCK_RETRY: RetryPolicy = { initialMs: 5, maxMs: 100, factor: 2, retries: Number.POSITIVE_INFINITY }

export function createDuckDbFile(path: string, options: DuckDbFileOptions): DuckDbFile {
  const settings = { memory_limit: options.memoryLimit, threads: String(options.threads) }
  let tail: Promise<unknown> = Promise.resolve()

  function use<T>(work: (connection: DuckDBConnection) => Promise<T>): Promise<T> {
    const result = tail.then(() => openAndUse(work))
    tail = result.catch(() => {})
    return result
  }

  async function openAndUse<T>(work: (connection: DuckDBConnection) => Promise<T>): Promise<T> {
    const instance = await openWaiting()
    try {
      const connection = await instance.connect()
      try {
        return await work(connection)
      } finally {
        connection.closeSync()
      }
    } finally {
      instance.closeSync()
    }
  }

  async function openWaiting(): Promise<DuckDBInstance> {
    const startedAt = performance.now()
    for (let attempt = 1; ; attempt++) {
      try {
        return await DuckDBInstance.create(path, settings)
      } catch (error) {
        if (!isLockError(error)) throw error
        if (performance.now() - startedAt >= options.lockWaitMs) {
          throw new MeshError('MESH_WAREHOUSE_LOCKED', `another process holds the warehouse: ${holder(error)}`, {
            place: path,
          })
        }
        if (attempt === 1) options.onWaiting?.()
        await new Promise((resolve) => setTimeout(resolve, retryDelayMs(LOCK_RETRY, attempt, Math.random())!))
      }
    }
  }

  function transaction<T>(work: (connection: DuckDBConnection) => Promise<T>): Promise<T> {
    return use(async (connection) => {
      await connection.run('BEGIN TRANSACTION')
      try {
        const result = await work(connection)
        await connection.run('COMMIT')
        return result
      } catch (error) {
        await connection.run('ROLLBACK').catch(() => {})
        throw error
      }
    })
  }

  return { use, transaction }
}

export const isLockError = (error: unknown): boolean =>
  error instanceof Error && error.message.includes('Could not set lock on file')

/** `node (PID 13050)` out of DuckDB's own sentence. */
export const holder = (error: unknown): string => /held in (\S+ \(PID \d+\))/.exec(String(error))?.[1] ?? 'unknown'
