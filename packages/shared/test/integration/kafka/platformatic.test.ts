import { inject } from 'vitest'
import { connectKafka } from '../../../src/kafka/connect-kafka.ts'
import { describeKafkaPort } from '../../../src/testing/kafka-contract.ts'

const brokers = inject('kafkaBrokers').split(',')

describeKafkaPort('platformatic producing, kafkajs consuming, on a real broker', () => {
  const kafka = connectKafka({ brokers, clientId: 'contract', producer: 'platformatic' })
  return Promise.resolve({ kafka, close: () => kafka.close() })
})
