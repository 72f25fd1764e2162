import { expect, test } from 'vitest'
import { portsOf } from '../../src/stack-options.ts'

test('a single port wins over the base, a flag over the environment', () => {
  const env = { MESH_PORT_BASE: '30000', MESH_PORT_LAKE_SINK: '1234', MESH_PORT_CONSOLE: '5678' }
  const ports = portsOf(env, undefined, ['console=9999'])
  expect(ports).toMatchObject({ kafka: 30_000, 'lake-sink': 1234, console: 9999 })
})

test('a base on the command line replaces every port of the environment', () => {
  const ports = portsOf({ MESH_PORT_KAFKA: '1234' }, '40000', [])
  expect(ports['kafka']).toBe(40_000)
})

test('without settings nothing is overridden', () => {
  expect(portsOf({}, undefined, [])).toEqual({})
})

test.for([
  ['kafak=1', "--port: there is no 'kafak'; did you mean 'kafka'?"],
  ['kafka', "--port kafka: '' is not a port (1 to 65535)"],
  ['kafka=0', "--port kafka: '0' is not a port (1 to 65535)"],
  ['kafka=70000', "--port kafka: '70000' is not a port (1 to 65535)"],
] as const)('--port %s is refused', ([flag, message]) => {
  expect(() => portsOf({}, undefined, [flag])).toThrow(message)
})
