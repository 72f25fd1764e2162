import type { Trip } from './breaker.ts'

/** Why a worker holds records that it has not decided. */
export type Stall =
  | { readonly kind: 'parked-full'; readonly records: number }
  | { readonly kind: 'transaction-full' }
  | ({ readonly kind: 'breaker' } & Trip)
  /** Deciding threw: the mesh or what it stands on is broken, not the record. */
  | { readonly kind: 'stopped'; readonly reason: string }
