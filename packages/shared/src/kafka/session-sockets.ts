import { createRequire } from 'node:module'
import type { Socket } from 'node:net'
import type * as KafkaJs from 'kafkajs'

/**
 * The connections of one transactional session. kafkajs says nothing of one that is closed, connects again in silence and repeats its
 * request: on a broker that has come back without the markers of the last transaction, the next one would be laid over it. So once
 * a connection has broken there are no others, and what waits for an answer fails.
 */
export type SessionSockets = {
  readonly factory: KafkaJs.ISocketFactory
  isBroken(): boolean
  /** Rejects as soon as a connection breaks, whatever kafkajs makes of it. */
  unlessBroken<T>(work: Promise<T>): Promise<T>
}

export function createSessionSockets(open: KafkaJs.ISocketFactory = kafkajsSockets()): SessionSockets {
  const waiting = new Set<(error: Error) => void>()
  let broken = false

  function breakAll(): void {
    broken = true
    for (const reject of waiting) reject(brokenError())
  }

  return {
    factory(options) {
      if (broken) throw brokenError()
      const socket: Socket = open(options)
      socket.once('connect', () => socket.once('close', breakAll))
      return socket
    },
    isBroken: () => broken,
    async unlessBroken(work) {
      const { promise, reject } = Promise.withResolvers<never>()
      waiting.add(reject)
      try {
        return await Promise.race([work, promise])
      } finally {
        waiting.delete(reject)
      }
    },
  }
}

function brokenError(): Error {
  return new Error('a connection of the transactional session broke')
}

function kafkajsSockets(): KafkaJs.ISocketFactory {
  return (createRequire(import.meta.url)('kafkajs/src/network/socketFactory') as () => KafkaJs.ISocketFactory)()
}
