import { MeshError } from '@mesh/shared/core/errors'
import { bytesText } from '@mesh/shared/core/record'
import { CURSORS_TOPIC } from '@mesh/shared/core/topics'
import type { KafkaPort } from '@mesh/shared/kafka/port'
import { realScheduler, sleep } from '@mesh/shared/kafka/scheduler'

/** A broker ends an open transaction after its timeout, and looks for such every 10 s; the sources' own is 30 s. */
const OPEN_AT_MOST_MS = 75_000
const LOOK_AGAIN_MS = 20

/**
 * The last value of every key of `mesh.cursors` that is wanted, deleted ones left out; null while the topic is not there.
 *
 * Sources share the partition, and each writes in transactions of its own. A reader of committed records is held at the first
 * transaction that is open, whoever's it is, and what others have committed behind it is hidden: to read up to there only would
 * miss a position, and what it stands for would be read, and written, again. So everything that was in the log when this was called is
 * waited for, as Kafka Connect does on its shared offsets topic (KIP-618).
 * @throws MeshError MESH_KAFKA_UNAVAILABLE when a transaction stays open beyond any timeout.
 */
export async function readCursorRecords(
  kafka: Pick<KafkaPort, 'admin' | 'readRanges'>,
  wanted: (key: string) => boolean,
  openAtMostMs: number = OPEN_AT_MOST_MS,
): Promise<Map<string, Uint8Array> | null> {
  const [offsets] = await kafka.admin.offsets(CURSORS_TOPIC)
  if (offsets === undefined) return null
  const { logStartOffset, highWatermark } = offsets
  if (offsets.lastStableOffset < highWatermark) await decided(kafka, highWatermark, openAtMostMs)
  const found = new Map<string, Uint8Array>()
  const range = { partition: 0, from: logStartOffset, to: highWatermark }
  await kafka.readRanges(CURSORS_TOPIC, [range], (batch) => {
    for (const { key, value } of batch.records) {
      const name = key === null ? '' : bytesText(key)
      if (!wanted(name)) continue
      if (value === null) found.delete(name)
      else found.set(name, value)
    }
  })
  return found
}

/** Resolves once no transaction is open before `end`. */
async function decided(kafka: Pick<KafkaPort, 'admin'>, end: number, openAtMostMs: number): Promise<void> {
  const deadline = realScheduler.now() + openAtMostMs
  for (;;) {
    const stable = (await kafka.admin.offsets(CURSORS_TOPIC))[0]?.lastStableOffset ?? end
    if (stable >= end) return
    if (realScheduler.now() > deadline) {
      const message = `a transaction has been open for ${openAtMostMs / 1000} s: find it with kafka-transactions.sh find-hanging, end it with abort`
      throw new MeshError('MESH_KAFKA_UNAVAILABLE', message, { place: `${CURSORS_TOPIC}/0, offset ${stable}` })
    }
    await sleep(realScheduler, LOOK_AGAIN_MS)
  }
}
