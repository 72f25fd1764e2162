import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

const HOST = '127.0.0.1'

/** A port that leads to another one while it is open; closed, it refuses connections and has cut those that there were. */
export type PortGate = {
  readonly url: string
  open(): Promise<void>
  close(): Promise<void>
}

export async function openGateTo(url: string): Promise<PortGate> {
  const target = Number(new URL(url).port)
  const sockets = new Set<Socket>()
  const hold = (socket: Socket): Socket => {
    sockets.add(socket)
    return socket.on('error', () => {}).once('close', () => sockets.delete(socket))
  }
  const server = createServer((client) => {
    const inner = hold(connect(target, HOST))
    hold(client).once('close', () => inner.destroy())
    inner.once('close', () => client.destroy())
    client.pipe(inner).pipe(client)
  })
  let port = 0
  async function open(): Promise<void> {
    server.listen(port, HOST)
    await once(server, 'listening')
    port = (server.address() as AddressInfo).port
  }
  async function close(): Promise<void> {
    if (!server.listening) return
    const closed = once(server.close(), 'close')
    for (const socket of sockets) socket.destroy()
    await closed
  }
  await open()
  return { url: `http://${HOST}:${port}`, open, close }
}
