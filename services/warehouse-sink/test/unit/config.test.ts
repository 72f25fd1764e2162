import { expect, test } from 'vitest'
import { warehousePath } from '../../src/config.ts'

test('the path of the warehouse comes from its URL', () => {
  expect(warehousePath('duckdb:///data/my%20mesh.duckdb')).toBe('/data/my mesh.duckdb')
})

test.each(['/data/mesh.duckdb', 'file:///mesh.duckdb', 'duckdb://host/mesh.duckdb', 'duckdb:///'])(
  '%s is refused',
  (url) => {
    expect(() => warehousePath(url)).toThrow(expect.objectContaining({ code: 'MESH_CONFIG_INVALID' }))
  },
)
