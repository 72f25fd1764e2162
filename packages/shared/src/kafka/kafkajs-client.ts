import { createRequire } from 'node:module'
import type * as KafkaJs from 'kafkajs'
import { MeshError } from '../core/errors.ts'
import { type FilterInput, filterAborted } from './aborted-filter.ts'
import {
  type BatchDecoder,
  DECODED_BYTES_PER_PARTITION,
  decodeSlice,
  type FetchDecoder,
  nextWireBytes,
  type Slice,
} from './fetch-slices.ts'
import { registerCodecs } from './kafkajs-codecs.ts'

/**
 * kafkajs 2.2.4 with its defects closed, before anything else loads it. Internal modules are replaced in the require cache, so
 * the corrections hold for this version only and any other is refused.
 */
const REQUIRED_VERSION = '2.2.4'

type Encoder = {
  writeVarInt(n: number): Encoder
  writeInt8(n: number): Encoder
  writeVarLong(n: unknown): Encoder
  writeVarIntBytes(bytes: Uint8Array | null): Encoder
  writeVarIntString(text: string): Encoder
}
type EncoderClass = {
  new (): Encoder
  sizeOfVarInt(n: number): number
  sizeOfVarLong(n: unknown): number
  sizeOfVarIntBytes(bytes: Uint8Array | null): number
}
type Decoder = {
  readInt8(): number
  readVarInt(): number
  readVarLong(): { toString(): string }
  readVarIntBytes(): Buffer | null
  readVarIntString(): string
}
type LongClass = { fromValue(value: unknown): { add(other: unknown): { toString(): string } } }

/** A header as this adapter hands it to kafkajs and gets it back: a list keeps order, repetition and null. */
export type WireHeader = { readonly name: string; readonly value: Buffer | null }
type WireRecord = {
  offsetDelta?: number
  timestampDelta?: unknown
  key: Buffer | null
  value: Buffer | null
  headers?: readonly WireHeader[]
}
type BatchContext = {
  firstOffset?: unknown
  firstTimestamp?: unknown
  magicByte?: number
  isControlBatch?: boolean
  timestampType?: number
  maxTimestamp?: unknown
}

const require = createRequire(import.meta.url)
const LOG_APPEND_TIME = 1

export const kafkajs: typeof KafkaJs = load()

function load(): typeof KafkaJs {
  const { version } = require('kafkajs/package.json') as { version: string }
  if (version !== REQUIRED_VERSION) {
    throw new MeshError(
      'MESH_KAFKA_CLIENT_UNSAFE',
      `kafkajs is ${version}; the corrections are for ${REQUIRED_VERSION}`,
    )
  }
  replaceModule('kafkajs/src/consumer/filterAbortedMessages.js', (input: FilterInput) => filterAborted(input))
  const encoder = require('kafkajs/src/protocol/encoder') as EncoderClass
  replaceModule('kafkajs/src/protocol/recordBatch/record/v0/index.js', (record: WireRecord) =>
    encodeRecord(encoder, record),
  )
  const long = require('kafkajs/src/utils/long') as LongClass
  replaceModule('kafkajs/src/protocol/recordBatch/record/v0/decoder.js', (decoder: Decoder, context?: BatchContext) =>
    decodeRecord(long, decoder, context ?? {}),
  )
  boundDecoding()
  answerRefusals()
  const client = require('kafkajs') as typeof KafkaJs
  commitInOwnGeneration()
  stopOnOffsetOutOfRange()
  deliverEveryBatch()
  silenceNegativeTimeout()
  registerCodecs(client)
  return client
}

function replaceModule(name: string, exported: unknown): void {
  const path = require.resolve(name)
  require.cache[path] = { id: path, filename: path, loaded: true, exports: exported } as NodeJS.Module
}

/** Record v2 (KIP-98): as kafkajs has it, but headers are a list and a header's value may be null. */
function encodeRecord(EncoderType: EncoderClass, record: WireRecord): Encoder {
  const { offsetDelta = 0, timestampDelta = 0, key, value, headers = [] } = record
  let size = 1 + EncoderType.sizeOfVarLong(timestampDelta) + EncoderType.sizeOfVarInt(offsetDelta)
  size +=
    EncoderType.sizeOfVarIntBytes(key) + EncoderType.sizeOfVarIntBytes(value) + EncoderType.sizeOfVarInt(headers.length)
  for (const header of headers) {
    const nameBytes = Buffer.byteLength(header.name)
    size += EncoderType.sizeOfVarInt(nameBytes) + nameBytes + EncoderType.sizeOfVarIntBytes(header.value)
  }
  const encoder = new EncoderType()
    .writeVarInt(size)
    .writeInt8(0)
    .writeVarLong(timestampDelta)
    .writeVarInt(offsetDelta)
    .writeVarIntBytes(key)
    .writeVarIntBytes(value)
    .writeVarInt(headers.length)
  for (const header of headers) encoder.writeVarIntString(header.name).writeVarIntBytes(header.value)
  return encoder
}

function decodeRecord(long: LongClass, decoder: Decoder, context: BatchContext): unknown {
  const attributes = decoder.readInt8()
  const timestampDelta = decoder.readVarLong()
  const appendTime = context.timestampType === LOG_APPEND_TIME && context.maxTimestamp
  const timestamp = appendTime
    ? context.maxTimestamp
    : long.fromValue(context.firstTimestamp).add(timestampDelta).toString()
  const offset = long.fromValue(context.firstOffset).add(decoder.readVarInt()).toString()
  const key = decoder.readVarIntBytes()
  const value = decoder.readVarIntBytes()
  const headers: WireHeader[] = []
  const count = decoder.readVarInt()
  for (let i = 0; i < count; i++) headers.push({ name: decoder.readVarIntString(), value: decoder.readVarIntBytes() })
  return {
    magicByte: context.magicByte,
    attributes,
    timestamp,
    offset,
    key,
    value,
    headers,
    isControlRecord: context.isControlBatch ?? false,
    batchContext: context,
  }
}

/** A partition's part of a produce response (v3 and later). */
export type ProduceAnswer = {
  readonly topicName: string
  readonly partition: number
  readonly errorCode: number
  readonly baseOffset?: string
}
type ProduceResponse = { readonly topics: readonly { readonly partitions: readonly ProduceAnswer[] }[] }

const TOO_LARGE = new Set([10, 18])

/** MESSAGE_TOO_LARGE or RECORD_LIST_TOO_LARGE: nothing of this partition's batch was written. */
export function isRefusedAsTooLarge({ errorCode }: ProduceAnswer): boolean {
  return TOO_LARGE.has(errorCode)
}

/**
 * A partition's batch refused as too large becomes an answer like any other. kafkajs would throw for the whole request, and
 * what other partitions of it have written could not be told.
 */
function answerRefusals(): void {
  type Response = { parse: (data: ProduceResponse) => Promise<ProduceResponse> }
  const response = require('kafkajs/src/protocol/requests/produce/v3/response') as Response
  const { parse } = response
  response.parse = async (data) => {
    const accepted = data.topics.map((topic) => ({
      ...topic,
      partitions: topic.partitions.filter((answer) => !isRefusedAsTooLarge(answer)),
    }))
    await parse({ ...data, topics: accepted })
    return data
  }
}

type GroupInternals = { offsetManager: unknown; commitOffsets(offsets: unknown): Promise<void> }
type CommittingRunner = {
  running: boolean
  consumerGroup: GroupInternals
  retrier<T>(attempt: (bail: (error: Error) => void) => Promise<T>): Promise<T>
}

/**
 * A commit belongs to the generation it was asked in. kafkajs would repeat it under the generation it has by then, and would say
 * nothing when it no longer runs.
 */
function commitInOwnGeneration(): void {
  const Runner = require('kafkajs/src/consumer/runner') as { prototype: Record<string, unknown> }
  const ConsumerGroup = require('kafkajs/src/consumer/consumerGroup') as {
    prototype: { joinAndSync: (this: GroupInternals) => Promise<void> }
  }
  // A member that joins again has given up what it owned; its new offset manager is there before it has told anyone.
  const joining = new WeakSet<GroupInternals>()
  const { joinAndSync } = ConsumerGroup.prototype
  ConsumerGroup.prototype.joinAndSync = async function joinAndMark() {
    joining.add(this)
    try {
      await joinAndSync.call(this)
    } finally {
      joining.delete(this)
    }
  }
  Runner.prototype['commitOffsets'] = function commitOffsets(this: CommittingRunner, offsets: unknown): Promise<void> {
    const group = this.consumerGroup
    const { offsetManager } = group
    return this.retrier(async (bail) => {
      if (!this.running || joining.has(group) || group.offsetManager !== offsetManager) {
        return bail(Object.assign(new Error('the generation is over'), { type: 'ILLEGAL_GENERATION' }))
      }
      await group.commitOffsets(offsets)
    })
  }
}

/** kafkajs would commit a default offset of its own choice, even with automatic commits off. */
function stopOnOffsetOutOfRange(): void {
  const ConsumerGroup = require('kafkajs/src/consumer/consumerGroup') as { prototype: Record<string, unknown> }
  const { KafkaJSNonRetriableError } = require('kafkajs/src/errors') as {
    KafkaJSNonRetriableError: new (e: Error) => Error
  }
  ConsumerGroup.prototype['recoverFromOffsetOutOfRange'] = (e: { topic: string; partition: number }) => {
    const error = new MeshError('MESH_KAFKA_OFFSET_OUT_OF_RANGE', 'the position is not in the log', {
      place: `${e.topic}/${e.partition}`,
    })
    return Promise.reject(Object.assign(new KafkaJSNonRetriableError(error), { cause: error }))
  }
}

/** A fetched partition is decompressed in slices; what it asks for next follows from how well it was compressed. */
function boundDecoding(): void {
  const DecoderType = require('kafkajs/src/protocol/decoder') as new (
    bytes: Buffer,
  ) => FetchDecoder & { offset: number }
  const decodeBatch = require('kafkajs/src/protocol/recordBatch/v0/decoder') as BatchDecoder
  const how = { open: (bytes: Buffer) => new DecoderType(bytes), decodeBatch, limit: DECODED_BYTES_PER_PARTITION }
  replaceModule('kafkajs/src/protocol/requests/fetch/v4/decodeMessages.js', (decoder: FetchDecoder) =>
    decodeSlice(decoder, how),
  )
}

type RunnerInternals = {
  running: boolean
  consumerGroup: { maxBytesPerPartition: number }
  processEachBatch(batch: unknown): Promise<void>
  heartbeat(): Promise<void>
}
type BatchInternals = { rawMessages: Slice }

/**
 * Batches that hold only control or aborted records reach the handler too, so that its position covers their offsets. kafkajs
 * would move on silently.
 */
function deliverEveryBatch(): void {
  const Runner = require('kafkajs/src/consumer/runner') as { prototype: Record<string, unknown> }
  Runner.prototype['handleBatch'] = async function handleBatch(
    this: RunnerInternals,
    batch: BatchInternals,
  ): Promise<void> {
    if (!this.running) return
    const { consumerGroup } = this
    consumerGroup.maxBytesPerPartition = nextWireBytes(consumerGroup.maxBytesPerPartition, batch.rawMessages)
    if (batch.rawMessages.length > 0) await this.processEachBatch(batch)
    await this.heartbeat()
  }
}

/** The queue computes a timeout from a moment in the past; Node 24 warns about it. The value is put right. */
function silenceNegativeTimeout(): void {
  const RequestQueue = require('kafkajs/src/network/requestQueue') as { prototype: Record<string, unknown> }
  type Queue = {
    throttledUntil: number
    throttleCheckTimeoutId: NodeJS.Timeout | null
    pending: unknown[]
    checkPendingRequests(): void
  }
  const CHECK_MS = 10
  RequestQueue.prototype['scheduleCheckPendingRequests'] = function scheduleCheckPendingRequests(this: Queue): void {
    if (this.throttleCheckTimeoutId) return
    const throttled = this.throttledUntil - Date.now()
    if (this.pending.length === 0 && throttled <= 0) return
    this.throttleCheckTimeoutId = setTimeout(
      () => {
        this.throttleCheckTimeoutId = null
        this.checkPendingRequests()
      },
      throttled > 0 ? throttled : CHECK_MS,
    )
  }
}
