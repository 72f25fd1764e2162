import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { findJava } from '../../src/stack/java.ts'

const POM = join(import.meta.dirname, '..', '..', '..', '..', 'infra', 'kafka-connect', 'pom.xml')

test("the tests of Connect's own transform pass", { timeout: 300_000 }, async () => {
  const java = await findJava({ javaHome: process.env['JAVA_HOME'], path: process.env['PATH'] })
  const output = mkdtempSync(join(tmpdir(), 'mesh-transforms-'))
  try {
    const args = ['-B', '-ntp', '-f', POM, '-pl', 'transforms', 'test', `-Dmesh.output=${output}`]
    const options = { env: { ...process.env, JAVA_HOME: java.home }, maxBuffer: 64 * 1024 * 1024 }
    const run = await new Promise<{ error: unknown; stdout: string }>((resolve) => {
      execFile('mvn', args, options, (error, stdout) => resolve({ error, stdout }))
    })
    expect(run.stdout).toMatch(/Tests run: 6, Failures: 0, Errors: 0/)
    expect(run.error).toBeNull()
  } finally {
    rmSync(output, { recursive: true, force: true, maxRetries: 10 })
  }
})
