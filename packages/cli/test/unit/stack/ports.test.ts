import { existsSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import {
  DEFAULT_PORTS,
  findFreePorts,
  HOST,
  holderOf,
  portsFromBase,
  requireFreePorts,
} from '../../../src/stack/ports.ts'

const servers: Server[] = []

afterEach(() => {
  for (const server of servers.splice(0)) server.close()
})

test('a base gives consecutive ports in the order of the defaults', () => {
  const ports = portsFromBase(30_000)
  expect(Object.keys(ports)).toEqual(Object.keys(DEFAULT_PORTS))
  expect(ports['kafka']).toBe(30_000)
  expect(Object.values(ports)).toEqual(Object.keys(DEFAULT_PORTS).map((_, index) => 30_000 + index))
})

test('free ports are distinct and can be listened on', async () => {
  const ports = await findFreePorts(['a', 'b', 'c'])
  expect(new Set(Object.values(ports)).size).toBe(3)
  await expect(requireFreePorts(ports)).resolves.toBeUndefined()
})

test('a taken port is an error that names the port, its holder and the flag', async () => {
  const port = await listen(HOST)
  await expect(requireFreePorts({ 'lake-sink': port })).rejects.toMatchObject({
    code: 'MESH_STACK_PORT_TAKEN',
    message: expect.stringMatching(
      new RegExp(`port ${port} \\(lake-sink\\) is taken.*--port lake-sink=NUMBER or --port-base`),
    ),
  })
})

test('a port held on all addresses is taken too', async () => {
  const port = await listen('0.0.0.0')
  await expect(requireFreePorts({ kafka: port })).rejects.toMatchObject({ code: 'MESH_STACK_PORT_TAKEN' })
})

test('the holder of a port is named where the system tells', async () => {
  const told = existsSync('/proc/net/tcp') ? `(pid ${process.pid})` : 'undefined'
  expect(String(holderOf(await listen(HOST)))).toContain(told)
})

function listen(host: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    servers.push(server)
    server.once('error', reject)
    server.listen({ port: 0, host }, () => {
      const address = server.address()
      if (typeof address === 'object' && address) resolve(address.port)
    })
  })
}
