import { connect } from 'node:net'

const METADATA = 3
const FIND_COORDINATOR = 10
const CORRELATION = 1
/** Size, api key, api version, correlation id, client id (null). */
const HEADER_BYTES = 14

/**
 * Whether the broker serves clients: it lists at least one broker that is not fenced, and it has a coordinator for
 * consumer groups (the first question for one makes it create the topic of group offsets).
 */
export async function isBrokerReady(host: string, port: number, timeoutMs = 1000): Promise<boolean> {
  const metadata = await ask({ host, port, timeoutMs }, METADATA, 1, noTopics())
  if (!metadata || metadata.readInt32BE(0) === 0) return false
  const coordinator = await ask({ host, port, timeoutMs }, FIND_COORDINATOR, 0, text('mesh.readiness'))
  return coordinator !== undefined && coordinator.readInt16BE(0) === 0
}

interface Endpoint {
  readonly host: string
  readonly port: number
  readonly timeoutMs: number
}

/** The first bytes (at least 4) after the correlation id of the answer; undefined when there is none in time. */
function ask(endpoint: Endpoint, api: number, version: number, body: Buffer): Promise<Buffer | undefined> {
  const { host, port, timeoutMs } = endpoint
  return new Promise((resolve) => {
    let received = Buffer.alloc(0)
    const socket = connect({ host, port, timeout: timeoutMs }, () => socket.write(request(api, version, body)))
    const finish = (answer: Buffer | undefined): void => {
      socket.destroy()
      resolve(answer)
    }
    socket.on('data', (chunk) => {
      received = Buffer.concat([received, chunk])
      if (received.length >= 12) finish(received.readInt32BE(4) === CORRELATION ? received.subarray(8) : undefined)
    })
    socket.on('timeout', () => finish(undefined))
    socket.on('error', () => finish(undefined))
    socket.on('close', () => resolve(undefined))
  })
}

function request(api: number, version: number, body: Buffer): Buffer {
  const header = Buffer.alloc(HEADER_BYTES)
  header.writeInt32BE(HEADER_BYTES - 4 + body.length, 0)
  header.writeInt16BE(api, 4)
  header.writeInt16BE(version, 6)
  header.writeInt32BE(CORRELATION, 8)
  header.writeInt16BE(-1, 12)
  return Buffer.concat([header, body])
}

/** An empty array: in Metadata from version 1 on it means no topics (null would mean all). */
function noTopics(): Buffer {
  return Buffer.alloc(4)
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value)
  const length = Buffer.alloc(2)
  length.writeInt16BE(bytes.length)
  return Buffer.concat([length, bytes])
}
