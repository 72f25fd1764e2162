/**
 * Bounds the bytes held for requests (invariant I9). Above `highBytes` the door closes; it opens again only below
 * min(80 % of high, high − 64 KiB), so that it does not flap.
 */
export type Admission = {
  /** Takes bytes on, or says no and closes the door. An idle door takes one request of any size. */
  readonly enter: (bytes: number) => boolean
  /** Gives bytes back that were taken on. */
  readonly leave: (bytes: number) => void
  readonly inFlightBytes: () => number
  readonly isOpen: () => boolean
}

export function createAdmission(highBytes: number): Admission {
  const lowBytes = Math.max(0, Math.min(highBytes * 0.8, highBytes - 65_536))
  let held = 0
  let open = true
  return {
    enter(bytes) {
      if (open && held > 0 && held + bytes > highBytes) open = false
      if (!open) return false
      held += bytes
      return true
    },
    leave(bytes) {
      held -= bytes
      if (held <= lowBytes) open = true
    },
    inFlightBytes: () => held,
    isOpen: () => open,
  }
}

/** The bytes of one request, given back once. Growing keeps what was held when the door says no. */
export type Lease = { grow(bytes: number): boolean; release(): void }

export function takeLease(admission: Admission): Lease {
  let held = 0
  let released = false
  return {
    grow(bytes) {
      if (!admission.enter(bytes)) return false
      held += bytes
      return true
    },
    release() {
      if (released) return
      released = true
      admission.leave(held)
    },
  }
}
