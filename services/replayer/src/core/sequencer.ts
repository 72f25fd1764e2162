/** Runs pieces of work one after another, in the order of the calls. A failed one does not stop the next. */
export type Sequencer = <T>(work: () => Promise<T>) => Promise<T>

export function createSequencer(): Sequencer {
  let last: Promise<unknown> = Promise.resolve()
  return function run<T>(work: () => Promise<T>): Promise<T> {
    const result = last.then(work)
    last = result.catch(() => {})
    return result
  }
}
