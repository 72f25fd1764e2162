import type { ErrorObject, ValidateFunction } from 'ajv'
import { Ajv } from 'ajv'
import { nearest } from '../runtime/config.ts'
import type { YamlPath } from './contract-yaml.ts'
import sourcesSchema from './sources.schema.json' with { type: 'json' }
import streamSchema from './stream.schema.json' with { type: 'json' }

export type SchemaProblem = { readonly path: YamlPath; readonly key?: string; readonly reason: string }

/** Checks a parsed file against a JSON Schema; every problem, in the words of the file. `whole` names the file: `the contract`. */
export function createSchemaCheck(schema: object, whole: string): (value: unknown) => SchemaProblem[] {
  const ajv = new Ajv({ allErrors: true, strict: true, strictTypes: false, allowUnionTypes: true, verbose: true })
  const validate: ValidateFunction = ajv.compile(schema)
  return function problemsOf(value) {
    if (validate(value)) return []
    return (validate.errors ?? []).filter((error) => error.keyword !== 'if').map((error) => problemOf(error, whole))
  }
}

/** Checks a parsed contract against stream.schema.json. */
export const schemaProblems: (value: unknown) => SchemaProblem[] = createSchemaCheck(streamSchema, 'the contract')

/** Checks a parsed sources/<name>.yaml against sources.schema.json. */
export const sourceProblems: (value: unknown) => SchemaProblem[] = createSchemaCheck(sourcesSchema, 'the source')

function problemOf(error: ErrorObject, whole: string): SchemaProblem {
  const path = error.instancePath
    .split('/')
    .slice(1)
    .map((step) => step.replaceAll('~1', '/').replaceAll('~0', '~'))
  const name = path.filter((step) => !/^\d+$/.test(step)).join('.') || whole
  const params = error.params as Record<string, unknown>
  switch (error.keyword) {
    case 'additionalProperties': {
      const key = String(params['additionalProperty'])
      const known = Object.keys((error.parentSchema as { properties: object }).properties)
      return { path, key, reason: `unknown key \`${key}\`: did you mean \`${nearest(key, known) ?? known[0]}\`?` }
    }
    case 'required':
      return { path, reason: `${name} needs the key \`${String(params['missingProperty'])}\`` }
    case 'enum':
      return { path, reason: `${name} must be ${(params['allowedValues'] as unknown[]).map(String).join(' or ')}` }
    case 'pattern':
      return { path, reason: `${name} must look like ${exampleOf(error)}` }
    default:
      return { path, reason: `${name} ${error.message ?? 'is not valid'}` }
  }
}

function exampleOf(error: ErrorObject): string {
  const { description, pattern } = error.parentSchema as { description?: string; pattern: string }
  return error.schemaPath.includes('definitions') && description ? description : pattern
}
