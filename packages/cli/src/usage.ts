import { GLOBAL_OPTIONS } from './arguments.ts'
import type { Command, OptionSpecs } from './command.ts'
import { renderColumns } from './table.ts'

export function renderOverview(commands: readonly Command[]): string {
  return [
    'mesh: post events, consume refined topics, replay history',
    '',
    'usage: mesh <command> [arguments]',
    '',
    renderColumns(commands.map(({ name, summary }) => [`  ${name}`, summary])),
    '',
    '`mesh <command> --help` shows the arguments of one command.',
  ].join('\n')
}

export function renderHelp(command: Command): string {
  const synopsis = ['mesh', command.name, command.usage, '[options]'].filter((part) => part !== '').join(' ')
  const options = renderOptions({ ...command.options, ...GLOBAL_OPTIONS })
  return [`usage: ${synopsis}`, '', command.summary, '', 'options:', options].join('\n')
}

function renderOptions(options: OptionSpecs): string {
  return renderColumns(
    Object.entries(options).map(([name, { short, value, doc }]) => [
      `  ${short ? `-${short}, ` : ''}--${name}${value ? ` ${value}` : ''}`,
      doc,
    ]),
  )
}
