import { expect, test } from 'vitest'
import { findCommand, parseCommandLine } from '../../src/arguments.ts'
import type { Command } from '../../src/command.ts'

const COMMAND: Command = {
  name: 'demo',
  summary: 'a demo',
  usage: '<stream>',
  options: { 'port-base': { type: 'string', doc: 'x' }, fresh: { type: 'boolean', doc: 'x' } },
  run: () => Promise.resolve(0),
}

test('options of the command, global options and positionals are told apart', () => {
  const { values, positionals } = parseCommandLine(COMMAND, ['flights', '--port-base', '3000', '--json', '--fresh'])
  expect(positionals).toEqual(['flights'])
  expect({ ...values }).toEqual({ 'port-base': '3000', json: true, fresh: true })
})

test.for([
  [['--prot-base', '1'], "there is no option '--prot-base'; did you mean '--port-base'?"],
  [['--jsno'], "there is no option '--jsno'; did you mean '--json'?"],
  [['-x'], "there is no option '-x'"],
] as const)('%j is refused with the nearest option', ([args, message]) => {
  expect(() => parseCommandLine(COMMAND, args)).toThrow(
    expect.objectContaining({ code: 'MESH_CLI_USAGE', message }) as Error,
  )
})

test('an option without its value is refused', () => {
  expect(() => parseCommandLine(COMMAND, ['--port-base'])).toThrow(/port-base/)
})

test('an unknown command is refused with the nearest one', () => {
  expect(findCommand('up', { up: 1, down: 2 })).toBe(1)
  expect(() => findCommand('dwon', { up: 1, down: 2 })).toThrow("there is no command 'dwon'; did you mean 'down'?")
  expect(() => findCommand('constructor', { up: 1 })).toThrow('there is no command')
})
