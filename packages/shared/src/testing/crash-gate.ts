export class Crash extends Error {
  override readonly name = 'Crash'
}

export type CrashGate = {
  /** Passed before and after every call of a port. */
  pass(): void
  /** Calls passed so far. */
  passed(): number
  readonly crashed: boolean
}

/** From the `at`-th passage on nothing gets through any more: a call may have taken effect and its caller never hear of it. */
export function createCrashGate(at: number = Number.POSITIVE_INFINITY): CrashGate {
  let passed = 0
  return {
    get crashed() {
      return passed >= at
    },
    passed: () => passed,
    pass() {
      passed++
      if (passed >= at) throw new Crash(`crash at passage ${passed}`)
    },
  }
}

/** A port whose every method passes the gate, those of what its methods resolve to (a producer) too. */
export function gated<T extends object>(port: T, gate: CrashGate): T {
  return new Proxy(port, {
    get(target, name, receiver) {
      const member: unknown = Reflect.get(target, name, receiver)
      if (typeof member === 'object' && member !== null) return gated(member, gate)
      if (typeof member !== 'function') return member
      // An async iterable is passed on as it is: its reads go through the other methods.
      if (name === 'list') return member.bind(target) as unknown
      return async (...args: unknown[]) => {
        gate.pass()
        const value: unknown = await (member.apply(target, args) as Promise<unknown>)
        gate.pass()
        return isProducer(value) ? gated(value, gate) : value
      }
    },
  })
}

function isProducer(value: unknown): value is object {
  return typeof value === 'object' && value !== null && 'send' in value
}
