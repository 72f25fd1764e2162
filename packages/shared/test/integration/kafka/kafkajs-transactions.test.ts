import { inject } from 'vitest'
import { connectKafka } from '../../../src/kafka/connect-kafka.ts'
import { describeCommittedReads } from '../../../src/testing/kafka-committed-reads-contract.ts'
import { API, startKafkaProxy } from '../../../src/testing/kafka-proxy.ts'
import { describeKafkaTransactions } from '../../../src/testing/kafka-transactions-contract.ts'
import type { KafkaProcess } from '../../../src/testing/transaction-world.ts'

const [broker] = inject('kafkaBrokers').split(',')
const KEY_OF = { produce: API.produce, 'end-transaction': API.endTxn }

describeKafkaTransactions('kafkajs on a real broker', () => Promise.resolve(launch))
describeCommittedReads('kafkajs on a real broker', () => Promise.resolve(launch))

/** Every process has a proxy of its own, where its requests are lost and where it ends. */
async function launch(): Promise<KafkaProcess> {
  const proxy = await startKafkaProxy(broker!)
  const kafka = connectKafka({ brokers: [proxy.address], clientId: 'transactions' })
  const losing = new Map<number, 'cut-before' | 'cut-after' | Promise<'cut-before'>>()
  let killed = false
  proxy.intercept(({ apiKey }) => {
    const verdict = losing.get(apiKey) ?? 'pass'
    losing.delete(apiKey)
    return verdict
  })
  return {
    kafka,
    kill() {
      killed = true
      proxy.cut()
    },
    lose: (kind, when) => void losing.set(KEY_OF[kind], when === 'before' ? 'cut-before' : 'cut-after'),
    hold(kind) {
      const held = Promise.withResolvers<'cut-before'>()
      losing.set(KEY_OF[kind], held.promise)
      return () => held.resolve('cut-before')
    },
    async close() {
      // The dead do not say good-bye, and would wait for an answer.
      if (!killed) await kafka.close()
      await proxy.close()
    },
  }
}
