import { chmodSync, cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { isMeshError } from '@mesh/shared/core/errors'
import type { StreamsResponse } from '@mesh/shared/core/replay-api'
import type { StreamVersions } from '@mesh/shared/core/versions'
import { connectKafka } from '@mesh/shared/kafka/connect-kafka'
import type { KafkaPort } from '@mesh/shared/kafka/port'
import type { ObjectStore } from '@mesh/shared/lake/object-store'
import { openObjectStore } from '@mesh/shared/lake/open-object-store'
import type { GatewayAddress } from '../../packages/cli/src/gateway-client.ts'
import { callJson } from '../../packages/cli/src/http-json.ts'
import { firstApiKey, withLocalSecrets } from '../../packages/cli/src/stack/secrets.ts'
import { type ExtraServer, type Stack, startStack } from '../../packages/cli/src/stack/stack.ts'
import { applyStreams } from '../../packages/cli/src/streams/apply.ts'
import { waitForGateway } from '../../packages/cli/src/streams/wait-for-gateway.ts'
import type { StreamSummary } from '../../packages/cli/src/verify/books.ts'
import { firstUndecided } from '../../packages/cli/src/verify/undecided.ts'
import { overall, verifyStream } from '../../packages/cli/src/verify/verify.ts'
import { waitFor } from '../../packages/cli/src/wait-for.ts'

const ROOT = join(import.meta.dirname, '..', '..')
const APPLY_MS = 180_000
const BOOKS_MS = 300_000

/** A whole mesh on free ports in a folder of its own: every process is real, and any of them may be killed. */
export type MeshUnderTest = {
  readonly root: string
  readonly projectDir: string
  readonly stack: Stack
  readonly kafka: KafkaPort
  readonly store: ObjectStore
  readonly warehouseFile: string
  readonly lakeDir: string
  readonly gateway: GatewayAddress
  readonly githubSecret: string
  replayerUrl: () => string
  versions: (stream: string) => Promise<StreamVersions>
  apply: (projectDir?: string, only?: readonly string[]) => Promise<void>
  /** Waits until every layer has reached the enricher, then returns the books. */
  books: (timeoutMs?: number) => Promise<StreamSummary[]>
  stop(): Promise<void>
}

export type MeshOptions = {
  /** Folders with `streams/` and `sources/`, copied into the project. Default: the repository's own streams. */
  readonly project?: string
  readonly extras?: readonly ExtraServer[]
  readonly env?: Readonly<Record<string, string>>
  /** Default: all of them. */
  readonly services?: readonly string[]
  /** Puts more than streams into the project. */
  readonly prepare?: (projectDir: string) => void
}

export async function startMesh(cacheDir: string, options: MeshOptions = {}): Promise<MeshUnderTest> {
  const projectDir = mkdtempSync(join(tmpdir(), 'mesh-e2e-'))
  // PostgreSQL runs as another account when the tests run as root.
  chmodSync(projectDir, 0o711)
  const stateDir = join(projectDir, '.mesh')
  mkdirSync(stateDir)
  for (const folder of options.project ? ['streams', 'sources'] : ['streams']) {
    cpSync(join(options.project ?? ROOT, folder), join(projectDir, folder), { recursive: true })
  }
  options.prepare?.(projectDir)
  const env = withLocalSecrets(stateDir, { ...process.env, ...options.env })
  const stack = await startStack({
    stateDir,
    projectDir,
    cacheDir,
    codeDir: ROOT,
    env,
    ports: 'free',
    archives: false,
    extras: options.extras,
    ...(options.services ? { services: options.services } : {}),
  })
  const { addresses } = stack
  const kafka = connectKafka({ brokers: addresses.kafkaBrokers.split(','), clientId: 'e2e' })
  const store = openObjectStore({ url: addresses.lakeUrl })
  const replayerUrl = (): string => addresses.services['replayer']!
  const warehouseFile = fileURLToPath(addresses.warehouseUrl.replace(/^duckdb:/, 'file:'))

  const streams = async (): Promise<readonly StreamVersions[]> =>
    (await callJson<StreamsResponse>(`${replayerUrl()}/v1/streams`)).streams
  const mesh: MeshUnderTest = {
    root: ROOT,
    projectDir,
    stack,
    kafka,
    store,
    warehouseFile,
    lakeDir: fileURLToPath(addresses.lakeUrl),
    gateway: { url: addresses.services['ingest-gateway']!, apiKey: firstApiKey(env) },
    githubSecret: env['GITHUB_WEBHOOK_SECRET']!,
    replayerUrl,
    versions: (stream) => callJson<StreamVersions>(`${replayerUrl()}/v1/streams/${stream}`),
    async apply(folder = projectDir, only = []) {
      const context = { projectRoot: folder, store, replayerUrl: replayerUrl(), only }
      // What a broker that is still busy with new topics cuts off is finished by applying again; a refusal is told.
      await applyStreams(context).catch((error: unknown) => {
        if (isMeshError(error) && error.status < 500) throw error
        return applyStreams(context)
      })
      const wanted = only.length > 0 ? only : (await streams()).map((state) => state.stream)
      await waitForGateway(mesh.gateway.url, wanted, APPLY_MS)
    },
    books(timeoutMs = BOOKS_MS) {
      let last: StreamSummary[] = []
      return waitFor(
        async () => {
          if (!(await caughtUp(kafka, await streams()))) return null
          last = (
            await Promise.all((await streams()).map((state) => verifyStream({ kafka, store, warehouseFile }, state)))
          ).flat()
          return overall(last) === 'pending' ? null : last
        },
        {
          what: 'every layer to reach the enricher',
          timeoutMs,
          everyMs: 500,
          progress: () =>
            JSON.stringify(last.flatMap((summary) => summary.verdicts).filter((v) => v.state !== 'closed')).slice(
              0,
              800,
            ),
        },
      )
    },
    async stop() {
      await kafka.close()
      await stack.stop()
      for (const line of errorLines(join(stateDir, 'logs'))) console.error(line)
      // What a killed service had started may still be ending, with a last file of its own.
      rmSync(projectDir, { recursive: true, force: true, maxRetries: 10 })
    },
  }
  return mesh
}

/** The enricher has decided everything that is in raw. */
async function caughtUp(kafka: KafkaPort, states: readonly StreamVersions[]): Promise<boolean> {
  for (const state of states) if ((await firstUndecided(kafka, state)) !== null) return false
  return true
}

/** What services have logged as errors: the reason of a failure is not lost with the folder. */
function errorLines(logs: string): string[] {
  return readdirSync(logs).flatMap((file) =>
    readFileSync(join(logs, file), 'utf8')
      .split('\n')
      .filter((line) => line.includes('"level":50')),
  )
}
