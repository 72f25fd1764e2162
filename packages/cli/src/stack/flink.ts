import { createHash } from 'node:crypto'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, symlinkSync } from 'node:fs'
import { basename, join } from 'node:path'
import type { Java } from './java.ts'
import { installJvmEngine } from './jvm-engine.ts'
import type { EngineRequest } from './python-engine.ts'

export type FlinkInstallation = {
  /** FLINK_HOME: bin, conf, lib, opt, plugins. */
  readonly home: string
  readonly java: Java
}

/**
 * A Flink home in the cache: scripts, configuration and libraries of the wheels, connectors and the SQL Gateway by Maven. Libraries
 * are links; bin and conf are copies, since the scripts look for their home where their links point to.
 */
export async function installFlink(request: Omit<EngineRequest, 'name'>): Promise<FlinkInstallation> {
  const { sitePackages, jars, java } = await installJvmEngine({ ...request, name: 'flink' })
  return { home: buildHome(join(sitePackages, 'pyflink'), jars, request.cache), java }
}

/** Built beside its place and renamed, so a home in the cache is whole; its name says what it is made of. */
function buildHome(wheels: string, jars: string, cache: string): string {
  const hash = createHash('sha256').update(wheels).update(jars).digest('hex').slice(0, 12)
  const home = join(cache, 'engines', `flink-home-${hash}`)
  if (existsSync(home)) return home
  const temporary = mkdtempSync(join(cache, 'engines', '.flink-home-'))
  for (const name of ['bin', 'conf']) cpSync(join(wheels, name), join(temporary, name), { recursive: true })
  for (const name of ['lib', 'opt', 'plugins']) linkAll(join(wheels, name), join(temporary, name))
  for (const jar of readdirSync(jars)) {
    const target = jar.startsWith('flink-sql-gateway') ? 'opt' : 'lib'
    symlinkSync(join(jars, jar), join(temporary, target, basename(jar)))
  }
  mkdirSync(join(temporary, 'log'))
  try {
    renameSync(temporary, home)
  } catch (error) {
    // Another process was first.
    rmSync(temporary, { recursive: true, force: true })
    if (!existsSync(home)) throw error
  }
  return home
}

function linkAll(from: string, to: string): void {
  mkdirSync(to, { recursive: true })
  for (const entry of readdirSync(from, { withFileTypes: true })) {
    if (entry.isDirectory()) linkAll(join(from, entry.name), join(to, entry.name))
    else symlinkSync(join(from, entry.name), join(to, entry.name))
  }
}
