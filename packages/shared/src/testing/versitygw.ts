import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { access, mkdir, mkdtemp, rename, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import type { S3Settings } from '../lake/s3-object-store.ts'
import { freePort } from './free-port.ts'

const VERSION = '1.8.0'
const CACHE = path.resolve(import.meta.dirname, '../../../../.mesh/cache')
const ACCESS = { accessKeyId: 'test', secretAccessKey: 'testsecret' }
const READY_TIMEOUT_MS = 60_000

export type S3Server = {
  readonly bucket: string
  readonly settings: S3Settings
  /** The bucket's folder: an object is the file of its key. */
  readonly folder: string
  readonly close: () => Promise<void>
}

/** Starts versitygw, a real S3 server over a folder, with one empty bucket. Built once into the repository's cache. */
export async function startVersitygw(): Promise<S3Server> {
  const binary = await buildOnce()
  const root = await mkdtemp(path.join(tmpdir(), 'mesh-s3-'))
  const bucket = 'lake'
  await mkdir(path.join(root, bucket))
  const port = await freePort()
  const server = spawn(binary, ['--port', `127.0.0.1:${port}`, '--quiet', '--keep-alive', 'posix', root], {
    env: { ...process.env, ROOT_ACCESS_KEY: ACCESS.accessKeyId, ROOT_SECRET_KEY: ACCESS.secretAccessKey },
    stdio: 'ignore',
  })
  const endpoint = `http://127.0.0.1:${port}`
  await untilReady(endpoint, server)
  return {
    bucket,
    settings: { endpoint, region: 'us-east-1', credentials: ACCESS },
    folder: path.join(root, bucket),
    close: async () => {
      if (server.exitCode === null && server.signalCode === null) {
        server.kill('SIGKILL')
        await once(server, 'exit')
      }
      await rm(root, { recursive: true, force: true })
    },
  }
}

async function buildOnce(): Promise<string> {
  const binary = path.join(CACHE, `versitygw-${VERSION}`)
  if (
    await access(binary).then(
      () => true,
      () => false,
    )
  )
    return binary
  await mkdir(CACHE, { recursive: true })
  const build = await mkdtemp(path.join(CACHE, 'build-'))
  try {
    const source = `github.com/versity/versitygw/cmd/versitygw@v${VERSION}`
    await promisify(execFile)('go', ['install', '-ldflags', '-s -w', source], {
      env: { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/local/go/bin`, GOBIN: build },
    })
    await rename(path.join(build, 'versitygw'), binary)
    return binary
  } catch (cause) {
    throw new Error('S3 tests need versitygw: install Go 1.26 or later, it is then built by itself', { cause })
  } finally {
    await rm(build, { recursive: true, force: true })
  }
}

async function untilReady(endpoint: string, server: ChildProcess): Promise<void> {
  const deadline = Date.now() + READY_TIMEOUT_MS
  for (;;) {
    // Any answer will do: an unsigned request is refused by a server that is up.
    if (
      await fetch(endpoint).then(
        () => true,
        () => false,
      )
    )
      return
    if (server.exitCode !== null) throw new Error(`versitygw ended with exit code ${server.exitCode}`)
    if (Date.now() > deadline) throw new Error(`versitygw is not ready after ${READY_TIMEOUT_MS} ms`)
    await delay(20)
  }
}
