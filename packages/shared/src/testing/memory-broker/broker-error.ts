/** An answer of the broker that is an error, by Kafka's name for it. */
export class BrokerError extends Error {
  override readonly name = 'BrokerError'
  readonly type: BrokerErrorType

  constructor(type: BrokerErrorType) {
    super(type)
    this.type = type
  }
}

export type BrokerErrorType =
  /** No answer came: whether the request took effect is unknown. */
  | 'REQUEST_TIMED_OUT'
  | 'INVALID_PRODUCER_EPOCH'
  | 'OUT_OF_ORDER_SEQUENCE_NUMBER'
  | 'INVALID_TXN_STATE'
  | 'CONCURRENT_TRANSACTIONS'
  | 'ILLEGAL_GENERATION'
  | 'UNSTABLE_OFFSET_COMMIT'

export function isBrokerError(error: unknown, ...types: BrokerErrorType[]): boolean {
  return error instanceof BrokerError && types.includes(error.type)
}
