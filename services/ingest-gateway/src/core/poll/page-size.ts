import type { PollSpec } from './spec.ts'
import type { PollState } from './state.ts'

const PAGES_BEFORE_GROWTH = 3

/** Half the page, after an answer that was too large or came too late; null when it cannot be smaller. */
export function shrinkPage(spec: PollSpec, state: PollState): PollState | null {
  // A smaller page would move the pages behind a page number.
  if (spec.pages?.kind === 'number' || state.size === null || state.size <= 1) return null
  return { ...state, size: Math.max(1, Math.floor(state.size / 2)), steady: 0 }
}

/** After some pages that went well the size grows back, by a quarter, to what is declared. */
export function growPage(spec: PollSpec, state: PollState): PollState {
  if (spec.pageSize === null || state.size === null || state.size >= spec.pageSize) return state
  if (state.steady + 1 < PAGES_BEFORE_GROWTH) return { ...state, steady: state.steady + 1 }
  return { ...state, size: Math.min(spec.pageSize, Math.ceil(state.size * 1.25)), steady: 0 }
}
