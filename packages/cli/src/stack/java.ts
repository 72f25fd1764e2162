import { execFile } from 'node:child_process'
import { existsSync, readdirSync, realpathSync } from 'node:fs'
import { homedir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { MeshError } from '@mesh/shared/core/errors'

export const OLDEST_JAVA = 21
const ENGINE_JAVA = { oldest: 17, newest: 21 }

export interface Java {
  /** Absolute path of the `java` program. */
  readonly path: string
  /** JAVA_HOME of that program. */
  readonly home: string
  readonly major: number
  /** As `java -version` prints it, e.g. 25.0.3. */
  readonly version: string
}

export interface JavaSearch {
  readonly javaHome?: string | undefined
  readonly path?: string | undefined
  /** Folders whose entries may be Java installations. */
  readonly folders?: readonly string[]
}

export const JAVA_FOLDERS: readonly string[] = [
  '/usr/lib/jvm',
  '/Library/Java/JavaVirtualMachines',
  join(homedir(), '.sdkman', 'candidates', 'java'),
  '/opt/homebrew/opt',
]

/** The newest Java that is at least OLDEST_JAVA. Throws MESH_STACK_JAVA_MISSING naming what was found instead. */
export async function findJava(search: JavaSearch): Promise<Java> {
  const found = await Promise.all(candidates(search).map(readVersion))
  const installed = found.filter((java) => java !== undefined).sort((a, b) => b.major - a.major)
  const newest = installed[0]
  if (newest && newest.major >= OLDEST_JAVA) return newest
  const seen = installed.map((java) => `Java ${java.version} at ${java.home}`).join(', ')
  throw new MeshError(
    'MESH_STACK_JAVA_MISSING',
    `Kafka and the schema registry need Java ${OLDEST_JAVA} or newer; found ${seen || 'none'}`,
  )
}

/** The newest Java that Spark and Flink run on; they lag behind. Throws MESH_STACK_JAVA_MISSING naming what was found instead. */
export async function findEngineJava(search: JavaSearch): Promise<Java> {
  const { oldest, newest } = ENGINE_JAVA
  const installed = (await Promise.all(candidates(search).map(readVersion))).filter((java) => java !== undefined)
  const fits = installed.filter(({ major }) => major >= oldest && major <= newest).sort((a, b) => b.major - a.major)[0]
  if (fits) return fits
  const seen = installed.map((java) => `Java ${java.version} at ${java.home}`).join(', ')
  throw new MeshError(
    'MESH_STACK_JAVA_MISSING',
    `Spark and Flink need Java ${oldest} to ${newest}; found ${seen || 'none'}`,
  )
}

/** Distinct `java` programs, links resolved, in search order. */
function candidates({ javaHome, path, folders = JAVA_FOLDERS }: JavaSearch): string[] {
  const homes = folders.flatMap((folder) => entries(folder).map((entry) => join(folder, entry)))
  const programs = [
    ...(javaHome ? [join(javaHome, 'bin', 'java')] : []),
    ...(path ?? '').split(delimiter).flatMap((folder) => (folder ? [join(folder, 'java')] : [])),
    ...homes.flatMap((home) => [join(home, 'bin', 'java'), join(home, 'Contents', 'Home', 'bin', 'java')]),
  ]
  return [...new Set(programs.filter((program) => existsSync(program)).map((program) => realpathSync(program)))]
}

function entries(folder: string): string[] {
  if (!existsSync(folder)) return []
  const names = readdirSync(folder)
  return folder.startsWith('/opt/homebrew') ? names.filter((name) => name.startsWith('openjdk')) : names
}

/** Undefined for a program that does not start or does not answer like a Java. */
async function readVersion(path: string): Promise<Java | undefined> {
  try {
    const { stderr } = await promisify(execFile)(path, ['-version'], { timeout: 60_000 })
    const version = /version "([^"]+)"/.exec(stderr)?.[1]
    if (!version) return undefined
    const [first, second] = version.split(/[.+-]/).map(Number)
    const major = first === 1 ? (second ?? 0) : (first ?? 0)
    return { path, home: dirname(dirname(path)), major, version }
  } catch {
    return undefined
  }
}
