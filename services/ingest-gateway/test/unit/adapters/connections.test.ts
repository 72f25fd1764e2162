import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { type GatewayDouble, gatewayDouble } from '../../support/gateway.ts'

/** Conditions come true at once on a free machine. */
const PATIENT = { timeout: 50_000 }

const HEAD = 'POST /v1/streams/open/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n'

describe('connections', () => {
  let gateway: GatewayDouble
  let socket: Socket
  let received = ''

  async function open(options: Parameters<typeof gatewayDouble>[0]): Promise<void> {
    gateway = gatewayDouble(options)
    const { port } = new URL(await gateway.start())
    socket = connect(Number(port), '127.0.0.1')
    received = ''
    socket.on('data', (chunk: Buffer) => (received += chunk.toString('latin1')))
    socket.on('error', () => {})
    await once(socket, 'connect')
  }
  const answers = (pattern: RegExp): Promise<void> => vi.waitFor(() => expect(received).toMatch(pattern), PATIENT)
  afterEach(async () => {
    socket.destroy()
    await gateway.app.close()
  })

  test('a body declared too large is refused before it is sent, and the connection ends', async () => {
    await open({})
    socket.write(`${HEAD}Content-Length: 1000000000\r\n\r\n{"a":`)
    await answers(/^HTTP\/1\.1 413 [\s\S]*connection: close[\s\S]*MESH_BODY_TOO_LARGE/i)
    await vi.waitFor(() => expect(socket.closed || socket.readableEnded).toBe(true), PATIENT)
  })

  test('a chunked body is refused at the first byte too many, while it is still being sent', async () => {
    await open({})
    socket.write(`${HEAD}Transfer-Encoding: chunked\r\n\r\n`)
    socket.write(`${(20_001).toString(16)}\r\n"${'x'.repeat(20_000)}\r\n`)
    await answers(/^HTTP\/1\.1 413 [\s\S]*MESH_BODY_TOO_LARGE/)
    expect(gateway.admission.inFlightBytes()).toBe(0)
  })

  test('after a short refused body the same connection serves on', async () => {
    await open({})
    socket.write(`${HEAD}Content-Length: 20002\r\n\r\n"${'x'.repeat(20_000)}"`)
    await answers(/^HTTP\/1\.1 413 /)
    socket.write(`${HEAD}Content-Length: 2\r\n\r\n{}`)
    await answers(/HTTP\/1\.1 200 [\s\S]*accepted/)
  })

  test('a body that does not arrive in time is 408, and its bytes are given back', async () => {
    await open({ limits: { requestTimeoutMs: 30 } })
    socket.write(`${HEAD}Content-Length: 100\r\n\r\n{"a":`)
    await answers(/^HTTP\/1\.1 408 [\s\S]*MESH_BODY_INCOMPLETE[\s\S]*30 ms/)
    expect(gateway.admission.inFlightBytes()).toBe(0)
  })

  test('a sender that goes away in the middle leaves nothing behind', async () => {
    await open({})
    socket.write(`${HEAD}Content-Length: 100\r\n\r\n{"a":`)
    await vi.waitFor(() => expect(gateway.admission.inFlightBytes()).toBe(5), PATIENT)
    socket.destroy()
    await vi.waitFor(() => expect(gateway.admission.inFlightBytes()).toBe(0), PATIENT)
    expect(gateway.producer.written).toHaveLength(0)
  })

  test('a chunked body that meets the cap is turned away with Retry-After', async () => {
    await open({ maxInFlightBytes: 10_000 })
    gateway.admission.take(5000)
    socket.write(`${HEAD}Transfer-Encoding: chunked\r\n\r\n${(6000).toString(16)}\r\n"${'x'.repeat(5999)}\r\n`)
    await answers(/^HTTP\/1\.1 503 [\s\S]*retry-after: 5[\s\S]*MESH_GATEWAY_OVERLOADED/i)
    expect(gateway.admission.inFlightBytes()).toBe(5000)
  })
})
