import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { rawTopic, VERSIONS_TOPIC } from '@mesh/shared/core/topics'
import type { StreamVersions } from '@mesh/shared/core/versions'
import { meshTopics, rawTopicSpec } from '@mesh/shared/kafka/mesh-topics'
import type { KafkaPort, Producer } from '@mesh/shared/kafka/port'
import { openObjectStore } from '@mesh/shared/lake/open-object-store'
import { freezeBundle, putBundle } from '@mesh/shared/schema/bundle'
import { loadStreamFolder } from '@mesh/shared/schema/stream-folder'
import { freePort } from '@mesh/shared/testing/free-port'
import { vi } from 'vitest'

const MAIN = new URL('../../src/main.ts', import.meta.url).pathname

export type GatewayProcess = {
  readonly url: string
  readonly child: ChildProcess
  /** Resolves with the exit code. */
  stop(signal?: NodeJS.Signals): Promise<number | null>
  ready(): Promise<void>
  /** What it has logged. */
  output(): string
}

/** Starts main.ts as the stack does: a process of its own, with its settings in the environment. */
export async function startGateway(env: Record<string, string>): Promise<GatewayProcess> {
  const port = await freePort()
  const child = spawn(process.execPath, [MAIN], {
    env: { PATH: process.env['PATH'] ?? '', MESH_HTTP_PORT: String(port), MESH_LOG_LEVEL: 'warn', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()))
  const url = `http://127.0.0.1:${port}`
  return {
    url,
    child,
    output: () => output,
    async stop(signal = 'SIGTERM') {
      if (child.exitCode === null && child.signalCode === null) {
        child.kill(signal)
        await once(child, 'exit')
      }
      return child.exitCode
    },
    async ready() {
      await vi.waitFor(
        async () => {
          if (child.exitCode !== null) throw new Error(`the gateway ended: ${output}`)
          const reply = await fetch(`${url}/readyz`).catch(() => null)
          if (reply?.status !== 200) throw new Error(`not ready: ${(await reply?.text()) ?? 'no answer'} ${output}`)
        },
        { timeout: 120_000, interval: 100 },
      )
    },
  }
}

const REFINED = { type: 'record', name: 'Any', fields: [{ name: 'id', type: ['null', 'string'], default: null }] }

export type PublishedStream = { readonly topic: string; readonly bundle: string }

/** Does for one stream what `streams apply` does: topic, bundle, and its record on `mesh.versions`. */
export async function publishStream(
  kafka: KafkaPort,
  producer: Producer,
  options: {
    name: string
    lakeUrl: string
    partitions: number
    yaml: string
    epoch?: number
    /** sources/<name>.yaml: name → text. */
    sources?: Readonly<Record<string, string>>
  },
): Promise<PublishedStream> {
  const { name, partitions } = options
  const project = await mkdtemp(join(tmpdir(), 'mesh-streams-'))
  const folder = join(project, 'streams', name)
  await mkdir(folder, { recursive: true })
  await mkdir(join(project, 'sources'))
  for (const [source, text] of Object.entries(options.sources ?? {})) {
    await writeFile(join(project, 'sources', `${source}.yaml`), text)
  }
  const head = `name: ${name}\ndescription: Events of ${name}\nowner: team@example.com\n`
  const tail = `raw: { partitions: ${partitions}, retention: 7d }\nrefine: { schema: refined.avsc }\nlake: { bronze: { format: parquet }, silver: { format: parquet } }\nwarehouse: { table: ${name.replaceAll('-', '_').toUpperCase()}, mode: append }\n`
  await writeFile(join(folder, 'stream.yaml'), head + options.yaml + tail)
  await writeFile(join(folder, 'refined.avsc'), JSON.stringify(REFINED))
  const bundle = await freezeBundle(await loadStreamFolder(folder))
  await putBundle(openObjectStore({ url: options.lakeUrl }), bundle)

  const topic = rawTopic(name)
  await kafka.admin.ensureTopics([
    rawTopicSpec(bundle.contract),
    ...meshTopics().filter((spec) => spec.name === VERSIONS_TOPIC),
  ])
  const { hash, codeHash, contractHash } = bundle
  const zeros = Array.from({ length: partitions }, () => 0)
  const state: StreamVersions = {
    stream: name,
    epoch: options.epoch ?? 0,
    live: 1,
    rawTopicId: (await kafka.admin.topicIds([topic])).get(topic) ?? '',
    partitions,
    versions: [
      {
        version: 1,
        status: 'live',
        bundles: [{ hash, codeHash, contractHash, schemaId: 1, from: zeros }],
        start: zeros,
        replay: null,
      },
    ],
    at: new Date().toISOString(),
  }
  const text = new TextEncoder()
  await producer.send(VERSIONS_TOPIC, [
    { partition: 0, key: text.encode(name), value: text.encode(JSON.stringify(state)), headers: [] },
  ])
  return { topic, bundle: hash }
}
