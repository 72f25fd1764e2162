import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { findProject } from '../../src/project-folder.ts'

let folder = ''

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'mesh-project-'))
  mkdirSync(join(folder, 'project', 'streams', 'flights', 'samples'), { recursive: true })
})

afterAll(() => rmSync(folder, { recursive: true, force: true }))

test('the project is the nearest folder upwards with streams/', () => {
  expect(findProject(join(folder, 'project', 'streams', 'flights'))).toBe(join(folder, 'project'))
})

test('a named project must have streams/', () => {
  expect(findProject(folder, 'project')).toBe(join(folder, 'project'))
  expect(() => findProject(folder, '.')).toThrow(expect.objectContaining({ code: 'MESH_CLI_NO_PROJECT' }) as Error)
})

test('outside every project the error says so', () => {
  expect(() => findProject(folder)).toThrow(expect.objectContaining({ code: 'MESH_CLI_NO_PROJECT' }) as Error)
})
