import { MeshError } from '@mesh/shared/core/errors'
import type { PlanResponse } from '@mesh/shared/core/replay-api'
import type { Command, CommandContext } from '../command.ts'
import { withMesh } from '../running-mesh.ts'
import { applyStreams, checkStreams } from '../streams/apply.ts'

export const streams: Command = {
  name: 'streams',
  summary: 'check says what a change to streams/ will do; apply does it; list shows what runs',
  usage: 'check|apply|list [stream...]',
  options: {},
  async run(context) {
    const [action, ...only] = context.positionals
    if (action === 'check') return check(context, only)
    if (action === 'apply') return apply(context, only)
    if (action === 'list') return list(context)
    throw new MeshError('MESH_CLI_USAGE', `streams takes check, apply or list, not '${action ?? ''}'`)
  },
}

function check(context: CommandContext, only: readonly string[]): Promise<number> {
  return withMesh(context, async (mesh) => {
    const plans = await checkStreams({
      projectRoot: context.projectDir(),
      store: mesh.store,
      replayerUrl: mesh.replayerUrl,
      only,
    })
    context.print(context.json ? JSON.stringify(plans, null, 2) : plans.map(renderPlan).join('\n'))
    return plans.some((plan) => plan.action === 'refused') ? 1 : 0
  })
}

function apply(context: CommandContext, only: readonly string[]): Promise<number> {
  return withMesh(context, async (mesh) => {
    const answers = await applyStreams(
      { projectRoot: context.projectDir(), store: mesh.store, replayerUrl: mesh.replayerUrl, only },
      (stream, answer) => {
        const what = answer.changed ? `bound bundle ${answer.bundle.slice(0, 12)} to v${answer.version}` : 'unchanged'
        if (!context.json)
          context.print(`${stream}: ${what}${answer.createdTopics.map((topic) => `\n  created ${topic}`).join('')}`)
      },
    )
    if (context.json) context.print(JSON.stringify(answers, null, 2))
    return 0
  })
}

function list(context: CommandContext): Promise<number> {
  return withMesh(context, async (mesh) => {
    const states = await mesh.streams()
    if (context.json) context.print(JSON.stringify(states, null, 2))
    else {
      for (const state of states) {
        const others = state.versions
          .filter((version) => version.version !== state.live)
          .map((v) => `v${v.version} ${v.status}`)
        context.print(
          [
            `${state.stream}: v${state.live} live, epoch ${state.epoch}, ${state.partitions} partitions`,
            ...others,
          ].join(', '),
        )
      }
    }
    return 0
  })
}

function renderPlan(plan: PlanResponse): string {
  const lines = [`${plan.stream}: ${plan.action}`]
  for (const topic of plan.topics)
    if (!topic.exists) lines.push(`  create topic ${topic.name} (${topic.partitions} partitions)`)
  if (plan.action === 'create')
    lines.push(`  register schema ${plan.schema.subject}`, ...plan.tables.map((table) => `  table ${table}`))
  for (const change of plan.changes) lines.push(`  changes ${change}`)
  for (const reason of plan.schema.reasons) lines.push(`  schema: ${reason}`)
  for (const problem of plan.problems) lines.push(`  refused: ${problem.message} [${problem.code}]`)
  return lines.join('\n')
}
