import { type RecordToSend, recordBytes } from '@mesh/shared/core/record'

/** Cuts outputs into chunks for one `send` each. The outputs of one raw record are never split, so all or none of them are written. */
export type EmitPlan = {
  /** Adds the outputs of one raw record. Returns a chunk that must be sent before anything else, or null. */
  add(records: readonly RecordToSend[]): readonly RecordToSend[] | null
  /** What is left, in order. */
  take(): readonly RecordToSend[]
}

export function createEmitPlan(maxChunkBytes: number): EmitPlan {
  let chunk: RecordToSend[] = []
  let chunkBytes = 0
  function take(): readonly RecordToSend[] {
    const taken = chunk
    chunk = []
    chunkBytes = 0
    return taken
  }
  return {
    add(records) {
      const size = totalBytes(records)
      const full = chunk.length > 0 && chunkBytes + size > maxChunkBytes ? take() : null
      for (const record of records) chunk.push(record)
      chunkBytes += size
      return full
    },
    take,
  }
}

export function totalBytes(records: readonly RecordToSend[]): number {
  let bytes = 0
  for (const record of records) bytes += recordBytes(record)
  return bytes
}
