import type { KeyTable } from '../key-table.ts'

/**
 * What a sweep knows of the keys of a list that is read whole, again and again. A list that is read page by page moves while it is read:
 * what goes up a page behind the reader's back is missing from a run and still there. So a key is gone when two runs in a row have
 * missed it. One that comes back after that is told apart by its generation: its event id would be a duplicate of the one before
 * the delete.
 */
export type Sweep = {
  /** Behind the event id of a key's events: empty, or since when it is back. */
  readonly generation: (key: string) => string
  /** @throws MeshError MESH_SOURCE_TOO_MANY_KEYS */
  readonly see: (key: string, run: number) => void
  /** Ends a run: the keys that are gone, each told once. */
  readonly vanished: (run: number, now: number) => string[]
}

/** Runs in a row that must miss a key. */
const MISSES = 2

/** In the text of the key table: `12` seen in run 12; `12~5` too, back after its delete in run 5; `-5@<epoch ms>` gone. */
type Mark =
  | { readonly kind: 'seen'; readonly run: number; readonly back: string | null }
  | { readonly kind: 'gone'; readonly run: string; readonly at: number }

/** @param dedupeMs for so long an event id counts as known downstream, and a key that is gone is remembered. */
export function createSweep(table: KeyTable, dedupeMs: number): Sweep {
  return {
    generation(key) {
      const mark = markOf(table.get(key))
      const since = mark?.kind === 'gone' ? mark.run : (mark?.back ?? null)
      return since === null ? '' : `~${since}`
    },
    see(key, run) {
      const mark = markOf(table.get(key))
      const back = mark?.kind === 'gone' ? mark.run : (mark?.back ?? null)
      table.set(key, back === null ? String(run) : `${run}~${back}`)
    },
    vanished(run, now) {
      const gone: string[] = []
      for (const [key, text] of table.entries()) {
        const mark = markOf(text)
        if (mark?.kind === 'gone') {
          if (now - mark.at >= dedupeMs) table.delete(key)
        } else if (mark && run - mark.run >= MISSES) {
          gone.push(key)
          table.set(key, `-${run}@${now}`)
        }
      }
      return gone
    },
  }
}

function markOf(text: string | undefined): Mark | null {
  const gone = /^-(\d+)@(\d+)$/.exec(text ?? '')
  if (gone) return { kind: 'gone', run: gone[1]!, at: Number(gone[2]) }
  const seen = /^(\d+)(?:~(\d+))?$/.exec(text ?? '')
  return seen ? { kind: 'seen', run: Number(seen[1]), back: seen[2] ?? null } : null
}
