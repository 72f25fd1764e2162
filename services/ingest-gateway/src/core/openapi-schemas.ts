/** What the gateway answers with, as JSON Schema 2020-12. */
export const RECEIPT_SCHEMAS: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  Receipts: {
    type: 'object',
    required: ['receipts'],
    properties: { receipts: { type: 'array', items: { $ref: '#/components/schemas/Receipt' } } },
  },
  Receipt: {
    oneOf: [
      {
        type: 'object',
        description: 'The event is in Kafka, acknowledged by all in-sync replicas.',
        required: ['index', 'status', 'eventId', 'topic', 'partition', 'offset'],
        properties: {
          index: { type: 'integer', minimum: 0 },
          status: { const: 'accepted' },
          eventId: { type: 'string' },
          topic: { type: 'string' },
          partition: { type: 'integer', minimum: 0 },
          offset: { type: 'integer', minimum: 0 },
        },
      },
      {
        type: 'object',
        description: 'The event was refused and is not in Kafka.',
        required: ['index', 'status', 'code', 'message'],
        properties: {
          index: { type: 'integer', minimum: 0 },
          status: { const: 'rejected' },
          code: { type: 'string' },
          message: { type: 'string' },
          place: { type: 'string' },
        },
      },
      {
        type: 'object',
        description: 'Kafka has not said: the event may be there. Send it again with the same id.',
        required: ['index', 'status', 'eventId', 'code', 'message'],
        properties: {
          index: { type: 'integer', minimum: 0 },
          status: { const: 'unknown' },
          eventId: { type: 'string' },
          code: { type: 'string' },
          message: { type: 'string' },
        },
      },
    ],
  },
  Problem: {
    type: 'object',
    required: ['code', 'message', 'hint'],
    properties: {
      code: { type: 'string', description: 'Stable error code.' },
      message: { type: 'string', description: 'What is wrong with this request.' },
      place: { type: 'string', description: 'Where.' },
      hint: { type: 'string', description: 'What to do next.' },
      receipts: { type: 'array', items: { $ref: '#/components/schemas/Receipt' } },
    },
  },
}
