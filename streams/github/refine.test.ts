import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { runRefine, sample } from '@mesh/client/testing'
import { describe, expect, it } from 'vitest'
import type { Activity, RawActivity } from './generated.ts'

const star = JSON.parse(readFileSync(join(import.meta.dirname, 'samples/star.json'), 'utf8')) as RawActivity
const deliveries = createRequire(import.meta.url)('@octokit/webhooks-examples') as {
  readonly name: string
  readonly examples: readonly RawActivity[]
}[]

const delivery = (event: string, body: RawActivity) =>
  sample(body, {
    headers: { 'x-github-event': event, ce_time: '2020-01-01T00:00:00.123456Z' },
    id: 'delivery-1',
  })
const refine = (...samples: readonly unknown[]) => runRefine({ folder: import.meta.dirname, samples })

async function activity(event: string, body: RawActivity): Promise<Activity> {
  const [result] = await refine(delivery(event, body))
  if (result?.kind !== 'ok') throw new Error(`${event} gave ${result?.kind}`)
  return result.records[0]!.record as Activity
}

const example = (name: string): RawActivity => deliveries.find((one) => one.name === name)!.examples[0]!

describe('github', () => {
  it('makes every known webhook body an activity that the schema holds, whole', async () => {
    const bodies = deliveries.flatMap(({ name, examples }) => examples.map((body) => ({ name, body })))
    const results = await refine(...bodies.map(({ name, body }) => delivery(name, body)))
    expect(results.filter(({ kind }) => kind !== 'ok')).toEqual([])
    const events = results.flatMap((result) =>
      result.kind === 'ok' ? result.records.map((r) => r.record!['event']) : [],
    )
    expect(events).toEqual(bodies.map(({ name }) => name))
    expect(events).toHaveLength(329)
  })

  it('reads who did what where', async () => {
    expect(await activity('star', star)).toMatchObject({
      event: 'star',
      action: 'created',
      deliveryId: 'delivery-1',
      repository: 'Codertocat/Hello-World',
      repositoryId: 186853002,
      actor: 'Codertocat',
      actorId: 21031067,
      url: 'https://github.com/Codertocat/Hello-World',
      occurredAt: '2019-05-15T15:20:40.000Z',
    })
  })

  it('reads an issue, a pull request and a push', async () => {
    expect(await activity('issues', example('issues'))).toMatchObject({
      subject: 'issue',
      subjectId: expect.any(Number),
      number: expect.any(Number),
      title: expect.any(String),
      url: expect.stringContaining('/issues/'),
    })
    expect(await activity('pull_request', example('pull_request'))).toMatchObject({
      subject: 'pull_request',
      ref: expect.any(String),
      url: expect.stringContaining('/pull/'),
    })
    expect(await activity('push', example('push'))).toMatchObject({ ref: expect.stringMatching(/^refs\//), commits: 0 })
  })

  it('keeps ids beyond 32 bits', async () => {
    const record = await activity('star', { ...star, sender: { login: 'x', id: 14_541_957_942 } })
    expect(record.actorId).toBe(14_541_957_942)
  })

  it('takes the event time where the body tells none', async () => {
    expect((await activity('ping', { zen: 'x' })).occurredAt).toBe('2020-01-01T00:00:00.123Z')
  })

  it('dead-letters a delivery without its event name', async () => {
    expect(await refine(star)).toMatchObject([{ kind: 'deadLetter', code: 'GITHUB_EVENT' }])
  })
})
