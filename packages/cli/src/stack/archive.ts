import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Java } from './java.ts'

/**
 * A start-up archive holds loaded classes, so a later JVM starts in half the time: an AOT cache from Java 25 on,
 * a dynamic CDS archive before. It is only valid for one Java and one class path, which its name and folder say.
 */
export function archiveFile(distribution: string, java: Java): string {
  return join(distribution, `startup-${java.version}.${usesAotCache(java) ? 'aot' : 'jsa'}`)
}

/** Flags to start with the archive if it is there. An archive that does not fit is ignored by the JVM. */
export function archiveFlags(java: Java, file: string | undefined): string[] {
  if (file === undefined || !existsSync(file)) return []
  return usesAotCache(java) ? [`-XX:AOTCache=${file}`] : [`-XX:SharedArchiveFile=${file}`, '-Xshare:auto']
}

/** Flags that make a JVM write the archive when it ends after SIGTERM. */
export function recordingFlags(java: Java, file: string): string[] {
  return usesAotCache(java) ? [`-XX:AOTCacheOutput=${file}`] : [`-XX:ArchiveClassesAtExit=${file}`]
}

function usesAotCache(java: Java): boolean {
  return java.major >= 25
}
