/**
 * Instants and civil times as text. Civil arithmetic is Howard Hinnant's days_from_civil (proleptic Gregorian), so every value
 * of a 64-bit microsecond counter has a text, also beyond the range of `Date`.
 */
export type Instant = { readonly epochMs: number; readonly nanos: number; readonly offset: string | null }

const DAY_MS = 86_400_000
const RFC3339 =
  /^([+-]\d{6,}|\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?([Zz]|[+-]\d\d(?::?\d\d)?)?$/

/** Days since 1970-01-01. */
export function daysFromCivil(year: number, month: number, day: number): number {
  const y = month <= 2 ? year - 1 : year
  const era = Math.floor(y / 400)
  const yearOfEra = y - era * 400
  const dayOfYear = Math.floor((153 * (month + (month > 2 ? -3 : 9)) + 2) / 5) + day - 1
  return era * 146_097 + yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear - 719_468
}

/** `YYYY-MM-DD` of a day count; years beyond 0..9999 carry a sign and six digits, as in ISO 8601. */
export function formatDay(days: number): string {
  const z = days + 719_468
  const era = Math.floor(z / 146_097)
  const dayOfEra = z - era * 146_097
  const yearOfEra = Math.floor(
    (dayOfEra - Math.floor(dayOfEra / 1460) + Math.floor(dayOfEra / 36_524) - Math.floor(dayOfEra / 146_096)) / 365,
  )
  const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100))
  const shifted = Math.floor((5 * dayOfYear + 2) / 153)
  const day = dayOfYear - Math.floor((153 * shifted + 2) / 5) + 1
  const month = shifted < 10 ? shifted + 3 : shifted - 9
  return `${formatYear(yearOfEra + era * 400 + (month <= 2 ? 1 : 0))}-${two(month)}-${two(day)}`
}

/** True for a day that exists: 2001-02-29 does not. */
export function isCivilDay(year: number, month: number, day: number): boolean {
  return month >= 1 && month <= 12 && day >= 1 && day <= daysInMonth(year, month)
}

/** Days since 1970-01-01 of `YYYY-MM-DD`, or null when the text is no existing day. */
export function parseDay(text: string): number | null {
  const match = /^([+-]\d{6,}|\d{4})-(\d\d)-(\d\d)$/.exec(text)
  if (!match) return null
  const [year, month, day] = [Number(match[1]), Number(match[2]), Number(match[3])] as const
  return isCivilDay(year, month, day) ? daysFromCivil(year, month, day) : null
}

/**
 * Reads RFC 3339 / ISO 8601 date and time; the offset may be missing (`offset` null: a local time read as if UTC). `nanos` is the
 * part below the millisecond, 0..999,999. Null for an unreadable text or a date or time that does not exist.
 */
export function parseInstant(text: string): Instant | null {
  // A record's time is read as its own and again as a field of it.
  if (text === last.text) return last.instant
  const instant = parseUtcMillis(text) ?? parseAny(text)
  last = { text, instant }
  return instant
}

let last: { readonly text: string; readonly instant: Instant | null } = { text: '', instant: null }

const DASH = 0x2d
const COLON = 0x3a

/** `YYYY-MM-DDTHH:mm:ss.sssZ`, the form that JSON.stringify gives a Date and nearly every sender uses: read by its places. */
function parseUtcMillis(text: string): Instant | null {
  if (text.length !== 24 || text.charCodeAt(4) !== DASH || text.charCodeAt(7) !== DASH) return null
  if (text.charCodeAt(13) !== COLON || text.charCodeAt(16) !== COLON) return null
  if (text.charCodeAt(10) !== 0x54 || text.charCodeAt(19) !== 0x2e || text.charCodeAt(23) !== 0x5a) return null
  const year = twoDigits(text, 0) * 100 + twoDigits(text, 2)
  const month = twoDigits(text, 5)
  const day = twoDigits(text, 8)
  const hour = twoDigits(text, 11)
  const minute = twoDigits(text, 14)
  const second = twoDigits(text, 17)
  const ms = twoDigits(text, 20) * 10 + digitAt(text, 22)
  // A character that is no digit makes its number NaN, which fails every comparison.
  if (!(year >= 0 && ms >= 0 && hour <= 23 && minute <= 59 && second <= 59)) return null
  if (!isCivilDay(year, month, day)) return null
  const time = ((hour * 60 + minute) * 60 + second) * 1000 + ms
  return { epochMs: daysFromCivil(year, month, day) * DAY_MS + time, nanos: 0, offset: 'Z' }
}

const twoDigits = (text: string, at: number): number => digitAt(text, at) * 10 + digitAt(text, at + 1)

function digitAt(text: string, at: number): number {
  const digit = text.charCodeAt(at) - 0x30
  return digit >= 0 && digit <= 9 ? digit : Number.NaN
}

function parseAny(text: string): Instant | null {
  const match = RFC3339.exec(text)
  if (!match) return null
  const [year, month, day] = [Number(match[1]), Number(match[2]), Number(match[3])] as const
  const [hour, minute, second] = [Number(match[4]), Number(match[5]), Number(match[6] ?? 0)] as const
  if (!isCivilDay(year, month, day) || hour > 23 || minute > 59 || second > 59) return null
  const fraction = (match[7] ?? '').padEnd(9, '0')
  const offsetMs = parseOffset(match[8])
  if (offsetMs === null) return null
  const time = ((hour * 60 + minute) * 60 + second) * 1000 + Number(fraction.slice(0, 3))
  return {
    epochMs: daysFromCivil(year, month, day) * DAY_MS + time - offsetMs,
    nanos: Number(fraction.slice(3)),
    offset: match[8] ?? null,
  }
}

/** Date and time of day without an offset. `digits` of a second: 0, 3, 6 or 9. */
export function formatCivil(epochMs: number, nanos: number, digits: 0 | 3 | 6 | 9): string {
  const days = Math.floor(epochMs / DAY_MS)
  return `${formatDay(days)}T${formatClock(epochMs - days * DAY_MS, nanos, digits)}`
}

/** UTC, `…Z`. */
export function formatInstant(epochMs: number, nanos = 0, digits: 0 | 3 | 6 | 9 = 3): string {
  return `${formatCivil(epochMs, nanos, digits)}Z`
}

/** `HH:mm:ss` and a fraction of `digits` digits, of milliseconds and nanoseconds since midnight. */
export function formatClock(msOfDay: number, nanos: number, digits: 0 | 3 | 6 | 9): string {
  const seconds = Math.floor(msOfDay / 1000)
  const clock = `${two(Math.floor(seconds / 3600))}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`
  if (digits === 0) return clock
  const ms = three(msOfDay - seconds * 1000)
  if (digits === 3) return `${clock}.${ms}`
  return `${clock}.${ms}${String(nanos)
    .padStart(6, '0')
    .slice(0, digits - 3)}`
}

/** `+HH:MM`, `Z` or nothing, in ms east of UTC. */
function parseOffset(text: string | undefined): number | null {
  if (text === undefined || text === 'Z' || text === 'z') return 0
  const digits = text.slice(1).replace(':', '').padEnd(4, '0')
  const [hours, minutes] = [Number(digits.slice(0, 2)), Number(digits.slice(2))] as const
  if (hours > 23 || minutes > 59) return null
  return (hours * 60 + minutes) * 60_000 * (text[0] === '-' ? -1 : 1)
}

function daysInMonth(year: number, month: number): number {
  if (month === 2) return (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0 ? 29 : 28
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31
}

function formatYear(year: number): string {
  if (year >= 0 && year <= 9999) return String(year).padStart(4, '0')
  return `${year < 0 ? '-' : '+'}${String(Math.abs(year)).padStart(6, '0')}`
}

const two = (n: number): string => (n < 10 ? `0${n}` : String(n))
const three = (n: number): string => (n < 10 ? `00${n}` : n < 100 ? `0${n}` : String(n))
