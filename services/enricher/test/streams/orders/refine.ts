import { deadLetter, drop, ok, type Refine, tombstone } from '@mesh/client/refine'

export type RawOrder = {
  readonly n: number
  readonly does?: 'drop' | 'refuse' | 'throw' | 'mismatch' | 'delete' | 'none' | 'wait'
  readonly parts?: number
  readonly customer?: string
}
export type Order = { n: number; part?: string | null; customer?: string | null }

export const refine: Refine<RawOrder, Order> = (event, { joins }) => {
  const row = joins['customer'] ?? null
  const order: Order = { n: event.n, customer: row === null ? null : (row['name'] as string) }
  switch (event.does) {
    case 'drop':
      return drop('told to')
    case 'refuse':
      return deadLetter('ORDER_ODD', 'told to')
    case 'throw':
      throw new RangeError(`order ${event.n} is out of range`)
    case 'mismatch':
      return ok({ n: 'not a number' } as unknown as Order)
    case 'delete':
      return tombstone()
    case 'none':
      return ok<Order>([])
    case 'wait':
      return row === null ? drop('no customer yet') : ok(order)
    case undefined:
    default: {
      const parts = event.parts ?? 0
      if (parts === 0) return ok(order)
      return ok(Array.from({ length: parts }, (_, i) => ({ record: { ...order, part: `p${i}` }, subKey: `p${i}` })))
    }
  }
}
