import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { configOf, renderPages, SERVICES } from '../../../../scripts/generate-docs.ts'

const ROOT = join(import.meta.dirname, '..', '..', '..', '..')

describe('reference pages', () => {
  it('say what the code says (`node scripts/generate-docs.ts` writes them)', async () => {
    for (const [path, content] of await renderPages()) {
      expect({ path, content: readFileSync(join(ROOT, path), 'utf8') }).toEqual({ path, content })
    }
  })
})

describe('the fleet of services', () => {
  it('gives one setting one variable and one variable one meaning', async () => {
    const meanings = new Map<string, string>()
    for (const service of SERVICES) {
      for (const [name, setting] of Object.entries(await configOf(service))) {
        const meaning = `${name}: ${setting.kind}`
        expect({ env: setting.env, meaning: meanings.get(setting.env) ?? meaning }).toEqual({
          env: setting.env,
          meaning,
        })
        meanings.set(setting.env, meaning)
      }
    }
    const names = [...meanings.values()]
    const shared = names.filter((name, i) => names.indexOf(name) !== i && !name.startsWith('flush'))
    expect(shared).toEqual([])
  })

  it('finds every required setting in the compose file', async () => {
    const compose = readFileSync(join(ROOT, 'docker-compose.yml'), 'utf8')
    for (const service of SERVICES) {
      const required = Object.values(await configOf(service)).filter((setting) => setting.default === undefined)
      expect({
        service,
        missing: required.map((setting) => setting.env).filter((env) => !compose.includes(`${env}:`)),
      }).toEqual({ service, missing: [] })
    }
  })
})
