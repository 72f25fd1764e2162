import { MeshError } from '@mesh/shared/core/errors'
import type { ChangeEvent } from './change-event.ts'

/**
 * Puts the fragments of `$changeStreamSplitLargeEvent` together: each has the resume token of its own and some of the event's fields. An
 * event that was not split passes. Returns null until the last fragment is there; the whole event has the last fragment's token, so a
 * position never points into the middle.
 */
export function createFragmentJoiner(): (event: ChangeEvent) => ChangeEvent | null {
  let parts: ChangeEvent[] = []

  return function join(event) {
    const split = event['splitEvent'] as { fragment: unknown; of: unknown } | undefined
    if (split === undefined) {
      if (parts.length > 0) throw torn(`${parts.length} of its fragments came, then another event`)
      return event
    }
    const [fragment, of] = [Number(split.fragment), Number(split.of)]
    if (fragment !== parts.length + 1) throw torn(`fragment ${fragment} of ${of} came after ${parts.length}`)
    parts.push(event)
    if (fragment < of) return null
    const { splitEvent: _split, ...whole } = Object.assign({}, ...parts) as ChangeEvent
    parts = []
    return whole
  }
}

const torn = (how: string): MeshError => new MeshError('MESH_SOURCE_EVENT', `a split change event is not whole: ${how}`)
