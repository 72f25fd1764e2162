// Runs one command of a job and outlives the job-trigger that started it: `node command-wrapper.mjs <folder>`. The folder's
// command.json says what to run. It claims the folder (one wrapper per execution), writes the output to output.log, and at the end
// result.json, whole or not at all.
import { spawn } from 'node:child_process'
import { linkSync, openSync, readFileSync, renameSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const folder = process.argv[2]
const file = (name) => join(folder, name)
const startTime = () => {
  try {
    return readFileSync('/proc/self/stat', 'utf8').split(') ').at(-1).split(' ')[19]
  } catch {
    return ''
  }
}

let child = null
let ended = false
let interrupted = null

/** SIGTERM: the trigger stops, the command may run again. SIGINT: it is cancelled, which is a failure. */
function interrupt(kind) {
  if (interrupted !== null) return
  interrupted = kind
  signalGroup('SIGTERM')
  setTimeout(() => signalGroup('SIGKILL'), 5000).unref()
}
function signalGroup(signal) {
  if (child === null) return
  try {
    process.kill(-child.pid, signal)
  } catch {
    // it has ended by itself
  }
}
process.on('SIGTERM', () => interrupt('stopped'))
process.on('SIGINT', () => interrupt('cancelled'))

try {
  // Linked, not written in place: who finds the claim finds it whole.
  const own = file(`claim.${process.pid}`)
  writeFileSync(own, JSON.stringify({ pid: process.pid, startTime: startTime() }))
  linkSync(own, file('claim.json'))
  unlinkSync(own)
} catch {
  process.exit(0) // another wrapper has this execution
}
const { run, env, cwd } = JSON.parse(readFileSync(file('command.json'), 'utf8'))
const log = openSync(file('output.log'), 'a')
function end(result) {
  if (ended) return
  ended = true
  writeFileSync(file('result.json.part'), JSON.stringify({ ...result, interrupted }))
  renameSync(file('result.json.part'), file('result.json'))
  process.exit(0)
}

child = spawn(run[0], run.slice(1), { cwd, env, detached: true, stdio: ['ignore', log, log] })
child.once('error', (error) => end({ code: null, signal: null, error: error.message }))
child.once('exit', (code, signal) => end({ code, signal, error: null }))
if (interrupted !== null) signalGroup('SIGTERM')
