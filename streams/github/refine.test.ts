import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import type { Outcome, RefineContext } from '@mesh/client/refine'
import { createAvroCodec } from '@mesh/shared/schema/avro-codec'
import { describe, expect, it } from 'vitest'
import type { Activity, RawActivity } from './generated.ts'
import { refine } from './refine.ts'

const file = (name: string): string => readFileSync(join(import.meta.dirname, name), 'utf8')
const star = JSON.parse(file('samples/star.json')) as RawActivity
const deliveries = createRequire(import.meta.url)('@octokit/webhooks-examples') as {
  readonly name: string
  readonly examples: readonly RawActivity[]
}[]

function refined(event: string | null, body: RawActivity): Outcome<Activity> {
  const record = {
    key: null,
    headers: event === null ? {} : { 'x-github-event': event },
    coordinate: { topicId: 'T', partition: 0, offset: 0 },
    eventId: 'delivery-1',
    eventTime: '2020-01-01T00:00:00.123456Z',
    receivedAt: '2020-01-01T00:00:01.000Z',
  }
  return refine(body, { record, joins: {} } satisfies RefineContext)
}

function activity(event: string, body: RawActivity): Activity {
  const outcome = refined(event, body)
  if (outcome.kind !== 'ok') throw new Error(`${event} gave ${outcome.kind}`)
  return outcome.outputs[0]!.record
}

const example = (name: string): RawActivity => deliveries.find((delivery) => delivery.name === name)!.examples[0]!

describe('github', () => {
  it('makes every known webhook body an activity that the schema holds, whole', async () => {
    const avsc = file('refined.avsc')
    const codec = createAvroCodec({ schemaById: () => Promise.resolve(avsc) })
    let count = 0
    for (const { name, examples } of deliveries) {
      for (const body of examples) {
        const record = activity(name, body)
        const read = (await codec.decode(codec.encode(1, avsc, record))).record
        expect(read).toEqual(record)
        expect(record.event).toBe(name)
        count++
      }
    }
    expect(count).toBe(329)
  })

  it('reads who did what where', () => {
    expect(activity('star', star)).toMatchObject({
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

  it('reads an issue, a pull request and a push', () => {
    expect(activity('issues', example('issues'))).toMatchObject({
      subject: 'issue',
      subjectId: expect.any(Number),
      number: expect.any(Number),
      title: expect.any(String),
      url: expect.stringContaining('/issues/'),
    })
    expect(activity('pull_request', example('pull_request'))).toMatchObject({
      subject: 'pull_request',
      ref: expect.any(String),
      url: expect.stringContaining('/pull/'),
    })
    expect(activity('push', example('push'))).toMatchObject({ ref: expect.stringMatching(/^refs\//), commits: 0 })
  })

  it('keeps ids beyond 32 bits', () => {
    const record = activity('star', { ...star, sender: { login: 'x', id: 14_541_957_942 } })
    expect(record.actorId).toBe(14_541_957_942)
  })

  it('takes the event time where the body tells none', () => {
    expect(activity('ping', { zen: 'x' }).occurredAt).toBe('2020-01-01T00:00:00.123Z')
  })

  it('dead-letters a delivery without its event name', () => {
    expect(refined(null, star)).toMatchObject({ kind: 'deadLetter', code: 'GITHUB_EVENT' })
  })
})
