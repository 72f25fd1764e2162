import { bytesText, type RecordToSend, textBytes } from '@mesh/shared/core/record'
import { SOURCES_TOPIC } from '@mesh/shared/core/topics'
import { sourcesTopicSpec } from '@mesh/shared/kafka/mesh-topics'
import type { Follower, GroupConsumer, KafkaPort, Producer } from '@mesh/shared/kafka/port'
import type { AuditReport, Intent, SourceReport } from '../../core/sources/source-types.ts'

/** `mesh.sources`: what operators want of sources and what the leader reports; and, by its one partition, who leads. */
export type SourcesTopic = {
  readonly intentOf: (source: string) => Intent
  reports(): ReadonlyMap<string, SourceReport>
  audits(): readonly AuditReport[]
  isLeader(): boolean
  /** Durable on return. */
  putIntent(source: string, intent: Intent): Promise<void>
  putReport(report: SourceReport): Promise<void>
  dropReport(source: string): Promise<void>
  putAudit(report: AuditReport): Promise<void>
  stop(): Promise<void>
}

export const SOURCES_GROUP = 'mesh.ingest-gateway.sources'

type Entry = { readonly intent: Intent } | { readonly report: SourceReport } | { readonly audit: AuditReport }

/**
 * Joins: reads the topic to its end, then asks for the lead, which the consumer group gives to one gateway at a time.
 * @param onBroken told once when the view or the membership ends by itself: join again.
 */
export async function joinSourcesTopic(
  kafka: KafkaPort,
  producer: () => Producer | null,
  onBroken: (error: unknown) => void,
): Promise<SourcesTopic> {
  await kafka.admin.ensureTopics([sourcesTopicSpec()])
  const entries = new Map<string, Entry>()
  let leader = false
  const follower: Follower = await kafka.follow(SOURCES_TOPIC, {
    from: 'start',
    onFatal: onBroken,
    onBatch(batch) {
      for (const { key, value } of batch.records) {
        if (key === null) continue
        if (value === null) entries.delete(bytesText(key))
        else entries.set(bytesText(key), JSON.parse(bytesText(value)) as Entry)
      }
    },
  })
  await follower.caughtUp
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
  try {
    await member.start()
  } catch (error) {
    await follower.stop()
    throw error
  }

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

  return {
    intentOf(source) {
      const entry = entries.get(`intent/${source}`)
      return entry && 'intent' in entry ? entry.intent : 'running'
    },
    reports: () =>
      new Map(
        [...entries.values()].flatMap((entry) => ('report' in entry ? [[entry.report.source, entry.report]] : [])),
      ),
    audits: () => [...entries.values()].flatMap((entry) => ('audit' in entry ? [entry.audit] : [])),
    isLeader: () => leader,
    putIntent: (source, intent) => put(`intent/${source}`, { intent }),
    putReport: (report) => put(`report/${report.source}`, { report }),
    dropReport: (source) => put(`report/${source}`, null),
    putAudit: (audit) => put(`audit/${audit.stream}`, { audit }),
    async stop() {
      leader = false
      await member.stop()
      await follower.stop()
    },
  }
}
