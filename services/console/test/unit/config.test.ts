import { expect, test } from 'vitest'
import { serviceAddresses } from '../../src/config.ts'

test('services are named with their address', () => {
  expect(serviceAddresses(['enricher=http://127.0.0.1:8101/', 'a=https://h/x?y=z'])).toEqual([
    { name: 'enricher', url: 'http://127.0.0.1:8101' },
    { name: 'a', url: 'https://h/x?y=z' },
  ])
})

test.each(['enricher', '=http://h', 'enricher=ftp://h', 'enricher=h:1'])('%s is refused', (entry) => {
  expect(() => serviceAddresses([entry])).toThrow(expect.objectContaining({ code: 'MESH_CONFIG_INVALID' }))
})
