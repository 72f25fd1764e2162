import { ERRORS } from '@mesh/shared/core/error-codes'
import { Validator } from '@seriousme/openapi-schema-validator'
import { describe, expect, test } from 'vitest'
import { describeGateway } from '../../../src/core/openapi.ts'
import { gatewayDouble, LIMITS, STREAMS } from '../../support/gateway.ts'

type Operation = { security: unknown[]; responses: Record<string, { 'x-mesh-codes'?: string[] }>; requestBody: unknown }
type Document = {
  openapi: string
  paths: Record<string, { post: Operation }>
  components: { schemas: Record<string, unknown> }
}

describe('/openapi.json', () => {
  test.for([{ streams: [] }, { streams: STREAMS }])(
    'is valid OpenAPI 3.1, with and without streams',
    async ({ streams }) => {
      const result = await new Validator().validate(
        structuredClone(describeGateway(streams, LIMITS)) as Record<string, unknown>,
      )
      expect(result.errors).toBeUndefined()
      expect(result.valid).toBe(true)
    },
  )

  test('it tells each stream, its schema, its credential and its codes', async () => {
    const { app } = gatewayDouble()
    const document = (await app.inject({ method: 'GET', url: '/openapi.json' })).json() as Document
    expect(document.openapi).toBe('3.1.0')
    const { paths, components } = document
    expect(Object.keys(paths)).toEqual(expect.arrayContaining(['/v1/streams/open/events', '/webhooks/github']))
    expect(paths['/v1/streams/github/events']).toBeUndefined()
    expect(paths['/v1/streams/open/events']?.post.security).toEqual([])
    expect(paths['/v1/streams/closed/events']?.post.security).toHaveLength(2)
    expect(components.schemas['stream_checked']).toMatchObject({ $id: '/schemas/checked', required: ['id'] })
    expect(JSON.stringify(paths['/v1/streams/checked/events']?.post.requestBody)).toMatch(/schemas\/stream_checked/)
    expect(paths['/v1/streams/open/events']?.post.responses['503']?.['x-mesh-codes']).toContain(
      'MESH_KAFKA_UNAVAILABLE',
    )
    expect(paths['/webhooks/github']?.post.responses['401']?.['x-mesh-codes']).toContain('MESH_SIGNATURE_INVALID')
  })

  test('every code stands under its own status', () => {
    const { paths } = describeGateway(STREAMS, LIMITS) as unknown as Document
    for (const { post } of Object.values(paths)) {
      for (const [status, response] of Object.entries(post?.responses ?? {})) {
        for (const code of response['x-mesh-codes'] ?? []) {
          expect(ERRORS[code as keyof typeof ERRORS].status).toBe(Number(status))
        }
      }
    }
  })
})
