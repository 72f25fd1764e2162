/**
 * What a broker's error code of one record batch means to an idempotent producer.
 * - `written`: it is in the log, at the answer's offset.
 * - `too-large`: refused, nothing written.
 * - `retry`: nothing written now; the same batch may be accepted later or elsewhere.
 * - `uncertain`: perhaps written; the same batch with the same sequence number finds out.
 * - `stale-producer`: this producer id or sequence is of no use any more; nothing written now.
 * - `failed`: nothing written, and asking again changes nothing.
 */
export type ProduceVerdict = 'written' | 'too-large' | 'retry' | 'uncertain' | 'stale-producer' | 'failed'

/** Codes of https://kafka.apache.org/protocol#protocol_error_codes; any other is `failed`. */
const VERDICTS: ReadonlyMap<number, ProduceVerdict> = new Map([
  [0, 'written'],
  [10, 'too-large'], // MESSAGE_TOO_LARGE
  [18, 'too-large'], // RECORD_LIST_TOO_LARGE
  [2, 'retry'], // CORRUPT_MESSAGE
  [3, 'retry'], // UNKNOWN_TOPIC_OR_PARTITION
  [5, 'retry'], // LEADER_NOT_AVAILABLE
  [6, 'retry'], // NOT_LEADER_OR_FOLLOWER
  [19, 'retry'], // NOT_ENOUGH_REPLICAS
  [56, 'uncertain'], // KAFKA_STORAGE_ERROR
  [74, 'retry'], // FENCED_LEADER_EPOCH
  [89, 'retry'], // THROTTLING_QUOTA_EXCEEDED
  [-1, 'uncertain'], // UNKNOWN_SERVER_ERROR
  [7, 'uncertain'], // REQUEST_TIMED_OUT
  [13, 'uncertain'], // NETWORK_EXCEPTION
  [20, 'uncertain'], // NOT_ENOUGH_REPLICAS_AFTER_APPEND
  [45, 'stale-producer'], // OUT_OF_ORDER_SEQUENCE_NUMBER
  [47, 'stale-producer'], // INVALID_PRODUCER_EPOCH
  [59, 'stale-producer'], // UNKNOWN_PRODUCER_ID
  [90, 'stale-producer'], // PRODUCER_FENCED
])

export function produceVerdict(errorCode: number): ProduceVerdict {
  return VERDICTS.get(errorCode) ?? 'failed'
}

const SEQUENCES = 2 ** 31

/** Sequence numbers run from 0 to 2^31 − 1 and begin again. */
export function sequenceAfter(first: number, records: number): number {
  return (first + records) % SEQUENCES
}
