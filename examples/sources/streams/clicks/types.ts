/** A click as the shop writes it into the field `json` of an entry. */
export type RawClick = {
  readonly visitor: string
  readonly page: string
  readonly referrer?: string | null
  /** RFC 3339. */
  readonly at: string
}

/** refined.avsc */
export type Click = {
  readonly visitor: string
  readonly page: string
  readonly referrer: string | null
  readonly clickedAt: string
}
