import { expect, it } from 'vitest'
import { producerClient } from '../../../src/kafka/connect-kafka.ts'
import { PRODUCER_CLIENTS } from '../../../src/kafka/connection.ts'

it('takes the clients that there are, and names them when it is given another', () => {
  expect(PRODUCER_CLIENTS.map(producerClient)).toEqual(['platformatic', 'kafkajs'])
  expect(() => producerClient('kafka')).toThrow('MESH_KAFKA_PRODUCER=kafka: expected one of platformatic, kafkajs')
})
