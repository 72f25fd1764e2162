/** What of a source has arrived. */
export type SourceShown = { readonly what: string; readonly expected: number; readonly found: number }
