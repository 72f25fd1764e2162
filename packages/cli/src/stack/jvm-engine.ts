import { readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { MeshError } from '@mesh/shared/core/errors'
import { findEngineJava, type Java } from './java.ts'
import { fetchWithMaven } from './maven.ts'
import { type EngineRequest, installPythonEngine } from './python-engine.ts'

export type JvmEngine = {
  readonly python: string
  /** Where the wheels lie that bring the engine itself. */
  readonly sitePackages: string
  /** The folder of the jars that its pom names. */
  readonly jars: string
  readonly java: Java
}

/** An engine of wheels and jars: Python packages from a hashed lock, jars by Maven, a Java that runs both. */
export async function installJvmEngine(request: EngineRequest): Promise<JvmEngine> {
  const { name, folder, env } = request
  const java = await findEngineJava({ javaHome: env.JAVA_HOME, path: env.PATH })
  const python = await installPythonEngine(request)
  const jars = await fetchWithMaven({
    name: `${name}-jars`,
    pom: join(folder, 'pom.xml'),
    cache: join(request.cache, 'engines'),
    java,
    env,
    ...(request.signal ? { signal: request.signal } : {}),
    onProgress: request.onProgress,
  })
  return { python, sitePackages: sitePackages(python), jars, java }
}

/** Where the packages of a virtual environment lie. */
function sitePackages(python: string): string {
  const lib = join(dirname(dirname(python)), 'lib')
  const version = readdirSync(lib).find((name) => name.startsWith('python3.'))
  if (version === undefined)
    throw new MeshError('MESH_STACK_DOWNLOAD', 'the virtual environment is empty', { place: lib })
  return join(lib, version, 'site-packages')
}
