/** Records a second per topic, over a sliding window of end offsets. */
export type Rates = {
  /** Takes the ends seen at a monotonic time; answers with the rate per topic, absent until two moments are known. */
  observe(atMs: number, ends: ReadonlyMap<string, number>): ReadonlyMap<string, number>
}

type Sample = { readonly atMs: number; readonly ends: ReadonlyMap<string, number> }

/** @param windowMs the rate is taken over the newest samples that span at most this */
export function createRates(windowMs: number): Rates {
  let samples: Sample[] = []
  return {
    observe(atMs, ends) {
      samples = samples.filter((sample) => atMs - sample.atMs <= windowMs)
      const rates = new Map<string, number>()
      for (const [topic, end] of ends) {
        const oldest = samples.find((sample) => sample.ends.has(topic))
        const seconds = oldest === undefined ? 0 : (atMs - oldest.atMs) / 1000
        // A topic created anew starts below its older end: nothing is known of its rate then.
        const grown = oldest === undefined ? 0 : end - oldest.ends.get(topic)!
        if (seconds > 0 && grown >= 0) rates.set(topic, grown / seconds)
      }
      samples.push({ atMs, ends })
      return rates
    },
  }
}
