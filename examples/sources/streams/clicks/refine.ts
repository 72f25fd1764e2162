import { deadLetter, ok, type Refine } from '@mesh/client/refine'
import type { Click, RawClick } from './types.ts'

export const refine: Refine<RawClick, Click> = ({ visitor, page, referrer, at }) => {
  if (Number.isNaN(Date.parse(at))) return deadLetter('CLICK_TIME', 'the click has no readable time')
  // A query may hold what a visitor typed.
  return ok({ visitor, page: page.split('?')[0] ?? page, referrer: referrer ?? null, clickedAt: at })
}
