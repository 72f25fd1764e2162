// `npm run airflow`: an Airflow with the mesh's DAGs beside the mesh that runs here, until Ctrl-C.
import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { describeError, isMeshError, MeshError } from '@mesh/shared/core/errors'
import { installAirflow, startAirflow, stopLeftAirflow } from '../packages/cli/src/stack/airflow.ts'
import { infrastructureEnvironment } from '../packages/cli/src/stack/environment.ts'
import { requireFreePorts } from '../packages/cli/src/stack/ports.ts'
import { readRunningStack } from '../packages/cli/src/stack/running.ts'
import { stateLayout, takeLock } from '../packages/cli/src/stack/state.ts'

const ROOT = join(import.meta.dirname, '..')
const USER = 'mesh'
const DEFAULT_PORT = 18180

const layout = stateLayout(resolve(process.env['MESH_STATE_DIR'] ?? join(ROOT, '.mesh')))
const home = join(layout.root, 'airflow')
const stopping = new AbortController()
const stopped = new Promise((resolve) => stopping.signal.addEventListener('abort', resolve))
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => stopping.abort())

try {
  process.exitCode = await main()
} catch (error) {
  if (!isMeshError(error)) throw error
  // Ctrl-C while it installs or starts is no failure.
  const asked = error.code === 'MESH_STACK_STOPPED' && stopping.signal.aborted
  console.error(asked ? 'stopped while it was starting' : `${describeError(error)}\n  ${error.hint}`)
  process.exitCode = asked ? 0 : 1
}

/** Holds the lock of its folder while it runs: what is found there belongs to nobody else. */
async function main(): Promise<number> {
  mkdirSync(home, { recursive: true })
  const lock = takeLock(join(home, 'lock'), 'airflow')
  if (typeof lock !== 'function') {
    throw new MeshError('MESH_STACK_BUSY', `an Airflow runs already (pid ${lock.pid})`, { place: home })
  }
  try {
    return await untilStopped()
  } finally {
    lock()
  }
}

/** @returns the exit code: 0 when a signal ended it, 1 when a part of Airflow did */
async function untilStopped(): Promise<number> {
  if (await stopLeftAirflow(home)) console.log('stopped an Airflow that was left running')
  const port = Number(process.env['MESH_PORT_AIRFLOW'] ?? DEFAULT_PORT)
  await requireFreePorts({ airflow: port })
  const python = await installAirflow({
    folder: join(ROOT, 'transforms', 'airflow'),
    cache: layout.cache,
    env: process.env,
    signal: stopping.signal,
    onProgress: (text) => console.log(`airflow ${text}`),
  })
  const stack = readRunningStack(layout)
  if (!stack)
    console.log('the mesh is not running: DAGs that ask it will fail until `npm start` runs and this is started again')
  const airflow = await startAirflow({
    python,
    home,
    dags: join(ROOT, 'transforms', 'airflow', 'dags'),
    port,
    user: USER,
    password: password(),
    env: {
      ...(stack ? infrastructureEnvironment(stack.addresses) : {}),
      MESH_PROJECT_DIR: ROOT,
      MESH_CLI: `"${process.execPath}" "${join(ROOT, 'packages', 'cli', 'src', 'main.ts')}"`,
      ...process.env,
    },
    signal: stopping.signal,
  })
  console.log(`Airflow: ${airflow.url}, user ${USER}, password in ${passwordFile()}; Ctrl-C stops it\n`)
  console.log('job-trigger reaches it when the mesh is started with')
  console.log(`  MESH_AIRFLOW_URL=${airflow.url} MESH_AIRFLOW_PASSWORD=file:${passwordFile()} npm start`)
  await Promise.race([stopped, airflow.exited])
  const asked = stopping.signal.aborted
  await airflow.stop()
  if (!asked) console.error(`a part of Airflow ended by itself; its log is in ${airflow.logs}`)
  return asked ? 0 : 1
}

/** Made on first use. */
function password(): string {
  const file = passwordFile()
  if (!existsSync(file)) writeFileSync(file, randomBytes(18).toString('base64url'), { mode: 0o600 })
  return readFileSync(file, 'utf8').trim()
}

function passwordFile(): string {
  return join(home, 'password')
}
