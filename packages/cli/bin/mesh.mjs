#!/usr/bin/env node
// The `mesh` command. Plain JavaScript for Node >= 18: it hands over to the Node that this repository pins.
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { constants } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const OLDEST_NODE = 24
const main = join(dirname(fileURLToPath(import.meta.url)), '..', 'src', 'main.ts')
const program = pinnedNode(dirname(main)) ?? newEnough()

const child = spawn(program, [main, ...process.argv.slice(2)], { stdio: 'inherit' })
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => {
    // A Ctrl-C in a terminal reaches the child by itself: forwarding it would make it two.
    if (signal !== 'SIGINT' || !process.stdin.isTTY) child.kill(signal)
  })
}
child.once('error', (error) => {
  console.error(`mesh: ${program} could not be started: ${error.message}`)
  process.exit(127)
})
child.once('exit', (code, signal) => process.exit(code ?? 128 + (signal ? constants.signals[signal] : 0)))

/** `node_modules/.bin/node` of the nearest folder upwards that has one. */
function pinnedNode(folder) {
  const candidate = join(folder, 'node_modules', '.bin', 'node')
  if (existsSync(candidate)) return candidate
  return dirname(folder) === folder ? undefined : pinnedNode(dirname(folder))
}

function newEnough() {
  if (Number(process.versions.node.split('.')[0]) >= OLDEST_NODE) return process.execPath
  console.error(`mesh: run \`npm start\` or \`npm test\` once to install Node ${OLDEST_NODE}, or install it yourself`)
  return process.exit(1)
}
