import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Environment } from './process.ts'

/** What the local stack needs and a developer need not invent: an API key and the webhook secret of the demo's sender. */
const LOCAL_SECRETS: Readonly<Record<string, () => string>> = {
  MESH_INGEST_GATEWAY_API_KEYS: () => `local:${randomBytes(24).toString('base64url')}`,
  GITHUB_WEBHOOK_SECRET: () => randomBytes(24).toString('base64url'),
}

/**
 * The caller's environment, completed from `<state>/secrets.json`, which is made on first use and readable by its owner only.
 * What the caller sets wins.
 */
export function withLocalSecrets(stateDir: string, env: Environment): Environment {
  const file = join(stateDir, 'secrets.json')
  const stored = existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Record<string, string>) : {}
  const missing = Object.keys(LOCAL_SECRETS).filter((name) => stored[name] === undefined)
  for (const name of missing) stored[name] = LOCAL_SECRETS[name]!()
  if (missing.length > 0) writeFileSync(file, `${JSON.stringify(stored, null, 2)}\n`, { mode: 0o600 })
  return { ...stored, ...env }
}

/** The first key of `name:key,name:key`. */
export function firstApiKey(env: Environment): string | null {
  const pair = env['MESH_INGEST_GATEWAY_API_KEYS']?.split(',')[0]?.trim()
  return pair ? pair.slice(pair.indexOf(':') + 1) : null
}
