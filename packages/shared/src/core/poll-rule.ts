import type { Schedule } from './schedule.ts'

/** What a contract says of an ingest of kind poll, defaults filled in. */
export type PollRule = {
  readonly method: 'GET' | 'POST'
  /** Below the source's address; a template. */
  readonly path: string
  readonly schedule: Schedule
  /** Parameter → template; a parameter whose template has no value is left out. */
  readonly query: Readonly<Record<string, string>>
  /** A JSON tree whose texts are templates; null = no body. */
  readonly body: unknown
  readonly graphql: GraphqlRule | null
  /** JSON Pointer to the array of records in the answer; '' = the answer itself. */
  readonly records: string
  /** JSON Pointer inside an element of that array to the event; '' = the element is the event. */
  readonly each: string
  /** Pointers inside an event. Null = the contract's `eventId` names the id. */
  readonly id: string | null
  readonly updatedAt: string | null
  readonly cursor: CursorRule | null
  readonly pages: PageRule | null
  readonly pageSize: number | null
  readonly maxPages: number
  /** `sweep`: a run reads everything, and a key that it no longer finds becomes a tombstone. */
  readonly deletes: 'none' | 'sweep'
  /** Most keys that a sweep keeps. */
  readonly maxKeys: number
}

export type GraphqlRule = {
  readonly query: string
  readonly variables: Readonly<Record<string, unknown>>
  /** What an answer with errors and data is worth: nothing, or its data. */
  readonly partial: 'fail' | 'take'
}

export type TimeFormat = 'rfc3339' | 'date' | 'epoch-s' | 'epoch-ms'

/** What goes on from run to run. `at` is a pointer inside an event (time, id) or inside the answer (token). */
export type CursorRule =
  | {
      readonly kind: 'time'
      readonly at: string
      readonly format: TimeFormat
      /** RFC 3339: where the first run begins; null = without a lower bound. */
      readonly start: string | null
      readonly lookbackMs: number
      /** A run asks window by window of this length; null = in one. */
      readonly windowMs: number | null
    }
  | { readonly kind: 'id'; readonly at: string; readonly start: string | null }
  | { readonly kind: 'token'; readonly at: string }
  | { readonly kind: 'offset' }

/** What goes on from page to page of a run. Pointers are into the answer. */
export type PageRule =
  | { readonly kind: 'token'; readonly at: string; readonly hasMore: string | null }
  /** `at` null = the Link header's `rel="next"`. */
  | { readonly kind: 'link'; readonly at: string | null }
  | { readonly kind: 'offset' }
  | { readonly kind: 'number'; readonly first: number }

/** Names that a template may hold in `{{ }}`. */
export const TEMPLATE_NAMES = ['since', 'until', 'page', 'offset', 'number', 'size'] as const
export type TemplateName = (typeof TEMPLATE_NAMES)[number]
