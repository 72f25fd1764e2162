import { existsSync, mkdirSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { MeshError } from '@mesh/shared/core/errors'
import { HOST, isPortOpen } from './ports.ts'
import type { ExtraServer } from './stack.ts'
import { pidFile } from './state.ts'

/** A Redis for the demonstration, kept in the stack's folder; it is found on the PATH. */
export function redisServer(): ExtraServer {
  return {
    name: 'redis',
    spec({ port, layout, env }) {
      const command = findRedis(env['PATH'])
      const folder = layout.redis
      mkdirSync(folder, { recursive: true })
      const args = ['--port', String(port), '--bind', HOST, '--dir', folder, '--save', '', '--appendonly', 'yes']
      return {
        name: 'redis',
        command,
        args,
        env,
        cwd: folder,
        logFile: join(layout.logs, 'redis.log'),
        pidFile: pidFile(layout, 'redis'),
        isReady: () => isPortOpen(port),
        readyTimeoutMs: 30_000,
        stopTimeoutMs: 10_000,
      }
    },
    environment: (port) => ({ MESH_DEMO_REDIS_PORT: String(port) }),
  }
}

/** @throws MeshError MESH_STACK_REDIS_MISSING */
export function findRedis(path: string | undefined): string {
  const folders = [...(path ?? '').split(delimiter), '/usr/bin', '/usr/local/bin', '/opt/homebrew/bin']
  const found = folders.map((folder) => join(folder, 'redis-server')).find((file) => existsSync(file))
  if (found === undefined) throw new MeshError('MESH_STACK_REDIS_MISSING', 'redis-server is not installed')
  return found
}
