import type { HttpSource } from '@mesh/shared/core/source'
import type { GuardedHttp, HttpIdentity } from '@mesh/shared/runtime/guarded-http'
import type { ReadSecret } from '../core/ports.ts'
import { createSourceText, readTlsTexts } from './source-text.ts'

export type SourceHttpOptions = {
  readonly source: HttpSource
  /** For sources that have neither an authority nor a certificate of their own. */
  readonly shared: GuardedHttp
  /** A client of its own, so that no connection that was made with a certificate is used for anybody else. */
  readonly open: (identity: HttpIdentity) => GuardedHttp
  readonly readSecret: ReadSecret
}

/**
 * The HTTP client of a source. Its PEMs are read at each request and hold for its own origin only; where they have changed, new connections
 * are made with them.
 */
export function createSourceHttp(options: SourceHttpOptions): Pick<GuardedHttp, 'request'> {
  const { source, shared } = options
  if (source.ca === undefined && source.cert === undefined) return shared
  const text = createSourceText(source.name, options.readSecret)
  let current: { readonly shown: string; readonly http: GuardedHttp } | null = null

  return {
    async request(guarded) {
      const { origin } = new URL(await text(source.url))
      const identity = { origin, ...(await readTlsTexts(source, text)) }
      const shown = JSON.stringify(identity)
      if (current?.shown !== shown) current = { shown, http: options.open(identity) }
      return current.http.request(guarded)
    },
  }
}
