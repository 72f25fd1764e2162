import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { findEngineJava, findJava } from '../../../src/stack/java.ts'

let folder = ''

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'mesh-java-'))
})

afterAll(() => rmSync(folder, { recursive: true, force: true }))

test('the newest installation wins, wherever it is', async () => {
  const jvms = join(folder, 'newest')
  const old = install(join(jvms, 'java-21'), '21.0.7')
  install(join(jvms, 'java-25'), '25.0.3')
  install(join(jvms, 'java-8'), '1.8.0_402')
  const java = await findJava({ javaHome: old, folders: [jvms] })
  expect(java).toMatchObject({ major: 25, version: '25.0.3', home: join(jvms, 'java-25') })
})

test('a Java on the PATH is found', async () => {
  const home = install(join(folder, 'on-path', 'jdk'), '21')
  expect(await findJava({ path: `/nowhere:${join(home, 'bin')}`, folders: [] })).toMatchObject({ major: 21 })
})

test('a Java that is too old is named in the error', async () => {
  const home = install(join(folder, 'too-old', 'jdk'), '17.0.15')
  await expect(findJava({ javaHome: home, folders: [] })).rejects.toMatchObject({
    code: 'MESH_STACK_JAVA_MISSING',
    message: expect.stringContaining(`found Java 17.0.15 at ${home}`),
  })
})

test('without any Java, or with a broken one, the error says none was found', async () => {
  const home = join(folder, 'broken', 'jdk')
  program(join(home, 'bin'), 'exit 1')
  await expect(findJava({ javaHome: home, path: '/nowhere', folders: ['/nowhere'] })).rejects.toMatchObject({
    code: 'MESH_STACK_JAVA_MISSING',
    message: expect.stringContaining('found none'),
  })
})

test('engines get the newest Java that they run on, which is not the newest there is', async () => {
  const jvms = join(folder, 'engines')
  install(join(jvms, 'java-25'), '25.0.3')
  await expect(findEngineJava({ folders: [jvms] })).rejects.toMatchObject({
    code: 'MESH_STACK_JAVA_MISSING',
    message: expect.stringContaining('need Java 17 to 21; found Java 25.0.3'),
  })
  install(join(jvms, 'java-17'), '17.0.15')
  expect(await findEngineJava({ folders: [jvms] })).toMatchObject({ major: 17 })
})

function install(home: string, version: string): string {
  program(join(home, 'bin'), `echo 'openjdk version "${version}" 2025-04-15' >&2`)
  return home
}

function program(bin: string, body: string): void {
  mkdirSync(bin, { recursive: true })
  writeFileSync(join(bin, 'java'), `#!/bin/sh\n${body}\n`)
  chmodSync(join(bin, 'java'), 0o755)
}
