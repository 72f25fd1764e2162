import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'

/** What of a V8 `.cpuprofile` is read here. */
export type CpuProfile = {
  readonly nodes: readonly {
    readonly id: number
    readonly callFrame: { readonly functionName: string; readonly url: string }
  }[]
  readonly samples: readonly number[]
  /** Microseconds before each sample. */
  readonly timeDeltas: readonly number[]
}

export type Share = { readonly name: string; readonly milliseconds: number; readonly percent: number }

/** Self time by package or source folder, and by function, largest first; waiting is left out. */
export function selfTimes(profile: CpuProfile): { readonly groups: Share[]; readonly functions: Share[] } {
  const frames = new Map(profile.nodes.map(({ id, callFrame }) => [id, callFrame]))
  const groups = new Map<string, number>()
  const functions = new Map<string, number>()
  let total = 0
  profile.samples.forEach((id, i) => {
    const frame = frames.get(id)
    const time = Math.max(0, profile.timeDeltas[i] ?? 0)
    if (!frame || frame.functionName === '(idle)') return
    const group = groupOf(frame)
    const name = `${frame.functionName || '(anonymous)'} · ${group}`
    total += time
    groups.set(group, (groups.get(group) ?? 0) + time)
    functions.set(name, (functions.get(name) ?? 0) + time)
  })
  const shares = (times: ReadonlyMap<string, number>): Share[] =>
    [...times]
      .map(([name, time]) => ({ name, milliseconds: time / 1000, percent: (time / total) * 100 }))
      .sort((a, b) => b.milliseconds - a.milliseconds)
  return { groups: shares(groups), functions: shares(functions) }
}

/** `kafkajs`, `shared/schema`, `enricher/core`, `node:zlib`, `native parse`, `(garbage collector)`. */
export function groupOf({ url, functionName }: CpuProfile['nodes'][number]['callFrame']): string {
  if (url === '') return functionName.startsWith('(') ? functionName : `native ${functionName}`
  if (url.startsWith('node:')) return url.split('/').slice(0, 2).join('/')
  const dependency = /.*\/node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(url)?.[1]
  if (dependency) return dependency
  const own = /\/(?:packages|services)\/([^/]+)\/src\/(?:([^/]+)\/)?[^/]+$/.exec(url)
  if (own) return own[2] ? `${own[1]}/${own[2]}` : own[1]!
  return /refine[^/]*\.m?[jt]s$/.test(url) ? 'refine.ts' : 'other'
}

/** The profile that a process left in `folder` when it ended; undefined when it left none. */
export async function readProfile(folder: string, pid: number): Promise<CpuProfile | undefined> {
  const files = await readdir(folder)
  // CPU.<day>.<time>.<pid>.<thread>.<number>.cpuprofile; thread 0 is the main one.
  const file = files.find((name) => name.split('.')[3] === String(pid) && name.split('.')[4] === '0')
  return file ? (JSON.parse(await readFile(join(folder, file), 'utf8')) as CpuProfile) : undefined
}

/** A few lines of Markdown for one hop. */
export function renderProfile(hop: string, profile: CpuProfile): string {
  const { groups, functions } = selfTimes(profile)
  const line = ({ name, percent }: Share): string => `${name} ${percent.toFixed(0)} %`
  return [
    `**${hop}** (self time, start-up included, ${(groups.reduce((sum, g) => sum + g.milliseconds, 0) / 1000).toFixed(1)} s of CPU on the main thread)`,
    `- modules: ${groups.slice(0, 10).map(line).join(' · ')}`,
    `- functions: ${functions.slice(0, 8).map(line).join(', ')}`,
  ].join('\n')
}
