/**
 * Bounds the bytes held for requests (invariant I9). `hardBytes` is never exceeded: a request that would is ended. Above 75 % of
 * it the door is closed to new requests, while those let in go on; it opens again under 60 %, so that it does not flap.
 */
export type Admission = {
  /** Whether a new request may come in. */
  readonly isOpen: () => boolean
  /** Takes bytes on; false when that would exceed the hard bound, and then nothing is taken. */
  readonly take: (bytes: number) => boolean
  /** Gives bytes back that were taken on. */
  readonly give: (bytes: number) => void
  readonly inFlightBytes: () => number
}

const CLOSE_AT = 0.75
const OPEN_AT = 0.6

export function createAdmission(hardBytes: number): Admission {
  let held = 0
  let open = true
  return {
    isOpen: () => open,
    take(bytes) {
      if (held + bytes > hardBytes) return false
      held += bytes
      if (held > hardBytes * CLOSE_AT) open = false
      return true
    },
    give(bytes) {
      held -= bytes
      if (held <= hardBytes * OPEN_AT) open = true
    },
    inFlightBytes: () => held,
  }
}

/** Memory of one event besides its bytes: record, headers, receipt. */
export const EVENT_OVERHEAD_BYTES = 2048

/** The bytes of one request, given back once. What was taken stays taken when growing further is refused. */
export type Lease = { grow(bytes: number): boolean; release(): void }

export function takeLease(admission: Admission): Lease {
  let held = 0
  let released = false
  return {
    grow(bytes) {
      if (!admission.take(bytes)) return false
      held += bytes
      return true
    },
    release() {
      if (released) return
      released = true
      admission.give(held)
    },
  }
}
