import { MeshError } from '@mesh/shared/core/errors'
import { decodeUtf8 } from '@mesh/shared/core/json-text'
import { Ajv, type ErrorObject, type ValidateFunction } from 'ajv'
import { Ajv2020 } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'

/** Checks one event's bytes against raw.schema.json. @throws MeshError MESH_EVENT_SCHEMA naming the place. */
export type EventCheck = (bytes: Uint8Array) => void

/** Compiles a raw.schema.json (draft-07 or 2020-12 by its `$schema`). @throws MeshError MESH_CONTRACT_SCHEMA */
export function compileEventCheck(rawSchema: Readonly<Record<string, unknown>>): EventCheck {
  const validate = compile(rawSchema)
  return function checkEvent(bytes) {
    // Plain numbers on purpose: the schema's `integer` knows no bigint. The stored bytes are not touched.
    if (validate(JSON.parse(decodeUtf8(bytes)))) return
    const first = validate.errors?.[0]
    throw new MeshError('MESH_EVENT_SCHEMA', describe(first), { place: first?.instancePath || '/' })
  }
}

function compile(rawSchema: Readonly<Record<string, unknown>>): ValidateFunction {
  const options = { strict: false, allErrors: false, validateFormats: true }
  const dialect = rawSchema['$schema']
  const isDraft7 = typeof dialect === 'string' && dialect.includes('draft-07')
  const ajv = isDraft7 ? new Ajv(options) : new Ajv2020(options)
  addFormats.default(ajv as Ajv)
  try {
    return ajv.compile(rawSchema)
  } catch (error) {
    throw new MeshError('MESH_CONTRACT_SCHEMA', 'raw.schema.json cannot be compiled', { cause: error })
  }
}

/** Ajv's sentence, with the name it leaves out. Holds names of the schema, never values of the event. */
function describe(error: ErrorObject | undefined): string {
  const extra = error?.params['additionalProperty'] as string | undefined
  const named = extra === undefined ? '' : ` (${extra.slice(0, 60)})`
  return `the event at ${error?.instancePath || 'the root'} ${error?.message ?? 'is not valid'}${named}`
}
