import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import type * as KafkaJs from 'kafkajs'
import { expect, it, onTestFinished } from 'vitest'
import { createSessionSockets, type SessionSockets } from '../../../src/kafka/session-sockets.ts'
import { until } from '../../../src/testing/until.ts'

type Connected = { readonly connect: () => Promise<Socket>; readonly accepted: Socket[] }

async function connected(sockets: SessionSockets): Promise<Connected> {
  const accepted: Socket[] = []
  const server = createServer((socket) => accepted.push(socket))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    for (const socket of accepted) socket.destroy()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  const options = { host: '127.0.0.1', port, onConnect: () => undefined } as Parameters<KafkaJs.ISocketFactory>[0]
  return {
    accepted,
    async connect() {
      const socket = sockets.factory(options)
      onTestFinished(() => void socket.destroy())
      await once(socket, 'connect')
      return socket
    },
  }
}

it('fails what waits, and opens no other, once a connection of the session has broken', async () => {
  const sockets = createSessionSockets()
  const { connect, accepted } = await connected(sockets)
  for (let i = 0; i < 2; i++) (await connect()).resume()
  await until(() => accepted.length === 2, 'both connections')
  const answered = sockets.unlessBroken(Promise.resolve('answer'))
  const waiting = sockets.unlessBroken(new Promise(() => undefined))
  expect(await answered).toBe('answer')
  expect(sockets.isBroken()).toBe(false)
  accepted[0]!.destroy()
  await expect(waiting).rejects.toThrow('a connection of the transactional session broke')
  expect(sockets.isBroken()).toBe(true)
  await expect(connect()).rejects.toThrow('a connection of the transactional session broke')
})

it('goes on when a broker that is not there refuses a connection', async () => {
  const sockets = createSessionSockets()
  const { connect } = await connected(sockets)
  const gone = createServer().listen(0, '127.0.0.1')
  await once(gone, 'listening')
  const { port } = gone.address() as AddressInfo
  gone.close()
  await once(gone, 'close')
  const options = { host: '127.0.0.1', port, onConnect: () => undefined } as Parameters<KafkaJs.ISocketFactory>[0]
  const refused = sockets.factory(options)
  refused.on('error', () => undefined)
  await new Promise((resolve) => refused.once('close', resolve))
  expect(sockets.isBroken()).toBe(false)
  await connect()
})
