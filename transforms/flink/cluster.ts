#!/usr/bin/env node
/** `node transforms/flink/cluster.ts start|stop`: a local session cluster; `start` stays until Ctrl-C. */
import { join } from 'node:path'
import { installFlink } from '../../packages/cli/src/stack/flink.ts'
import { startFlinkCluster, stopFlinkCluster } from '../../packages/cli/src/stack/flink-cluster.ts'

const ROOT = join(import.meta.dirname, '..', '..')
const STATE = join(ROOT, '.mesh', 'flink')

const [action] = process.argv.slice(2)
if (action === 'stop') {
  console.log(`${await stopFlinkCluster(STATE)} process(es) stopped`)
} else if (action === 'start') {
  const installation = await installFlink({
    folder: import.meta.dirname,
    cache: join(ROOT, '.mesh', 'cache'),
    env: process.env,
    onProgress: (text) => console.log(`flink ${text}`),
  })
  const cluster = await startFlinkCluster({ ...installation, stateDir: STATE, env: process.env })
  console.log(`export MESH_FLINK_URL=${cluster.url} MESH_FLINK_GATEWAY_URL=${cluster.gatewayUrl}`)
  const ended = Promise.withResolvers<void>()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => ended.resolve())
  await ended.promise
  await cluster.stop()
} else {
  console.error('usage: node transforms/flink/cluster.ts start|stop')
  process.exitCode = 2
}
