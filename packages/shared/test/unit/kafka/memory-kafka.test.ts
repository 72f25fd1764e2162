import { describeKafkaPort } from '../../../src/testing/kafka-contract.ts'
import { createMemoryKafka } from '../../../src/testing/memory-kafka.ts'

describeKafkaPort('in memory', () => {
  const kafka = createMemoryKafka()
  return Promise.resolve({ kafka, close: () => kafka.close() })
})
