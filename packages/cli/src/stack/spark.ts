import { join } from 'node:path'
import { installJvmEngine } from './jvm-engine.ts'
import type { Environment } from './process.ts'
import type { EngineRequest } from './python-engine.ts'

/** What job-trigger is told of Spark: pyspark from a hashed lock, the Kafka and Avro jars by Maven, a Java that both run on. */
export async function installSpark(request: Omit<EngineRequest, 'name'>): Promise<Environment> {
  const { python, sitePackages, jars, java } = await installJvmEngine({ ...request, name: 'spark' })
  return {
    MESH_SPARK_HOME: join(sitePackages, 'pyspark'),
    MESH_SPARK_PYTHON: python,
    MESH_SPARK_JARS: jars,
    MESH_SPARK_JAVA_HOME: java.home,
  }
}
