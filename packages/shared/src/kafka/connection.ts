export const PRODUCER_CLIENTS = ['platformatic', 'kafkajs'] as const
export type ProducerClient = (typeof PRODUCER_CLIENTS)[number]

export type KafkaConnection = {
  readonly brokers: readonly string[]
  readonly clientId: string
  /** The client that plain producers write with (docs/adr/0007); consumers and transactions are kafkajs's. */
  readonly producer?: ProducerClient
  /** A request without an answer has failed after so long. Default 20,000. */
  readonly requestTimeoutMs?: number
  readonly tls?: boolean | KafkaTls
  readonly sasl?: KafkaSasl
}

/** PEMs. */
export type KafkaTls = {
  /** What the brokers' certificates are checked against, in place of the public ones. */
  readonly ca?: string
  /** Shown to brokers that ask for a certificate. */
  readonly cert?: string
  readonly key?: string
}

export type KafkaSasl = {
  readonly mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512'
  readonly username: string
  readonly password: string
}
