import { bytesText, type RecordToSend, textBytes } from '@mesh/shared/core/record'
import { SOURCES_TOPIC } from '@mesh/shared/core/topics'
import { sourcesTopicSpec } from '@mesh/shared/kafka/mesh-topics'
import type { Follower, GroupConsumer, KafkaPort, Producer } from '@mesh/shared/kafka/port'
import {
  type AuditReport,
  type Intent,
  type SourceReport,
  UNASKED,
  type Wish,
} from '../../core/sources/source-types.ts'

/** `mesh.sources`: what operators want of sources and what the leader reports; and, by its one partition, who leads. */
export type SourcesTopic = {
  readonly wishOf: (source: string) => Wish
  reports(): ReadonlyMap<string, SourceReport>
  audits(): readonly AuditReport[]
  isLeader(): boolean
  /** Durable on return. */
  putWish(source: string, wish: Wish): Promise<void>
  /** Forgets what was asked: the source is as if nobody had ever asked for anything. */
  dropWish(source: string): Promise<void>
  putReport(report: SourceReport): Promise<void>
  dropReport(source: string): Promise<void>
  putAudit(report: AuditReport): Promise<void>
  stop(): Promise<void>
}

export const SOURCES_GROUP = 'mesh.ingest-gateway.sources'

type Entry =
  | { readonly intent: Intent; readonly restartedAt?: string | null }
  | { readonly report: SourceReport }
  | { readonly audit: AuditReport }

export type SourcesTopicHooks = {
  /** Told once when the view or the membership ends by itself: join again. */
  readonly onBroken: (error: unknown) => void
  /** Told when wishes are known, and when one of them has changed. */
  readonly onWishes: (wishOf: SourcesTopic['wishOf']) => void
}

const WISH = 'intent/'

/** Reads the topic to its end, and asks for the lead, which the consumer group gives to one gateway at a time. */
export async function joinSourcesTopic(
  kafka: KafkaPort,
  producer: () => Producer | null,
  { onBroken, onWishes }: SourcesTopicHooks,
): Promise<SourcesTopic> {
  await kafka.admin.ensureTopics([sourcesTopicSpec()])
  const entries = new Map<string, Entry>()
  let leader = false
  let isRead = false
  const follower: Follower = await kafka.follow(SOURCES_TOPIC, {
    from: 'start',
    onFatal: onBroken,
    onBatch(batch) {
      let isAsked = false
      for (const { key, value } of batch.records) {
        if (key === null) continue
        const name = bytesText(key)
        if (value === null) entries.delete(name)
        else entries.set(name, JSON.parse(bytesText(value)) as Entry)
        isAsked ||= name.startsWith(WISH)
      }
      if (isAsked && isRead) onWishes(wishOf)
    },
  })
  await follower.caughtUp
  isRead = true
  onWishes(wishOf)
  const member: GroupConsumer = kafka.consumer({
    groupId: SOURCES_GROUP,
    topics: [SOURCES_TOPIC],
    onFatal: onBroken,
    assign: ({ highWatermark }) => {
      leader = true
      const handler = {
        process: () => Promise.resolve(null),
        close: () => {
          leader = false
          return Promise.resolve(null)
        },
      }
      return Promise.resolve({ position: highWatermark, handler })
    },
  })
  // In the background: what is asked for needs no lead, and a group whose last member was killed waits for its session to end.
  const joining = member.start().catch(onBroken)

  async function put(key: string, value: Entry | null): Promise<void> {
    const to = producer()
    if (to === null) throw new Error('the producer is not connected')
    const record: RecordToSend = {
      partition: 0,
      key: textBytes(key),
      value: value === null ? null : textBytes(JSON.stringify(value)),
      headers: [],
    }
    await to.send(SOURCES_TOPIC, [record])
    if (value === null) entries.delete(key)
    else entries.set(key, value)
  }

  function wishOf(source: string): Wish {
    const entry = entries.get(`${WISH}${source}`)
    return entry && 'intent' in entry ? { intent: entry.intent, restartedAt: entry.restartedAt ?? null } : UNASKED
  }

  /** What was asked here is obeyed here at once. */
  async function ask(source: string, wish: Wish | null): Promise<void> {
    await put(`${WISH}${source}`, wish)
    onWishes(wishOf)
  }

  return {
    wishOf,
    reports: () =>
      new Map(
        [...entries.values()].flatMap((entry) => ('report' in entry ? [[entry.report.source, entry.report]] : [])),
      ),
    audits: () => [...entries.values()].flatMap((entry) => ('audit' in entry ? [entry.audit] : [])),
    isLeader: () => leader,
    putWish: (source, wish) => ask(source, wish),
    dropWish: (source) => ask(source, null),
    putReport: (report) => put(`report/${report.source}`, { report }),
    dropReport: (source) => put(`report/${source}`, null),
    putAudit: (audit) => put(`audit/${audit.stream}`, { audit }),
    async stop() {
      leader = false
      // Left only once it is joined: a member that is stopped before never says that it is.
      await joining
      await member.stop()
      await follower.stop()
    },
  }
}
