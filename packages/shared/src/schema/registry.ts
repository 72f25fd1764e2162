import { setTimeout as delay } from 'node:timers/promises'
import confluent from '@kafkajs/confluent-schema-registry'
import { describeError, isMeshError, MeshError } from '../core/errors.ts'
import { parseAvsc } from './avro-schema.ts'
import { incompatibilities } from './compatibility.ts'
import type { SchemaRegistry } from './port.ts'
import { describeChange, schemaChanges } from './schema-changes.ts'

const { COMPATIBILITY, SchemaRegistry: ConfluentClient, SchemaType } = confluent

/** The resources of the client's REST layer that its public methods do not reach. */
type Response<T> = { data(): T }
type SubjectVersion = { readonly version: number; readonly id: number; readonly schema: string }
type RestApi = {
  readonly Schema: { find(params: { id: number }): Promise<Response<{ schema: string }>> }
  readonly Subject: {
    latestVersion(params: { subject: string }): Promise<Response<SubjectVersion>>
    version(params: { subject: string; version: number }): Promise<Response<SubjectVersion>>
    updateConfig(params: { subject: string; body: { compatibility: string } }): Promise<Response<unknown>>
    compatible(params: {
      subject: string
      body: { schema: string }
    }): Promise<Response<{ is_compatible: boolean; messages?: string[] }>>
  }
}

export type SchemaRegistryOptions = {
  /** Base of the Confluent API, e.g. `http://127.0.0.1:18081/apis/ccompat/v7`. */
  readonly url: string
  readonly auth?: { readonly username: string; readonly password: string }
  /** Retries of one request on 5xx answers, on a broken connection, and when no answer comes. Default 3. */
  readonly retries?: number
  /** How long one answer is waited for. Default 10 s. */
  readonly answerMs?: number
}

const ANSWER_MS = 10_000
const RETRY_WAIT_MS = 200

/**
 * The registry behind Confluent's API, by @kafkajs/confluent-schema-registry. Two servers' habits are met here: Apicurio answers
 * `GET /config/{subject}` with NONE where nothing is set, and the client refuses to register unless that answer equals its own
 * level, so the level is always written first.
 */
export function createSchemaRegistry({
  url,
  auth,
  retries = 3,
  answerMs = ANSWER_MS,
}: SchemaRegistryOptions): SchemaRegistry {
  const client = new ConfluentClient({ host: url, retry: { retries }, ...(auth ? { auth } : {}) })
  const api = client['api'] as RestApi
  const schemas = new Map<number, Promise<string>>()

  /** Every request is idempotent, so one without an answer is sent again; an answer, whatever it says, is final. */
  async function answered<T>(request: () => Promise<T>): Promise<T> {
    for (let attempt = 0; ; attempt++) {
      try {
        return await within(answerMs, request())
      } catch (error) {
        if (statusOf(error) !== null || attempt >= retries) throw error
        await delay(RETRY_WAIT_MS * (attempt + 1))
      }
    }
  }

  function schemaById(id: number): Promise<string> {
    let schema = schemas.get(id)
    if (!schema) {
      schema = answered(() => api.Schema.find({ id })).then(
        (response) => response.data().schema,
        (error: unknown) => {
          schemas.delete(id)
          throw statusOf(error) === 404
            ? new MeshError('MESH_SCHEMA_UNKNOWN', `schema id ${id} is not in the registry`, { cause: error })
            : unavailable(`reading schema ${id}`, error)
        },
      )
      schemas.set(id, schema)
    }
    return schema
  }

  async function register(subject: string, avsc: string): Promise<number> {
    parseAvsc(avsc)
    const compatibility = COMPATIBILITY.BACKWARD_TRANSITIVE
    try {
      await answered(() => api.Subject.updateConfig({ subject, body: { compatibility } }))
      const { id } = await answered(() =>
        client.register({ type: SchemaType.AVRO, schema: avsc }, { subject, compatibility }),
      )
      return id
    } catch (error) {
      const status = statusOf(error)
      if (status === 409) throw await incompatible(subject, avsc, error)
      if (status === 422) {
        throw new MeshError('MESH_CONTRACT_SCHEMA', `the registry refuses the schema of ${subject}`, { cause: error })
      }
      throw unavailable(`registering the schema of ${subject}`, error)
    }
  }

  async function checkCompatible(subject: string, avsc: string): Promise<{ compatible: boolean; reasons: string[] }> {
    parseAvsc(avsc)
    const written = await versionsOf(subject)
    if (written.length === 0) return { compatible: true, reasons: [] }
    const reasons = written.flatMap(({ version, schema }) =>
      incompatibilities(avsc, schema).map((reason) => `version ${version}: ${reason}`),
    )
    if (reasons.length === 0 && !(await acceptedByServer(subject, avsc))) {
      const { version, schema } = written.at(-1)!
      const changes = schemaChanges(avsc, schema).map(describeChange).join('; ')
      reasons.push(
        `the registry refuses it after version ${version} and gives no reason${changes && `; what changes: ${changes}`}`,
      )
    }
    return { compatible: reasons.length === 0, reasons }
  }

  /** All versions, oldest first; a deleted one is skipped. */
  async function versionsOf(subject: string): Promise<SubjectVersion[]> {
    const latest = await found(
      `reading the versions of ${subject}`,
      answered(() => api.Subject.latestVersion({ subject })),
    )
    if (!latest) return []
    const versions: SubjectVersion[] = []
    for (let version = 1; version < latest.version; version++) {
      const one = await found(
        `reading version ${version} of ${subject}`,
        answered(() => api.Subject.version({ subject, version })),
      )
      if (one) versions.push(one)
    }
    return [...versions, latest]
  }

  async function acceptedByServer(subject: string, avsc: string): Promise<boolean> {
    const request = answered(() => api.Subject.compatible({ subject, body: { schema: avsc } }))
    const answer = await found(`checking the schema of ${subject}`, request)
    return answer?.is_compatible ?? true
  }

  async function incompatible(subject: string, avsc: string, cause: unknown): Promise<MeshError> {
    const { reasons } = await checkCompatible(subject, avsc)
    const why = reasons.length > 0 ? reasons.join('; ') : describeError(cause)
    return new MeshError('MESH_SCHEMA_INCOMPATIBLE', `the schema of ${subject} is not backward compatible: ${why}`, {
      cause,
    })
  }

  return { schemaById, register, checkCompatible }
}

/** @throws Error when there is no answer in time; the request itself is left to its fate. */
async function within<T>(ms: number, answer: Promise<T>): Promise<T> {
  const late = Promise.withResolvers<never>()
  const timer = setTimeout(() => late.reject(new Error(`no answer within ${ms} ms`)), ms)
  try {
    return await Promise.race([answer, late.promise])
  } finally {
    clearTimeout(timer)
  }
}

/** The answer's body, or null on 404. */
async function found<T>(doing: string, request: Promise<Response<T>>): Promise<T | null> {
  try {
    return (await request).data()
  } catch (error) {
    if (statusOf(error) === 404) return null
    throw unavailable(doing, error)
  }
}

function statusOf(error: unknown): number | null {
  return error instanceof Error && 'status' in error && typeof error.status === 'number' ? error.status : null
}

function unavailable(doing: string, error: unknown): unknown {
  return isMeshError(error) ? error : new MeshError('MESH_REGISTRY_UNAVAILABLE', `${doing} failed`, { cause: error })
}
