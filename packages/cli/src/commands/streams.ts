import { join } from 'node:path'
import { MeshError } from '@mesh/shared/core/errors'
import type { PlannedJoin, PlanResponse } from '@mesh/shared/core/replay-api'
import { readJobsFolder } from '@mesh/shared/schema/jobs-folder'
import type { Command, CommandContext } from '../command.ts'
import { flinkProblems } from '../flink/check.ts'
import { withMesh } from '../running-mesh.ts'
import { applyStreams, checkStreams } from '../streams/apply.ts'
import { projectStreams } from '../streams/project.ts'
import { isStale, noteStaleTypes, streamTypes, writeTypes } from '../types/stream-types.ts'

const OF_THIS_FOLDER = { withItsStreams: true }

export const streams: Command = {
  name: 'streams',
  summary: 'check says what a change to streams/ will do; apply does it; generate writes types; list shows what runs',
  usage: 'check|apply|generate|list [stream...]',
  options: { check: { type: 'boolean', doc: 'generate: write nothing, exit code 1 if types are missing or stale' } },
  async run(context) {
    const [action, ...only] = context.positionals
    if (action === 'check') return check(context, only)
    if (action === 'apply') return apply(context, only)
    if (action === 'generate') return generate(context, only)
    if (action === 'list') return list(context)
    throw new MeshError('MESH_CLI_USAGE', `streams takes check, apply, generate or list, not '${action ?? ''}'`)
  },
}

async function check(context: CommandContext, only: readonly string[]): Promise<number> {
  await noteStaleTypes(context, only)
  const unreadable = await unreadableByFlink(context.projectDir(), only)
  for (const text of unreadable) context.note(text)
  return withMesh(
    context,
    async (mesh) => {
      const plans = await checkStreams({
        projectRoot: context.projectDir(),
        store: mesh.store,
        replayerUrl: mesh.replayerUrl,
        only,
      })
      context.print(context.json ? JSON.stringify(plans, null, 2) : plans.map(renderPlan).join('\n'))
      return plans.some((plan) => plan.action === 'refused') || unreadable.length > 0 ? 1 : 0
    },
    OF_THIS_FOLDER,
  )
}

/** A schema may be good and yet nothing that the Flink jobs of this project can read. */
async function unreadableByFlink(project: string, only: readonly string[]): Promise<string[]> {
  const problems = await flinkProblems(project, await readJobsFolder(join(project, 'jobs'), null))
  const wanted = problems.filter(({ stream }) => stream !== null && (only.length === 0 || only.includes(stream)))
  return wanted.map(({ text }) => text)
}

async function apply(context: CommandContext, only: readonly string[]): Promise<number> {
  await noteStaleTypes(context, only)
  return withMesh(
    context,
    async (mesh) => {
      const refused: { stream: string; code: string; message: string; hint: string }[] = []
      const applied = await applyStreams(
        { projectRoot: context.projectDir(), store: mesh.store, replayerUrl: mesh.replayerUrl, only },
        {
          onApplied(stream, answer) {
            const what = answer.changed
              ? `bound bundle ${answer.bundle.slice(0, 12)} to v${answer.version}`
              : 'unchanged'
            if (!context.json)
              context.print(`${stream}: ${what}${answer.createdTopics.map((topic) => `\n  created ${topic}`).join('')}`)
          },
          onRefused(stream, { code, message, hint }) {
            refused.push({ stream, code, message, hint })
            if (!context.json) context.print(renderRefusal(stream, { code, message, hint }))
          },
        },
      )
      if (context.json) context.print(JSON.stringify({ applied, refused }, null, 2))
      return refused.length > 0 ? 1 : 0
    },
    OF_THIS_FOLDER,
  )
}

/** Types need no running mesh. */
async function generate(context: CommandContext, only: readonly string[]): Promise<number> {
  const projectRoot = context.projectDir()
  const types = await streamTypes(projectRoot, await projectStreams(projectRoot, only))
  const stale = types.filter(isStale).map(({ stream }) => stream)
  if (!context.flag('check')) await writeTypes(types)
  if (context.json)
    context.print(JSON.stringify(types.map(({ stream, file }) => ({ stream, file, stale: stale.includes(stream) }))))
  else {
    for (const { stream } of types) {
      const done = context.flag('check') ? 'is stale: run `mesh streams generate`' : 'written'
      context.print(`streams/${stream}/generated.ts ${stale.includes(stream) ? done : 'is current'}`)
    }
  }
  return context.flag('check') && stale.length > 0 ? 1 : 0
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
  for (const change of plan.schema.changes) lines.push(`  schema: ${change}`)
  for (const join of plan.joins) lines.push(`  joins ${join.as}: ${describeJoin(join)}`)
  for (const problem of plan.problems) lines.push(`  refused: ${problem.message} [${problem.code}]`)
  if (!plan.schema.compatible)
    lines.push(`  way out: \`mesh replay ${plan.stream} --new-code\` builds a new version with the new schema`)
  return lines.join('\n')
}

function describeJoin({ stream, scope, reason }: PlannedJoin): string {
  if (scope === 'partition') return `each instance holds the rows of ${stream} that are of its partitions`
  return `each instance holds all rows of ${stream}, because ${reason}`
}

function renderRefusal(
  stream: string,
  { code, message, hint }: { code: string; message: string; hint: string },
): string {
  return `${stream}: refused, what runs goes on as it is\n  ${message} [${code}]\n  ${hint}`
}
