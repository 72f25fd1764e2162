import { readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { lakeLocation } from '@mesh/shared/lake/open-object-store'
import { type ConfigSchema, loadConfig } from '@mesh/shared/runtime/config'
import { describe, expect, test, vi } from 'vitest'
import { CONFIG, CONFIG_PREFIX, checkConfig, readSecret } from '../../src/config.ts'

const REQUIRED = { MESH_KAFKA_BROKERS: 'k:9092', MESH_HTTP_PORT: '0', MESH_LAKE_URL: 'file:///lake' }
const README = readFileSync(new URL('../../README.md', import.meta.url), 'utf8')

describe('settings', () => {
  test('the defaults agree with each other', () => {
    const config = loadConfig(CONFIG, REQUIRED, CONFIG_PREFIX)
    expect(() => checkConfig(config)).not.toThrow()
    expect(config.apiKeys).toEqual([])
    expect(lakeLocation(config)).toEqual({ url: 'file:///lake', s3: { region: 'us-east-1' } })
  })

  test('limits that contradict each other are refused by name', () => {
    const load = (env: Record<string, string>) => loadConfig(CONFIG, { ...REQUIRED, ...env }, CONFIG_PREFIX)
    expect(() => checkConfig(load({ MESH_INGEST_GATEWAY_MAX_IN_FLIGHT_BYTES: '65536' }))).toThrow(/MAX_IN_FLIGHT_BYTES/)
    expect(() => checkConfig(load({ MESH_INGEST_GATEWAY_MAX_BODY_BYTES: '2000' }))).toThrow(/MAX_EVENT_BYTES/)
    expect(() => load({ MESH_INGEST_GATEWAY_MAX_BODY_BYTE: '1' })).toThrow(
      /did you mean MESH_INGEST_GATEWAY_MAX_BODY_BYTES/,
    )
  })

  test("the README lists every setting of the service's own with its default", () => {
    const own = Object.values(CONFIG as ConfigSchema).filter((setting) => setting.env.startsWith(CONFIG_PREFIX))
    for (const setting of own) {
      const shown = setting.kind === 'integer' ? `| ${String(setting.default)} |` : '|'
      expect(README).toMatch(new RegExp(`\\| \`${setting.env}\` ${shown.replaceAll('|', '\\|')}`))
    }
  })

  test('a secret is read from the environment or a file at each call; nothing, or an empty one, is null', async () => {
    vi.stubEnv('GATEWAY_TEST_SECRET', 'from env')
    vi.stubEnv('GATEWAY_TEST_EMPTY', '')
    const file = join(tmpdir(), `gateway-secret-${process.pid}`)
    writeFileSync(file, 'first\n')
    expect(await readSecret('env:GATEWAY_TEST_SECRET')).toBe('from env')
    expect(await readSecret('env:GATEWAY_TEST_EMPTY')).toBeNull()
    expect(await readSecret('env:GATEWAY_TEST_MISSING')).toBeNull()
    expect(await readSecret(`file:${file}`)).toBe('first')
    writeFileSync(file, 'second')
    expect(await readSecret(`file:${file}`)).toBe('second')
    expect(await readSecret(`file:${file}.missing`)).toBeNull()
    vi.unstubAllEnvs()
  })
})
