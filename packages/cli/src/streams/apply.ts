import type { BindResponse, PlanResponse } from '@mesh/shared/core/replay-api'
import type { ObjectStore } from '@mesh/shared/lake/object-store'
import { putBundle } from '@mesh/shared/schema/bundle'
import { callJson } from '../http-json.ts'
import { freezeProject } from './project.ts'

export type StreamsContext = {
  readonly projectRoot: string
  readonly store: ObjectStore
  /** Base URL of the replayer, the keeper of `mesh.versions`. */
  readonly replayerUrl: string
  readonly only?: readonly string[]
}

/** What applying each stream would do; nothing is changed but the bundles put beside the lake. */
export async function checkStreams(context: StreamsContext): Promise<PlanResponse[]> {
  const plans: PlanResponse[] = []
  for (const bundle of await freezeProject(context.projectRoot, context.only)) {
    await putBundle(context.store, bundle)
    const url = `${context.replayerUrl}/v1/streams/${bundle.contract.name}/plan`
    plans.push(await callJson<PlanResponse>(url, { method: 'POST', body: { bundle: bundle.hash } }))
  }
  return plans
}

/** Freezes each folder into a bundle and asks the replayer to bind it: topics, schema, version. Idempotent. */
export async function applyStreams(
  context: StreamsContext,
  onApplied: (stream: string, answer: BindResponse) => void = () => {},
): Promise<BindResponse[]> {
  const answers: BindResponse[] = []
  for (const bundle of await freezeProject(context.projectRoot, context.only)) {
    await putBundle(context.store, bundle)
    const url = `${context.replayerUrl}/v1/streams/${bundle.contract.name}/bundle`
    const answer = await callJson<BindResponse>(url, { method: 'POST', body: { bundle: bundle.hash } })
    answers.push(answer)
    onApplied(bundle.contract.name, answer)
  }
  return answers
}
