import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { connect } from 'node:net'
import { MeshError } from '@mesh/shared/core/errors'
import { canListen } from '@mesh/shared/runtime/can-listen'

/** Every port the local stack can listen on, with its fixed default. The order is the order under `--port-base`. */
export const DEFAULT_PORTS = {
  kafka: 19092,
  'kafka-controller': 19093,
  registry: 18081,
  'registry-management': 18082,
  'ingest-gateway': 8080,
  console: 8090,
  enricher: 8101,
  'lake-sink': 8102,
  'warehouse-sink': 8103,
  replayer: 8104,
  'job-trigger': 8105,
  'kafka-connect': 18083,
  postgres: 15432,
  redis: 16379,
  earthquakes: 18095,
} as const

/** Port by name. Names beyond the defaults belong to services a test brings along. */
export type PortMap = Readonly<Record<string, number>>

export const HOST = '127.0.0.1'

/** Consecutive ports from `base`, in the order of the defaults. */
export function portsFromBase(base: number): PortMap {
  return Object.fromEntries(Object.keys(DEFAULT_PORTS).map((name, index) => [name, base + index]))
}

/**
 * Free ports for the names. Taken below the usual ephemeral range, so that an outgoing connection
 * of another process cannot take one between the check and the start of the server.
 */
export async function findFreePorts(names: readonly string[]): Promise<PortMap> {
  const found = new Map<string, number>()
  const used = new Set<number>()
  for (const name of names) {
    let port = randomPort()
    while (used.has(port) || !(await isFree(port))) port = randomPort()
    used.add(port)
    found.set(name, port)
  }
  return Object.fromEntries(found)
}

/** Throws MESH_STACK_PORT_TAKEN for the first port that something else listens on. */
export async function requireFreePorts(ports: PortMap): Promise<void> {
  for (const [name, port] of Object.entries(ports)) {
    if (await isFree(port)) continue
    const holder = holderOf(port)
    throw new MeshError(
      'MESH_STACK_PORT_TAKEN',
      `port ${port} (${name}) is taken${holder ? ` by ${holder}` : ''}; choose another with --port ${name}=NUMBER or --port-base NUMBER`,
    )
  }
}

function randomPort(): number {
  return 20_000 + Math.floor(Math.random() * 12_000)
}

/** A bind on the loopback address and on all addresses: either may be what another server holds. */
async function isFree(port: number): Promise<boolean> {
  return (await canListen(port, HOST)) && (await canListen(port, undefined))
}

/** `name (pid N)` of the listener where /proc tells, else undefined. */
export function holderOf(port: number): string | undefined {
  const inodes = new Set(['/proc/net/tcp', '/proc/net/tcp6'].flatMap((table) => listeningInodes(table, port)))
  if (inodes.size === 0) return undefined
  for (const pid of numericEntries('/proc')) {
    for (const fd of numericEntries(`/proc/${pid}/fd`)) {
      const target = readOrEmpty(() => readlinkSync(`/proc/${pid}/fd/${fd}`))
      const inode = /^socket:\[(\d+)\]$/.exec(target)?.[1]
      if (inode && inodes.has(inode)) {
        const name = readOrEmpty(() => readFileSync(`/proc/${pid}/comm`, 'utf8')).trim()
        return `${name || 'a process'} (pid ${pid})`
      }
    }
  }
  return undefined
}

/** Columns of /proc/net/tcp: 1 = local address:port in hex, 3 = state (0A = LISTEN), 9 = inode. */
function listeningInodes(table: string, port: number): string[] {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`
  return readOrEmpty(() => readFileSync(table, 'utf8'))
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter((columns) => columns[1]?.endsWith(suffix) && columns[3] === '0A')
    .flatMap((columns) => columns[9] ?? [])
}

function numericEntries(folder: string): string[] {
  try {
    return readdirSync(folder).filter((entry) => /^\d+$/.test(entry))
  } catch {
    return [] // not Linux, or another user's process
  }
}

function readOrEmpty(read: () => string): string {
  try {
    return read()
  } catch {
    return ''
  }
}

/** Whether something on this machine takes connections on the port. */
export function isPortOpen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: HOST, port, timeout: 1000 }, () => finish(true))
    const finish = (open: boolean): void => {
      socket.destroy()
      resolve(open)
    }
    socket.on('timeout', () => finish(false))
    socket.on('error', () => finish(false))
  })
}
