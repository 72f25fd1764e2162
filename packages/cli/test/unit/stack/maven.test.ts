import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type FetchRequest, fetchWithMaven } from '../../../src/stack/maven.ts'

const JAVA = { path: '/jdk/bin/java', home: '/jdk', major: 21, version: '21' }
/** Finds the value of -Dmesh.output= among the arguments. */
const OUTPUT = 'for arg in "$@"; do case "$arg" in -Dmesh.output=*) out="${arg#*=}";; esac; done'

let folder = ''

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'mesh-maven-'))
  writeFileSync(join(folder, 'pom.xml'), '<project/>')
})

afterEach(() => rmSync(folder, { recursive: true, force: true }))

test('what Maven writes ends up in a folder of the cache, and is not fetched twice', async () => {
  const calls = join(folder, 'calls')
  const request = fetchRequest(`${OUTPUT}; echo called >> ${calls}; echo jar > "$out/a.jar"`)
  const first = await fetchWithMaven(request)
  expect(readFileSync(join(first, 'a.jar'), 'utf8')).toBe('jar\n')
  expect(await fetchWithMaven(request)).toBe(first)
  expect(readFileSync(calls, 'utf8')).toBe('called\n')
})

test('another pom is another folder', async () => {
  const request = fetchRequest('true')
  const first = await fetchWithMaven(request)
  writeFileSync(request.pom, '<project><!-- newer --></project>')
  expect(await fetchWithMaven(request)).not.toBe(first)
})

test('concurrent fetches download once', async () => {
  const calls = join(folder, 'calls')
  const request = fetchRequest(`echo called >> ${calls}`)
  const found = await Promise.all([fetchWithMaven(request), fetchWithMaven(request)])
  expect(new Set(found).size).toBe(1)
  expect(readFileSync(calls, 'utf8')).toBe('called\n')
})

test('a broken download leaves nothing behind and says in one line what could not be had', async () => {
  const line = '[ERROR] Failed to execute goal: Could not transfer artifact a:b:jar:1: Connection refused -> [Help 1]'
  const request = fetchRequest(`${OUTPUT}; echo half > "$out/a.jar"; echo '${line}'; exit 1`)
  await expect(fetchWithMaven(request)).rejects.toMatchObject({
    code: 'MESH_STACK_DOWNLOAD',
    message: expect.stringMatching(/^kafka could not be fetched: .*Connection refused$/),
  })
  expect(readdirSync(request.cache)).toEqual([])
})

test('a failure after the download counts as no download', async () => {
  const request = { ...fetchRequest('true'), prepare: () => Promise.reject(new Error('cannot format')) }
  await expect(fetchWithMaven(request)).rejects.toThrow('cannot format')
  expect(readdirSync(request.cache)).toEqual([])
})

test('a full disk is named as such', async () => {
  const request = fetchRequest("echo '[ERROR] java.io.IOException: No space left on device'; exit 1")
  await expect(fetchWithMaven(request)).rejects.toMatchObject({ code: 'MESH_STACK_DISK_FULL' })
})

test('without Maven the error says so', async () => {
  const request = { ...fetchRequest('true'), env: { PATH: '/nowhere' } }
  await expect(fetchWithMaven(request)).rejects.toMatchObject({ code: 'MESH_STACK_MAVEN_MISSING' })
})

test('what a killed fetch left half done is removed', async () => {
  const request = fetchRequest('true')
  mkdirSync(join(request.cache, '.kafka-abandoned'), { recursive: true })
  await fetchWithMaven(request)
  expect(existsSync(join(request.cache, '.kafka-abandoned'))).toBe(false)
})

test('an abort ends Maven', async () => {
  const abort = new AbortController()
  const request = { ...fetchRequest('exec sleep 600'), signal: abort.signal, onProgress: () => abort.abort() }
  await expect(fetchWithMaven(request)).rejects.toMatchObject({ code: 'MESH_STACK_STOPPED' })
})

function fetchRequest(script: string): FetchRequest {
  const bin = join(folder, 'bin')
  mkdirSync(bin, { recursive: true })
  writeFileSync(join(bin, 'mvn'), `#!/bin/sh\n${script}\n`)
  chmodSync(join(bin, 'mvn'), 0o755)
  const env = { PATH: `${bin}:/usr/bin:/bin` }
  return { name: 'kafka', pom: join(folder, 'pom.xml'), cache: join(folder, 'cache'), java: JAVA, env }
}
