import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { StackOptions } from '../../../src/stack/stack.ts'

export const CODE_DIR: string = join(import.meta.dirname, '..', '..', '..', '..', '..')

/** Answers on every path, tells its environment, ends on SIGTERM, and exits with code 3 when asked to. */
const SERVES = `
import { createServer } from 'node:http'
const server = createServer((request, response) => {
  response.end(JSON.stringify(process.env))
  if (request.url === '/exit') process.exit(3)
})
server.listen(Number(process.env.MESH_HTTP_PORT), process.env.MESH_HTTP_HOST)
process.on('SIGTERM', () => {
  console.log(process.env.TOY + ' stops')
  process.exit(0)
})
`

type Toy = 'serves' | 'ends'

const SCRIPTS: Readonly<Record<Toy, string>> = {
  serves: SERVES,
  ends: `console.log('cannot reach the moon'); process.exit(7)`,
}

export interface ToyProject {
  readonly folder: string
  /** Options of a stack of toy services only, in a state folder of its own. */
  readonly options: StackOptions
  remove(): void
}

/** A folder with `services/<name>/src/main.ts` for each toy. */
export function toyProject(toys: Readonly<Record<string, Toy>>): ToyProject {
  const folder = mkdtempSync(join(tmpdir(), 'mesh-toys-'))
  const servicesDir = join(folder, 'services')
  for (const [name, script] of Object.entries(toys)) {
    const source = join(servicesDir, name, 'src')
    mkdirSync(source, { recursive: true })
    writeFileSync(join(servicesDir, name, 'package.json'), '{"type":"module"}')
    writeFileSync(join(source, 'main.ts'), SCRIPTS[script].replaceAll('process.env.TOY', JSON.stringify(name)))
  }
  const options: StackOptions = {
    stateDir: join(folder, 'state'),
    codeDir: CODE_DIR,
    env: { PATH: process.env['PATH'], TOY_SECRET: 'kept' },
    ports: 'free',
    only: [],
    services: Object.keys(toys),
    servicesDir,
  }
  return { folder, options, remove: () => rmSync(folder, { recursive: true, force: true, maxRetries: 10 }) }
}
