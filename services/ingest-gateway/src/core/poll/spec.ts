import type { PollRule } from '@mesh/shared/core/poll-rule'

/** A poll as the gateway runs it: what the contract says, at its source. */
export type PollSpec = PollRule & {
  /** The source's address, without a slash at its end. */
  readonly address: string
  /** Lower-case names; sent with every request. */
  readonly headers: Readonly<Record<string, string>>
  /** The query parameter that carries the source's credential. */
  readonly secretParameter: string | null
}
