import { describeKafkaTransactions } from '../../../src/testing/kafka-transactions-contract.ts'
import { createMemoryKafka } from '../../../src/testing/memory-kafka.ts'

describeKafkaTransactions('in memory', () => {
  const kafka = createMemoryKafka()
  const losing = new Map<string, 'before' | 'after' | Promise<'before'>>()
  let clients = 0
  kafka.fault(({ kind, client }) => {
    const fault = losing.get(`${client} ${kind}`) ?? null
    losing.delete(`${client} ${kind}`)
    return fault
  })
  return Promise.resolve(() => {
    const name = `client ${++clients}`
    const client = kafka.client(name)
    return Promise.resolve({
      kafka: client,
      kill: () => client.kill(),
      hold(kind) {
        const held = Promise.withResolvers<'before'>()
        losing.set(`${name} ${kind}`, held.promise)
        return () => held.resolve('before')
      },
      lose: (kind, when) => void losing.set(`${name} ${kind}`, when),
      close: () => client.close(),
    })
  })
})
