import { Ajv2020 } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'

/**
 * The part of OpenLineage 2-0-2 that the mesh writes, as a JSON Schema: RunEvent, its run, job and datasets, and the content of the
 * standard facets (SchemaDatasetFacet 1-1-1, ColumnLineageDatasetFacet 1-2-0, OutputStatisticsOutputDatasetFacet 1-0-2,
 * ParentRunFacet 1-0-1, ErrorMessageRunFacet 1-0-1, JobTypeJobFacet 2-0-3). Stricter than the specification in one thing: a facet
 * that is not listed is refused unless its name has the prefix `mesh_`, as custom facets must have one.
 */
const SCHEMA = {
  $ref: '#/$defs/RunEvent',
  $defs: {
    RunEvent: {
      type: 'object',
      required: ['eventType', 'eventTime', 'producer', 'schemaURL', 'run', 'job'],
      properties: {
        eventType: { enum: ['START', 'RUNNING', 'COMPLETE', 'ABORT', 'FAIL', 'OTHER'] },
        eventTime: { type: 'string', format: 'date-time' },
        producer: { type: 'string', format: 'uri' },
        schemaURL: { const: 'https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent' },
        run: {
          type: 'object',
          required: ['runId'],
          properties: {
            runId: { type: 'string', format: 'uuid' },
            facets: facets({ parent: 'ParentRunFacet', errorMessage: 'ErrorMessageRunFacet' }),
          },
        },
        job: { $ref: '#/$defs/Job' },
        inputs: { type: 'array', items: { $ref: '#/$defs/Dataset' } },
        outputs: { type: 'array', items: { $ref: '#/$defs/OutputDataset' } },
      },
      unevaluatedProperties: false,
    },
    Job: {
      type: 'object',
      required: ['namespace', 'name'],
      properties: {
        namespace: { type: 'string', minLength: 1 },
        name: { type: 'string', minLength: 1 },
        facets: facets({ jobType: 'JobTypeJobFacet' }),
      },
    },
    Dataset: {
      type: 'object',
      required: ['namespace', 'name'],
      properties: {
        namespace: { type: 'string', minLength: 1 },
        name: { type: 'string', minLength: 1 },
        facets: facets({ schema: 'SchemaDatasetFacet', columnLineage: 'ColumnLineageDatasetFacet' }),
      },
    },
    OutputDataset: {
      allOf: [{ $ref: '#/$defs/Dataset' }],
      properties: { outputFacets: facets({ outputStatistics: 'OutputStatisticsOutputDatasetFacet' }) },
      unevaluatedProperties: false,
    },
    BaseFacet: {
      type: 'object',
      required: ['_producer', '_schemaURL'],
      properties: { _producer: { type: 'string', format: 'uri' }, _schemaURL: { type: 'string', format: 'uri' } },
    },
    SchemaDatasetFacet: base(['fields'], {
      fields: {
        type: 'array',
        items: {
          type: 'object',
          required: ['name'],
          properties: { name: { type: 'string' }, type: { type: 'string' }, description: { type: 'string' } },
        },
      },
    }),
    ColumnLineageDatasetFacet: base(['fields'], {
      fields: {
        type: 'object',
        additionalProperties: {
          type: 'object',
          required: ['inputFields'],
          properties: { inputFields: { type: 'array', minItems: 1, items: { $ref: '#/$defs/InputField' } } },
        },
      },
    }),
    InputField: {
      type: 'object',
      required: ['namespace', 'name', 'field'],
      properties: {
        namespace: { type: 'string', minLength: 1 },
        name: { type: 'string', minLength: 1 },
        field: { type: 'string', minLength: 1 },
        transformations: {
          type: 'array',
          items: {
            type: 'object',
            required: ['type'],
            properties: { type: { enum: ['DIRECT', 'INDIRECT'] }, subtype: { type: 'string' } },
          },
        },
      },
    },
    OutputStatisticsOutputDatasetFacet: base([], {
      rowCount: { type: 'integer', minimum: 0 },
      size: { type: 'integer', minimum: 0 },
      fileCount: { type: 'integer', minimum: 0 },
    }),
    ParentRunFacet: base(['run', 'job'], {
      run: { type: 'object', required: ['runId'], properties: { runId: { type: 'string', format: 'uuid' } } },
      job: { $ref: '#/$defs/Job' },
    }),
    ErrorMessageRunFacet: base(['message', 'programmingLanguage'], {
      message: { type: 'string' },
      programmingLanguage: { type: 'string' },
    }),
    JobTypeJobFacet: base(['processingType', 'integration'], {
      processingType: { enum: ['STREAMING', 'BATCH'] },
      integration: { type: 'string' },
      jobType: { type: 'string' },
    }),
  },
}

/** @param known facet → definition */
function facets(known: Readonly<Record<string, string>>): object {
  const properties = Object.fromEntries(Object.entries(known).map(([name, of]) => [name, { $ref: `#/$defs/${of}` }]))
  return {
    type: 'object',
    properties,
    patternProperties: { '^mesh_': { $ref: '#/$defs/BaseFacet' } },
    additionalProperties: false,
  }
}

function base(required: readonly string[], properties: object): object {
  return { allOf: [{ $ref: '#/$defs/BaseFacet' }], type: 'object', required, properties, unevaluatedProperties: false }
}

const ajv = new Ajv2020({ allErrors: true, strict: false })
addFormats.default(ajv)
const validate = ajv.compile(SCHEMA)

/** What keeps a value from being an OpenLineage run event; empty when nothing does. */
export function openLineageProblems(event: unknown): string[] {
  if (validate(event)) return []
  return (validate.errors ?? []).map(({ instancePath, message, params }) =>
    `${instancePath} ${message} ${JSON.stringify(params)}`.trim(),
  )
}
