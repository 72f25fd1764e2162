import type { HashSum } from '../core/books.ts'
import type { Contract } from '../core/contract.ts'
import type { MeshSrc } from '../core/coordinate.ts'
import type { Sources } from '../core/source.ts'

/** The schema registry (Confluent API). Subjects are TopicNameStrategy: `<topic>-value`. */
export interface SchemaRegistry {
  /** The schema's JSON text. Cached; ids never change meaning. @throws MESH_SCHEMA_UNKNOWN, MESH_REGISTRY_UNAVAILABLE */
  schemaById(id: number): Promise<string>
  /** Sets BACKWARD_TRANSITIVE on the subject, registers, returns the id. Same text, same id. @throws MESH_SCHEMA_INCOMPATIBLE */
  register(subject: string, avsc: string): Promise<number>
  /** Whether `register` would be accepted; a subject without versions accepts everything. */
  checkCompatible(
    subject: string,
    avsc: string,
  ): Promise<{ readonly compatible: boolean; readonly reasons: readonly string[] }>
}

/** Avro in Confluent framing (`0x00` + id int32 BE + payload), in the mesh's value model. */
export interface AvroCodec {
  /** Bytes of a record under a registered schema. @throws MESH_REFINE_INVALID naming field and reason; nothing is rounded. */
  encode(schemaId: number, avsc: string, record: unknown): Uint8Array
  /** Decodes with the writer's schema, resolved to `readerAvsc` where given (cached per pair). @throws MESH_DECODE_AVRO */
  decode(
    framed: Uint8Array,
    readerAvsc?: string,
  ): Promise<{ readonly schemaId: number; readonly record: Record<string, unknown> }>
}

/** What runs: the frozen folder of a stream. `files`: contract.json, refined.avsc, raw.schema.json?, sources.json?, refine.mjs?, source/... */
export type Bundle = {
  readonly hash: string
  readonly codeHash: string
  readonly contractHash: string
  readonly contract: Contract
  readonly refinedAvsc: string
  readonly rawSchema: Readonly<Record<string, unknown>> | null
  /** The sources of its ingests as they were when it was frozen; references, never secrets. */
  readonly sources: Sources
  readonly files: ReadonlyMap<string, Uint8Array>
}

/** A column of silver and landing, from refined.avsc. Nested types are JSON text. */
export type ColumnType =
  | {
      readonly kind:
        | 'boolean'
        | 'int'
        | 'bigint'
        | 'float'
        | 'double'
        | 'string'
        | 'bytes'
        | 'date'
        | 'time'
        | 'timestamptz'
        | 'timestamp'
        | 'uuid'
        | 'json'
    }
  | { readonly kind: 'decimal'; readonly precision: number; readonly scale: number }
export type Column = { readonly name: string; readonly type: ColumnType; readonly nullable: boolean }

/**
 * One refined record as the sinks see it. `values` follows `columnsOf(avsc)`; all null for a delete. Column values: int = number,
 * bigint = bigint, decimal = string, date/time/timestamps = strings of the value model, bytes = Uint8Array, json = JSON text.
 */
export type RefinedRow = {
  readonly op: 'upsert' | 'delete'
  readonly key: string
  readonly src: MeshSrc
  /** Offset of the raw record, in every lane: order of the source per key. */
  readonly rawOffset: number
  readonly eventId: string
  /** RFC 3339. */
  readonly eventTime: string
  readonly schemaId: number | null
  readonly hash: HashSum
  readonly version: number
  readonly values: readonly unknown[]
}
