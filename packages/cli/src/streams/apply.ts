import { isMeshError, type MeshError } from '@mesh/shared/core/errors'
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

export type ApplyListener = {
  readonly onApplied?: (stream: string, answer: BindResponse) => void
  /** A stream that is refused stops no other. Without this the first refusal is thrown once all were tried. */
  readonly onRefused?: (stream: string, error: MeshError) => void
}

/** Freezes each folder into a bundle and asks the replayer to bind it: topics, schema, version. Idempotent. */
export async function applyStreams(context: StreamsContext, listener: ApplyListener = {}): Promise<BindResponse[]> {
  const answers: BindResponse[] = []
  const refused: [string, MeshError][] = []
  for (const bundle of await freezeProject(context.projectRoot, context.only)) {
    const { name } = bundle.contract
    await putBundle(context.store, bundle)
    const url = `${context.replayerUrl}/v1/streams/${name}/bundle`
    try {
      const answer = await callJson<BindResponse>(url, { method: 'POST', body: { bundle: bundle.hash } })
      answers.push(answer)
      listener.onApplied?.(name, answer)
    } catch (error) {
      // What is wrong with one stream is no reason not to apply the next; a mesh that does not answer is.
      if (!isMeshError(error) || error.status >= 500) throw error
      refused.push([name, error])
      listener.onRefused?.(name, error)
    }
  }
  if (refused[0] && !listener.onRefused) throw refused[0][1]
  return answers
}
