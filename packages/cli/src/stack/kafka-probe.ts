import { connect } from 'node:net'

const METADATA = 3
const CORRELATION = 1

/**
 * Whether the broker serves: it answers a Metadata request (version 1, no topics) and lists at least one broker.
 * A broker that has opened its port but is still fenced lists none.
 */
export function isBrokerReady(host: string, port: number, timeoutMs = 1000): Promise<boolean> {
  return new Promise((resolve) => {
    let received = Buffer.alloc(0)
    const socket = connect({ host, port, timeout: timeoutMs }, () => socket.write(metadataRequest()))
    const finish = (ready: boolean): void => {
      socket.destroy()
      resolve(ready)
    }
    socket.on('data', (chunk) => {
      received = Buffer.concat([received, chunk])
      if (received.length >= 12) finish(received.readInt32BE(4) === CORRELATION && received.readInt32BE(8) > 0)
    })
    socket.on('timeout', () => finish(false))
    socket.on('error', () => finish(false))
    socket.on('close', () => resolve(false))
  })
}

/** Size, api key, api version, correlation id, null client id, an empty array of topics (= none). */
function metadataRequest(): Buffer {
  const request = Buffer.alloc(18)
  request.writeInt32BE(request.length - 4, 0)
  request.writeInt16BE(METADATA, 4)
  request.writeInt16BE(1, 6)
  request.writeInt32BE(CORRELATION, 8)
  request.writeInt16BE(-1, 12)
  request.writeInt32BE(0, 14)
  return request
}
