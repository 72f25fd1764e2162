import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { findPython } from '../../../src/stack/python-engine.ts'

let folder = ''
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'mesh-python-'))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

function fake(name: string, version: string): string {
  const file = join(folder, name)
  writeFileSync(file, `#!/bin/sh\necho ${version}\n`)
  chmodSync(file, 0o755)
  return file
}

test('without a Python, or with one that is too old, it is said which one is needed and which one is there', async () => {
  await expect(findPython({ PATH: '/nowhere' })).rejects.toMatchObject({
    code: 'MESH_PYTHON_MISSING',
    message: 'no Python 3.10 to 3.13 on the PATH',
  })
  fake('python3', '3.8')
  await expect(findPython({ PATH: folder })).rejects.toMatchObject({
    message: expect.stringContaining('python3 is 3.8'),
  })
})

test('the newest one that fits is taken', async () => {
  fake('python3', '3.14')
  const fits = fake('python3.11', '3.11')
  expect(await findPython({ PATH: folder })).toEqual({ path: fits, version: '3.11' })
})

test('an engine may ask for a newer one than the others', async () => {
  const env = { PATH: folder, MESH_PYTHON: fake('python-old', '3.10') }
  expect(await findPython(env)).toMatchObject({ version: '3.10' })
  await expect(findPython(env, [3, 11])).rejects.toMatchObject({
    code: 'MESH_PYTHON_MISSING',
    message: expect.stringContaining('no Python 3.11 to 3.13'),
  })
})
