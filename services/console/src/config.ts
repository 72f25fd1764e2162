import { fileURLToPath } from 'node:url'
import { MeshError } from '@mesh/shared/core/errors'
import { COMMON_CONFIG, type ConfigOf } from '@mesh/shared/runtime/config'
import type { ServiceAddress } from './adapters/service-probe.ts'

export const ENV_PREFIX = 'MESH_CONSOLE_'

const OWN_CONFIG = {
  serviceUrls: {
    env: 'MESH_SERVICE_URLS',
    kind: 'list',
    default: [],
    doc: 'The services whose health is shown: name=url, comma separated.',
  },
  refresh: {
    env: 'MESH_CONSOLE_REFRESH',
    kind: 'duration',
    default: 1000,
    min: 100,
    doc: 'Pause between two snapshots while a page is open.',
  },
  probeTimeout: {
    env: 'MESH_CONSOLE_PROBE_TIMEOUT',
    kind: 'duration',
    default: 2000,
    min: 10,
    doc: 'After this a service that does not answer is shown as down.',
  },
  goldUrl: {
    env: 'MESH_GOLD_URL',
    kind: 'string',
    default: null,
    doc: 'Gold, which dbt owns: duckdb:///absolute/file.duckdb.',
  },
  goldRefresh: {
    env: 'MESH_CONSOLE_GOLD_REFRESH',
    kind: 'duration',
    default: 5000,
    min: 500,
    doc: 'Gold is opened at most this often, however many pages show it.',
  },
  maxPages: {
    env: 'MESH_CONSOLE_MAX_PAGES',
    kind: 'integer',
    default: 50,
    min: 1,
    max: 10_000,
    doc: 'Most pages that may be open at once.',
  },
} as const

type Settings = typeof COMMON_CONFIG & typeof OWN_CONFIG
export const CONFIG: Settings = { ...COMMON_CONFIG, ...OWN_CONFIG }

export type Config = ConfigOf<Settings>

/** `enricher=http://127.0.0.1:8101` → its parts. @throws MeshError MESH_CONFIG_INVALID */
export function serviceAddresses(entries: readonly string[]): ServiceAddress[] {
  return entries.map((entry) => {
    const at = entry.indexOf('=')
    const [name, url] = [entry.slice(0, at), entry.slice(at + 1)]
    if (at < 1 || !/^https?:$/.test(URL.canParse(url) ? new URL(url).protocol : '')) {
      throw new MeshError('MESH_CONFIG_INVALID', `MESH_SERVICE_URLS: ${entry} is not name=http://host:port`)
    }
    return { name, url: url.replace(/\/+$/, '') }
  })
}

/** Path of a `duckdb:` URL. Null for none. @throws MeshError MESH_CONFIG_INVALID */
export function goldFile(url: string | null): string | null {
  if (url === null) return null
  const parsed = URL.canParse(url) ? new URL(url) : null
  if (parsed?.protocol !== 'duckdb:' || parsed.host !== '' || parsed.pathname.length < 2) {
    throw new MeshError('MESH_CONFIG_INVALID', 'MESH_GOLD_URL is not duckdb:///absolute/file.duckdb')
  }
  return fileURLToPath(`file://${parsed.pathname}`)
}
