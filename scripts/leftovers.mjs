// Which processes of a test run are still there when it has ended, and their end. A run that is interrupted cannot stop what it started:
// its brokers, services and engines are in sessions of their own. They are known by a word in their environment, as Jenkins knows those
// of a build. Linux alone shows the environment of a process; elsewhere nothing is found, and nothing ended. Plain JavaScript, as the
// launcher is; a run that was killed itself is swept by the next one (tests/setup/sweep.ts).
import { randomUUID } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'

const VARIABLE = 'MESH_TEST_RUN'
const GRACE_MS = 10_000
const LOOK_MS = 100

/** A name for a run, and the environment that carries it; a run within a run carries both. */
export function markRun(env) {
  const id = randomUUID()
  return { id, env: { ...env, [VARIABLE]: env[VARIABLE] ? `${env[VARIABLE]},${id}` : id } }
}

/** Asks what carries the run's name, and what descends from it, to end; after ten seconds it is killed. Returns what there was. */
export async function endLeftovers(id) {
  const found = leftovers(id, [])
  for (const { pid } of found) signal(pid, 'SIGTERM')
  let left = found
  for (const until = Date.now() + GRACE_MS; Date.now() < until && left.length > 0; left = leftovers(id, left)) {
    await delay(LOOK_MS)
  }
  for (const { pid } of left) signal(pid, 'SIGKILL')
  return found
}

/** Those of `known` belong to the run although the parent that told so may have ended since. */
function leftovers(id, known) {
  const all = processes()
  const isKnown = ({ pid, started }) => known.some((each) => each.pid === pid && each.started === started)
  const own = new Set(all.filter((each) => isKnown(each) || carries(each.pid, id)).map(({ pid }) => pid))
  // A server that writes its state over its environment (PostgreSQL, Airflow's tasks) is known by its parent.
  for (let size = -1; size !== own.size; ) {
    size = own.size
    for (const { pid, parent } of all) if (own.has(parent)) own.add(pid)
  }
  return all.filter(({ pid }) => own.has(pid))
}

function processes() {
  const pids = list('/proc').filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
  return pids.flatMap((pid) => {
    // What follows the name, which may hold any character: state, parent, and as the 20th the time of its start (proc(5)).
    const fields = read(`/proc/${pid}/stat`).split(') ').at(-1).split(' ')
    if (fields.length < 20 || fields[0] === 'Z') return []
    const command = read(`/proc/${pid}/cmdline`).replaceAll('\0', ' ').trim()
    return [{ pid: Number(pid), parent: Number(fields[1]), started: fields[19], command }]
  })
}

function carries(pid, id) {
  const value = read(`/proc/${pid}/environ`)
    .split('\0')
    .find((entry) => entry.startsWith(`${VARIABLE}=`))
  return value?.includes(id) ?? false
}

/** Empty where there is none, or not ours to read. */
function read(file) {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}

function list(folder) {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}

function signal(pid, name) {
  try {
    process.kill(pid, name)
  } catch (error) {
    if (error.code !== 'ESRCH') throw error
  }
}
