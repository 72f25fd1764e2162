import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { MeshError } from '@mesh/shared/core/errors'
import type { Command, CommandContext } from '../command.ts'
import { readAirports } from '../demo/real-data.ts'
import { renderReport } from '../demo/report.ts'
import { runDemo } from '../demo/run-demo.ts'
import { DEMO_SERVERS, fillAirports, prepareSourcesProject, requireDemoServers } from '../demo/sources-demo.ts'
import { watchMesh } from '../live-screen.ts'
import { accessMesh, type MeshAccess } from '../mesh-access.ts'
import { portOf } from '../stack/environment.ts'
import type { Environment } from '../stack/process.ts'
import { sourcesStateDir } from '../stack/running-layout.ts'
import { withLocalSecrets } from '../stack/secrets.ts'
import { type Stack, startStack } from '../stack/stack.ts'
import { type PlainStackOptions, STACK_OPTIONS, stackOptionsOf } from '../stack-options.ts'
import { createSteps, type Steps } from '../steps.ts'
import { applyStreams } from '../streams/apply.ts'
import { waitForGateway } from '../streams/wait-for-gateway.ts'
import { noteStaleTypes } from '../types/stream-types.ts'

const DEFAULT_FLIGHTS = 5000

export const start: Command = {
  name: 'start',
  summary: 'start everything, send real events through, show what arrived at every layer',
  usage: '',
  options: {
    ...STACK_OPTIONS,
    once: {
      type: 'boolean',
      doc: 'stop everything when it is shown; exit code 1 if a layer misses rows or the books do not close',
    },
    sources: {
      type: 'boolean',
      doc: 'with sources that are pulled: airports from a PostgreSQL by change capture, clicks from a Redis, earthquakes by REST and GraphQL',
    },
    flights: { type: 'string', value: 'NUMBER', doc: `flights to post, at most 20000 (default ${DEFAULT_FLIGHTS})` },
  },
  async run(context) {
    const options = context.flag('sources') ? withSources(stackOptionsOf(context)) : stackOptionsOf(context)
    const flights = Number(context.text('flights') ?? DEFAULT_FLIGHTS)
    if (!Number.isSafeInteger(flights) || flights < 1 || flights > 20_000)
      throw new MeshError('MESH_CLI_USAGE', '--flights takes 1 to 20000')
    if (context.flag('sources')) requireDemoServers(context.env['PATH'])
    mkdirSync(options.stateDir, { recursive: true })
    const env = withLocalSecrets(options.stateDir, context.env)
    const steps = createSteps(context)
    const startedAt = Date.now()
    const stack = await startStack({
      ...options,
      env,
      signal: context.signal,
      onProgress: ({ name, text }) => steps.detail(`${name} ${text}`),
    })
    const stop = (): void => void stack.stop()
    context.signal.addEventListener('abort', stop)
    steps.done(`Kafka, the schema registry and ${Object.keys(stack.addresses.services).length} services are up`)
    const mesh = accessMesh(stack.addresses, env)
    let complete = false
    try {
      complete = await Promise.race([demonstrate(context, { stack, mesh, env, flights, steps }), untilStopped(stack)])
      steps.done(`all shown ${((Date.now() - startedAt) / 1000).toFixed(1)} s after the start`)
      if (!context.flag('once')) await watchMesh(context, stack)
    } catch (error) {
      if (!context.signal.aborted) throw error
    } finally {
      await mesh.close()
      steps.restart()
      steps.note('stopping')
      await stack.stop()
      steps.done('every process has stopped')
    }
    const failure = await stack.done
    if (failure) throw failure
    return complete || !context.flag('once') ? 0 : 1
  },
}

type Demonstration = { stack: Stack; mesh: MeshAccess; env: Environment; flights: number; steps: Steps }

async function demonstrate(
  context: CommandContext,
  { stack, mesh, env, flights, steps }: Demonstration,
): Promise<boolean> {
  const sources = context.flag('sources')
  const projectRoot = sources ? sourcesProject(context) : context.projectDir()
  if (sources) await fillAirports(stack, await readAirports(context.codeDir))
  else await noteStaleTypes(context)
  let refusals = 0
  const applied = await applyStreams(
    { projectRoot, store: mesh.store, replayerUrl: mesh.replayerUrl },
    {
      onRefused(stream, error) {
        refusals++
        steps.note(`${stream} is refused and stays as it runs: ${error.message} [${error.code}]`)
      },
    },
  )
  await waitForGateway(
    mesh.gateway.url,
    applied.map((answer) => answer.stream),
  )
  const changed = applied.filter((answer) => answer.changed).map((answer) => answer.stream)
  steps.done(changed.length > 0 ? `applied streams: ${changed.join(', ')}` : 'streams are as they were applied')
  const result = await runDemo({
    mesh,
    codeDir: context.codeDir,
    githubSecret: env['GITHUB_WEBHOOK_SECRET'] ?? '',
    runId: `run-${Date.now().toString(36)}`,
    flights,
    pulled: sources ? { postgresPort: portOf(stack.ports, 'postgres'), redisPort: portOf(stack.ports, 'redis') } : null,
    onStep: steps.note,
  })
  context.print(context.json ? JSON.stringify(result, null, 2) : renderReport(result, stack.addresses))
  return result.complete && refusals === 0
}

/** A mesh of its own beside the usual one: the same streams have other contracts in it. The downloads are shared. */
function withSources(options: PlainStackOptions): PlainStackOptions {
  return {
    ...options,
    stateDir: sourcesStateDir(options.stateDir),
    cacheDir: join(options.stateDir, 'cache'),
    extras: DEMO_SERVERS,
  }
}

const sourcesProject = (context: CommandContext): string =>
  prepareSourcesProject(context.projectDir(), context.codeDir, join(sourcesStateDir(context.stateDir()), 'project'))

/** A stack that ends by itself ends the demonstration too, with its reason. */
async function untilStopped(stack: Stack): Promise<never> {
  const failure = await stack.done
  throw failure ?? new MeshError('MESH_STACK_STOPPED', 'the stack was stopped')
}
