import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from './free-port.ts'

export type RedisServer = {
  readonly port: number
  /** Null without `tls`. */
  readonly tlsPort: number | null
  /** SIGKILL. Its data are what it has written: with `appendonly` all that was answered. */
  kill(): Promise<void>
  /** Starts it again on the same port and folder. */
  start(): Promise<void>
  stop(): Promise<void>
}

const READY_MS = 10_000

export type RedisServerOptions = {
  readonly appendonly?: boolean
  /** Of the user `default`. */
  readonly password?: string
  /** PEM files: a second port is encrypted with them. */
  readonly tls?: { readonly cert: string; readonly key: string; readonly ca: string }
  /** Whoever has no certificate of `tls.ca` is turned away from the encrypted port. */
  readonly asksForCertificate?: boolean
}

/** A real Redis on a free port. @throws when redis-server is not installed. */
export async function startRedisServer(options: RedisServerOptions = {}): Promise<RedisServer> {
  const port = await freePort()
  const tlsPort = options.tls === undefined ? null : await freePort()
  const dir = await mkdtemp(join(tmpdir(), 'mesh-redis-'))
  let child: ChildProcess | null = null

  async function start(): Promise<void> {
    const durable = options.appendonly ? ['--appendonly', 'yes', '--appendfsync', 'always'] : ['--appendonly', 'no']
    const args = ['--port', String(port), '--bind', '127.0.0.1', '--dir', dir, '--save', '', ...durable]
    if (options.password !== undefined) args.push('--requirepass', options.password)
    if (options.tls && tlsPort !== null) {
      const { cert, key, ca } = options.tls
      args.push('--tls-port', String(tlsPort), '--tls-cert-file', cert, '--tls-key-file', key, '--tls-ca-cert-file', ca)
      args.push('--tls-auth-clients', options.asksForCertificate ? 'yes' : 'no')
    }
    child = spawn('redis-server', args, { stdio: 'ignore' })
    const failed = new Promise<never>((_resolve, reject) => {
      child!.once('error', () => reject(new Error('redis-server is not here: install it (apt install redis-server)')))
      child!.once('exit', (code) => reject(new Error(`redis-server ended with code ${code}`)))
    })
    failed.catch(() => undefined)
    await Promise.race([failed, listening(port)])
  }

  async function end(signal: NodeJS.Signals): Promise<void> {
    const ending = child
    child = null
    if (ending === null || ending.exitCode !== null || ending.signalCode !== null) return
    const exited = once(ending, 'exit')
    ending.kill(signal)
    await exited
  }

  await start()
  return {
    port,
    tlsPort,
    start,
    kill: () => end('SIGKILL'),
    async stop() {
      await end('SIGKILL')
      await rm(dir, { recursive: true, force: true })
    },
  }
}

async function listening(port: number): Promise<void> {
  const deadline = Date.now() + READY_MS
  while (!(await accepts(port))) {
    if (Date.now() > deadline) throw new Error(`redis-server does not listen on ${port}`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('data', (data) => {
      socket.destroy()
      // LOADING is no readiness.
      resolve(/^(\+PONG|-NOAUTH)/.test(data.toString()))
    })
    socket.once('connect', () => socket.write('PING\r\n'))
    socket.once('error', () => resolve(false))
  })
}
