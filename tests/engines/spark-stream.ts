import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type RecordToSend, textBytes } from '@mesh/shared/core/record'
import { queryFiles } from '@mesh/shared/warehouse/duckdb-reader'
import { expect, test } from 'vitest'
import type { MeshUnderTest } from '../e2e/mesh-under-test.ts'
import { deltaFiles } from './delta-files.ts'
import { differences, postFlights, settle } from './demo-mesh.ts'
import { dropJob, everyRun, putJob } from './run-job.ts'
import { COLUMNS, silverRows, sparkJob } from './spark-world.ts'

const JOB = 'spark-delta'
const TOPIC = 'refined.flights.v1'
const AGAIN = 20
const WITH_SCHEMA = `${COLUMNS}, _schema_id`
const SECOND_COLUMN = 'punctuality'
const EVOLVED = `${WITH_SCHEMA}, ${SECOND_COLUMN}`

const outOf = (mesh: MeshUnderTest): string => join(mesh.projectDir, 'delta', 'flights')
const filesOf = (table: string): string => {
  const files = deltaFiles(table).map((file) => `'${file}'`)
  return `read_parquet([${files.join(', ')}], union_by_name = true)`
}

export function putStream(mesh: MeshUnderTest): void {
  const env = { MESH_SPARK_RECORDS_A_BATCH: '1500', KILLED: join(mesh.projectDir, 'stream-was-killed') }
  putJob(mesh, JOB, [
    'inputs: [{ stream: flights, layer: refined }, { stream: flights, layer: landing }]',
    ...sparkJob('killed_delta.py', ['flights', outOf(mesh)], { env }),
  ])
}

export const dropStream = (mesh: MeshUnderTest): Promise<void> => dropJob(mesh, JOB)

/** `transforms/spark/jobs/refined_delta.py` over the refined topic, beside the mesh's own silver. */
export function describeStream(mesh: () => MeshUnderTest): void {
  test('a refined topic becomes a Delta table: the rows of silver, each once, in several micro-batches', async () => {
    const [run, ...more] = await everyRun(mesh(), JOB)
    expect(more).toEqual([])
    const out = `${outOf(mesh())}/v1`
    const rows = `SELECT ${WITH_SCHEMA} FROM ${filesOf(`${out}/rows`)}`
    expect(await differences(rows, silverRows(mesh(), WITH_SCHEMA))).toEqual({ left: 0, right: 0, rows: 2101 })
    expect(readdirSync(`${out}/checkpoint/commits`).filter((name) => /^\d+$/.test(name)).length).toBeGreaterThan(1)
    expect(run!.result!.outputs).toEqual([{ name: `${out}/rows`, status: 'success' }])
    expect(existsSync(`${out}/rejected`)).toBe(false)
  })
}

export type Later = { readonly firstUnreadable: number; readonly withFirstSchema: number; readonly withSecond: number }

/** Flights before and after the stream's schema grows by a column, and at the end records that nobody can read. */
export async function evolve(mesh: MeshUnderTest): Promise<Later> {
  const silver = (): Promise<number> => count(silverRows(mesh, 'id'))
  await postFlights(mesh, 250, 2000)
  await settle(mesh)
  const withFirstSchema = await silver()
  await addColumn(mesh)
  await postFlights(mesh, 250, 2250)
  await settle(mesh)
  const firstUnreadable = await sendUnreadable(mesh, await newestSchemaId(mesh))
  return { firstUnreadable, withFirstSchema, withSecond: (await silver()) - withFirstSchema }
}

/**
 * One micro-batch over both schemas, with records that are set aside, whose driver was killed between the two tables: the next attempt
 * leaves each row once and each rejected record once.
 */
export async function expectLaterStream(mesh: MeshUnderTest, later: Later): Promise<void> {
  const runs = await everyRun(mesh, JOB)
  expect(runs).toHaveLength(2)
  const run = runs.toSorted((a, b) => a.seq - b.seq)[1]!
  expect(run).toMatchObject({ attempt: 2, attempts: [{ error: { code: 'MESH_JOB_FAILED' } }, { error: null }] })
  const out = `${outOf(mesh)}/v1`
  const rows = filesOf(`${out}/rows`)
  expect(await differences(`SELECT ${EVOLVED} FROM ${rows}`, silverRows(mesh, EVOLVED))).toEqual({
    left: 0,
    right: 0,
    rows: later.withFirstSchema + later.withSecond,
  })
  // What the first schema lacks is null, and the second has a value in each of its rows.
  const split = `SELECT _schema_id, count(*)::INT AS n, count(${SECOND_COLUMN})::INT AS filled FROM ${rows} GROUP BY 1 ORDER BY 1`
  expect((await queryFiles(split)).rows).toEqual([
    expect.objectContaining({ n: later.withFirstSchema, filled: 0 }),
    expect.objectContaining({ n: later.withSecond, filled: later.withSecond }),
  ])
  expect(run.result!.outputs).toEqual([
    { name: `${out}/rows`, status: 'success' },
    { name: `${out}/rejected`, status: '4 rejected: MESH_DECODE_AVRO 1, NO_SCHEMA_ID 2, UNKNOWN_SCHEMA_ID 1' },
  ])
  const aside = `SELECT topic_partition, topic_offset::INT AS topic_offset, reason, _run_id FROM ${filesOf(`${out}/rejected`)} ORDER BY topic_offset`
  expect((await queryFiles(aside)).rows).toEqual(
    UNREADABLE.map((reason, i) => ({
      topic_partition: 0,
      topic_offset: later.firstUnreadable + i,
      reason,
      _run_id: run.id,
    })),
  )
}

const count = async (sql: string): Promise<number> =>
  Number((await queryFiles(`SELECT count(*)::INT AS n FROM (${sql})`)).rows[0]!['n'])

/** What a crash of an at-least-once enricher leaves: records once more, at new offsets, under the same mesh-src. */
export async function writeAgain(mesh: MeshUnderTest): Promise<number> {
  const offsets = await mesh.kafka.admin.offsets(TOPIC)
  const ranges = offsets.map(({ partition, logStartOffset: from, highWatermark: to }) => ({ partition, from, to }))
  const copies = new Map<number, RecordToSend[]>()
  await mesh.kafka.readRanges(TOPIC, ranges, ({ partition, records }) => {
    const own = copies.get(partition) ?? []
    const more = records.slice(0, AGAIN - own.length)
    copies.set(partition, [...own, ...more.map((record) => ({ ...record, partition }))])
  })
  const producer = await mesh.kafka.producer()
  let written = 0
  for (const records of copies.values()) written += (await producer.send(TOPIC, records)).length
  await producer.close()
  return written
}

/** The stream's contract grows by a column, as its owner would do it: schema, code, apply. */
async function addColumn(mesh: MeshUnderTest): Promise<void> {
  const folder = join(mesh.projectDir, 'streams', 'flights')
  const edit = (name: string, change: (text: string) => string): void => {
    const file = join(folder, name)
    const before = readFileSync(file, 'utf8')
    const after = change(before)
    if (after === before) throw new Error(`${file} has not what is to be changed`)
    writeFileSync(file, after)
  }
  edit('refined.avsc', (text) => {
    const schema = JSON.parse(text) as { fields: object[] }
    const field = { name: SECOND_COLUMN, type: ['null', 'string'], default: null }
    return JSON.stringify({ ...schema, fields: [...schema.fields, field] })
  })
  edit('refine.ts', (text) =>
    text.replace('    delay: event.delay,\n', `$&    ${SECOND_COLUMN}: event.delay > 15 ? 'late' : 'on time',\n`),
  )
  await mesh.apply(mesh.projectDir, ['flights'])
}

async function newestSchemaId(mesh: MeshUnderTest): Promise<number> {
  const { rows } = await queryFiles(silverRows(mesh, 'max(_schema_id)::INT AS id'))
  return Number(rows[0]!['id'])
}

/** What a stranger can leave at the end of a topic, in this order. The mesh's sinks stop at it, so it comes last. */
const UNREADABLE = ['NO_SCHEMA_ID', 'MESH_DECODE_AVRO', 'UNKNOWN_SCHEMA_ID', 'NO_SCHEMA_ID']

/** No frame, a frame without the rest, one of a schema that is nobody's, and one whose id is beyond 31 bits. @returns offset of the first */
async function sendUnreadable(mesh: MeshUnderTest, schemaId: number): Promise<number> {
  const frame = (id: number): Uint8Array => {
    const bytes = Buffer.alloc(6)
    bytes.writeUInt32BE(id, 1)
    return new Uint8Array(bytes)
  }
  const producer = await mesh.kafka.producer()
  const values = [textBytes('{"id":"stranger"}'), frame(schemaId), frame(2_000_000_000), frame(0xff_ff_ff_ff)]
  const [first] = await producer.send(
    TOPIC,
    values.map((value) => ({ partition: 0, key: textBytes('LAX'), value, headers: [] })),
  )
  await producer.close()
  return first!
}
