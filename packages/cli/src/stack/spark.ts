import { readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { MeshError } from '@mesh/shared/core/errors'
import { findEngineJava } from './java.ts'
import { fetchWithMaven } from './maven.ts'
import type { Environment } from './process.ts'
import { type EngineRequest, installPythonEngine } from './python-engine.ts'

/** What job-trigger is told of Spark: pyspark from a hashed lock, the Kafka and Avro jars by Maven, a Java that both run on. */
export async function installSpark(request: Omit<EngineRequest, 'name'>): Promise<Environment> {
  const { folder, env } = request
  const java = await findEngineJava({ javaHome: env.JAVA_HOME, path: env.PATH })
  const python = await installPythonEngine({ ...request, name: 'spark' })
  const jars = await fetchWithMaven({
    name: 'spark-jars',
    pom: join(folder, 'pom.xml'),
    cache: join(request.cache, 'engines'),
    java,
    env,
    ...(request.signal ? { signal: request.signal } : {}),
    onProgress: request.onProgress,
  })
  return {
    MESH_SPARK_HOME: join(sitePackages(python), 'pyspark'),
    MESH_SPARK_PYTHON: python,
    MESH_SPARK_JARS: jars,
    MESH_SPARK_JAVA_HOME: java.home,
  }
}

/** Where the packages of a virtual environment lie. */
export function sitePackages(python: string): string {
  const lib = join(dirname(dirname(python)), 'lib')
  const version = readdirSync(lib).find((name) => name.startsWith('python3.'))
  if (version === undefined)
    throw new MeshError('MESH_STACK_DOWNLOAD', 'the virtual environment is empty', { place: lib })
  return join(lib, version, 'site-packages')
}
