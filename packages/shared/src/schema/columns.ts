import type { AvroNode } from './avro-schema.ts'
import { parseRecordAvsc } from './avro-schema.ts'
import type { Column, ColumnType } from './port.ts'

/**
 * The columns of silver and landing: one per top-level field, in order. Nested types, maps, arrays and unions of several types
 * are JSON text; `T | null` is a nullable T. @throws MeshError MESH_CONTRACT_SCHEMA
 */
export function columnsOf(avsc: string): Column[] {
  return parseRecordAvsc(avsc).fields.map((field) => {
    const { node, nullable } = unwrapNullable(field.type)
    return { name: field.name, type: columnType(node), nullable }
  })
}

/** A record's values in column order, as `RefinedRow.values` wants them. */
export type ColumnReader = (record: Readonly<Record<string, unknown>>) => unknown[]

export function createColumnReader(avsc: string): ColumnReader {
  const columns = columnsOf(avsc).map((column) => ({ name: column.name, convert: conversion(column.type) }))
  return function readColumns(record) {
    const values: unknown[] = Array.from({ length: columns.length })
    for (let i = 0; i < columns.length; i++) {
      const { name, convert } = columns[i]!
      const value = record[name]
      values[i] = value === null || value === undefined ? null : convert === null ? value : convert(value)
    }
    return values
  }
}

/** JSON text of a model value: bigints as integers, bytes as base64 text, NaN and infinities as text. */
export function jsonText(value: unknown): string {
  if (typeof value === 'bigint') return value.toString()
  if (typeof value === 'number') return Number.isFinite(value) ? JSON.stringify(value) : `"${value}"`
  if (typeof value !== 'object') return JSON.stringify(value) ?? 'null'
  if (value === null) return 'null'
  if (value instanceof Uint8Array) return `"${Buffer.from(value).toString('base64')}"`
  if (Array.isArray(value)) return `[${value.map(jsonText).join(',')}]`
  const members = Object.entries(value).map(([name, item]) => `${JSON.stringify(name)}:${jsonText(item)}`)
  return `{${members.join(',')}}`
}

function unwrapNullable(node: AvroNode): { node: AvroNode; nullable: boolean } {
  if (node.kind === 'null') return { node, nullable: true }
  if (node.kind !== 'union') return { node, nullable: false }
  const others = node.branches.filter((branch) => branch.kind !== 'null')
  const nullable = others.length < node.branches.length
  return { node: others.length === 1 ? others[0]! : node, nullable }
}

function columnType(node: AvroNode): ColumnType {
  const logical = 'logical' in node ? node.logical : null
  switch (logical?.name) {
    case 'decimal':
      // Columnar stores hold 38 digits (Parquet, DuckDB, Snowflake); a wider decimal stays exact as text.
      return logical.precision <= 38
        ? { kind: 'decimal', precision: logical.precision, scale: logical.scale }
        : { kind: 'string' }
    case 'timestamp':
    case 'local-timestamp':
      // Columns hold microseconds; nanoseconds stay exact as text.
      if (logical.unit === 'nanos') return { kind: 'string' }
      return { kind: logical.name === 'timestamp' ? 'timestamptz' : 'timestamp' }
    case 'date':
    case 'time':
    case 'uuid':
      return { kind: logical.name }
    case undefined:
      break
    default:
      return logical satisfies never
  }
  switch (node.kind) {
    case 'boolean':
    case 'int':
    case 'float':
    case 'double':
    case 'string':
    case 'bytes':
      return { kind: node.kind }
    case 'long':
      return { kind: 'bigint' }
    case 'enum':
      return { kind: 'string' }
    case 'fixed':
      return { kind: 'bytes' }
    case 'null':
    case 'array':
    case 'map':
    case 'record':
    case 'union':
      return { kind: 'json' }
    default:
      return node satisfies never
  }
}

function conversion(type: ColumnType): ((value: unknown) => unknown) | null {
  if (type.kind === 'bigint') return (value) => BigInt(value as number | bigint)
  if (type.kind === 'json') return jsonText
  return null
}
