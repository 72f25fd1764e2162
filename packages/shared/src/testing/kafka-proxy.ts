import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

/** Api keys of Kafka's protocol. */
export const API = {
  produce: 0,
  fetch: 1,
  listOffsets: 2,
  metadata: 3,
  offsetCommit: 8,
  offsetFetch: 9,
  findCoordinator: 10,
  joinGroup: 11,
  heartbeat: 12,
  leaveGroup: 13,
  syncGroup: 14,
  initProducerId: 22,
  addPartitionsToTxn: 24,
  addOffsetsToTxn: 25,
  endTxn: 26,
  txnOffsetCommit: 28,
} as const

/** A request on its way to the broker. `nth` counts requests of its api key through this proxy, from 1. */
export type ProxiedRequest = {
  readonly apiKey: number
  readonly apiVersion: number
  readonly clientId: string
  readonly nth: number
  /** The whole request without its length, header included. */
  readonly bytes: Buffer
}

/**
 * `pass` · `cut-before`: the connection ends, the broker sees nothing · `cut-after`: the broker does it, the connection ends
 * instead of the answer · `swallow-request`, `swallow-answer`: the same, and the connection stays open, so that the client waits.
 */
export type ProxyVerdict = 'pass' | 'cut-before' | 'cut-after' | 'swallow-request' | 'swallow-answer'

export type KafkaProxy = {
  /** host:port, for clients and as what they find advertised. */
  readonly address: string
  /** Decides of every request; a promise holds it, and what follows on its connection. Null lets all through. */
  intercept(hook: ((request: ProxiedRequest) => ProxyVerdict | Promise<ProxyVerdict>) | null): void
  /** Gives the answer to every request of an api key instead of the broker's (without length and correlation id). */
  answer(hook: ((request: ProxiedRequest) => Buffer | null) | null): void
  /** How many requests of an api key have come. */
  count(apiKey: number): number
  /** Ends all connections; new ones are refused until `accept`. */
  cut(): void
  accept(): void
  close(): Promise<void>
}

const LENGTH_BYTES = 4
/** Answers that name brokers: their address becomes the proxy's, so that every connection comes through here. */
const NAMES_BROKERS: ReadonlySet<number> = new Set([API.metadata, API.findCoordinator])

type Pending = { readonly request: ProxiedRequest; readonly verdict: ProxyVerdict }

/** A proxy in front of one broker that sees requests and answers as frames. @param broker its advertised host:port, IPv4 */
export async function startKafkaProxy(broker: string): Promise<KafkaProxy> {
  const [host, port] = [broker.slice(0, broker.lastIndexOf(':')), Number(broker.slice(broker.lastIndexOf(':') + 1))]
  const counts = new Map<number, number>()
  const sockets = new Set<Socket>()
  let hook: ((request: ProxiedRequest) => ProxyVerdict | Promise<ProxyVerdict>) | null = null
  let answering: ((request: ProxiedRequest) => Buffer | null) | null = null
  let refusing = false

  const server = createServer((client) => {
    if (refusing) return void client.destroy()
    const upstream = connect(port, host)
    const pending = new Map<number, Pending>()
    const end = (): void => {
      client.destroy()
      upstream.destroy()
    }
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.setNoDelay(true)
      socket.on('error', end)
      socket.on('close', () => {
        sockets.delete(socket)
        end()
      })
    }

    onFrames(client, async (frame) => {
      const request = readRequest(frame, counts)
      const correlation = frame.readInt32BE(4)
      const verdict = hook ? await hook(request) : 'pass'
      if (verdict === 'cut-before') return end()
      if (verdict === 'swallow-request') return
      const made = answering?.(request)
      if (made) return writeFrame(client, Buffer.concat([int32(correlation), made]))
      pending.set(correlation, { request, verdict })
      writeFrame(upstream, frame)
    })
    onFrames(upstream, (frame) => {
      const correlation = frame.readInt32BE(0)
      const own = pending.get(correlation)
      pending.delete(correlation)
      if (own?.verdict === 'cut-after') end()
      else if (own?.verdict !== 'swallow-answer') {
        const renamed = own && NAMES_BROKERS.has(own.request.apiKey)
        writeFrame(client, renamed ? readdress(frame, { host, from: port, to: portOf() }) : frame)
      }
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')

  function portOf(): number {
    return (server.address() as AddressInfo).port
  }

  function cut(): void {
    refusing = true
    for (const socket of sockets) socket.destroy()
  }

  return {
    address: `${host}:${portOf()}`,
    intercept(next) {
      hook = next
    },
    answer(next) {
      answering = next
    },
    count: (apiKey) => counts.get(apiKey) ?? 0,
    cut,
    accept() {
      refusing = false
    },
    async close() {
      cut()
      server.close()
      await once(server, 'close')
    },
  }
}

/** Calls `take` for each frame of a stream, one after another; the stream waits meanwhile. */
function onFrames(socket: Socket, take: (frame: Buffer) => void | Promise<void>): void {
  let rest: Buffer = Buffer.alloc(0)
  let working: Promise<void> = Promise.resolve()
  socket.on('data', (bytes: Buffer) => {
    rest = rest.length === 0 ? bytes : Buffer.concat([rest, bytes])
    while (rest.length >= LENGTH_BYTES && rest.length >= LENGTH_BYTES + rest.readInt32BE(0)) {
      const frame = rest.subarray(LENGTH_BYTES, LENGTH_BYTES + rest.readInt32BE(0))
      rest = rest.subarray(LENGTH_BYTES + frame.length)
      working = working.then(() => take(frame)).catch(() => void socket.destroy())
    }
  })
}

/** Request header v1 and later: api key, version, correlation id, client id. */
function readRequest(frame: Buffer, counts: Map<number, number>): ProxiedRequest {
  const apiKey = frame.readInt16BE(0)
  const nth = (counts.get(apiKey) ?? 0) + 1
  counts.set(apiKey, nth)
  const length = Math.max(0, frame.readInt16BE(8))
  return {
    apiKey,
    apiVersion: frame.readInt16BE(2),
    clientId: frame.toString('utf8', 10, 10 + length),
    nth,
    bytes: frame,
  }
}

/** A broker stands in an answer as its host's text and then its port as int32, in every version. */
function readdress(frame: Buffer, { host, from, to }: { host: string; from: number; to: number }): Buffer {
  const renamed = Buffer.from(frame)
  const search = Buffer.concat([Buffer.from(host), int32(from)])
  for (let at = renamed.indexOf(search); at >= 0; at = renamed.indexOf(search, at + 1))
    renamed.writeInt32BE(to, at + host.length)
  return renamed
}

function writeFrame(socket: Socket, frame: Buffer): void {
  if (socket.writable) socket.write(Buffer.concat([int32(frame.length), frame]))
}

function int32(n: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(n)
  return bytes
}
