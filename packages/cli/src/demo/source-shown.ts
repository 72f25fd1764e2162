/** What of a source has arrived. */
export type SourceShown = {
  readonly stream: string
  /** Where it comes from and how. */
  readonly from: string
  /** Rows, entries or reports that are there. */
  readonly expected: number
  /** Of them in the warehouse. */
  readonly found: number
  /** One of them as it landed. */
  readonly row: Readonly<Record<string, unknown>> | null
}
