import { daysFromCivil, formatCivil, isCivilDay } from './instant.ts'

/** Local date-times in a format like `yyyy/MM/dd HH:mm`, in an IANA zone. */
export type LocalFormat = { readonly pattern: RegExp; readonly fields: readonly string[] }

const TOKEN = /'([^']*)'|(yyyy|MM|dd|HH|mm|ss|S{1,9})|([A-Za-z]+)|([^A-Za-z']+)/gy
const QUARTER_HOUR_MS = 900_000
const MAX_CACHED_OFFSETS = 20_000

const zones = new Map<string, { readonly format: Intl.DateTimeFormat; readonly offsets: Map<number, number> }>()
const formats = new Map<string, LocalFormat | null>()

/**
 * Compiles `yyyy MM dd HH mm ss S…`; other letters must stand in single quotes. Null when the format is not understood or lacks
 * year, month or day.
 */
export function compileFormat(format: string): LocalFormat | null {
  const known = formats.get(format)
  if (known !== undefined) return known
  const compiled = buildFormat(format)
  formats.set(format, compiled)
  return compiled
}

export function isTimeZone(zone: string): boolean {
  try {
    return zoneOf(zone) !== undefined
  } catch {
    return false
  }
}

/**
 * Reads a local time and gives ISO 8601 with the zone's offset at that moment. As in java.time, a time that occurs twice (clocks
 * set back) is the first one, and one that never occurs (clocks set forward) moves on by the length of the gap. Null when unreadable.
 */
export function parseLocalTime(text: string, format: LocalFormat, zone: string): string | null {
  const match = format.pattern.exec(text)
  if (!match) return null
  const part: Record<string, string> = {}
  format.fields.forEach((field, i) => {
    part[field] = match[i + 1]!
  })
  const [year, month, day] = [Number(part['yyyy']), Number(part['MM']), Number(part['dd'])] as const
  const [hour, minute, second] = [Number(part['HH'] ?? 0), Number(part['mm'] ?? 0), Number(part['ss'] ?? 0)] as const
  if (!isCivilDay(year, month, day) || hour > 23 || minute > 59 || second > 59) return null
  const fraction = (part['S'] ?? '').padEnd(9, '0')
  const local =
    daysFromCivil(year, month, day) * 86_400_000 +
    ((hour * 60 + minute) * 60 + second) * 1000 +
    Number(fraction.slice(0, 3))
  const offset = offsetOfLocal(local, zone)
  // In a gap the instant keeps the offset before it, and the clock shows the offset after it.
  const shown = zoneOffsetMs(zone, local - offset)
  const nanos = Number(fraction.slice(3))
  const digits = nanos > 0 ? 6 : Number(fraction.slice(0, 3)) > 0 ? 3 : 0
  return formatCivil(local - offset + shown, nanos, digits) + formatOffset(shown)
}

/** The zone's offset east of UTC in ms at an instant. */
export function zoneOffsetMs(zone: string, epochMs: number): number {
  const { format, offsets } = zoneOf(zone)
  // Since 1970 every zone changes its offset on a quarter of an hour (UTC).
  const bucket = epochMs >= 0 ? Math.floor(epochMs / QUARTER_HOUR_MS) : null
  const cached = bucket === null ? undefined : offsets.get(bucket)
  if (cached !== undefined) return cached
  const part: Record<string, number> = {}
  for (const { type, value } of format.formatToParts(epochMs)) part[type] = Number(value)
  const local =
    daysFromCivil(part['year']!, part['month']!, part['day']!) * 86_400_000 +
    ((part['hour']! * 60 + part['minute']!) * 60 + part['second']!) * 1000
  const offset = local - Math.floor(epochMs / 1000) * 1000
  if (bucket !== null) {
    if (offsets.size >= MAX_CACHED_OFFSETS) offsets.clear()
    offsets.set(bucket, offset)
  }
  return offset
}

function offsetOfLocal(local: number, zone: string): number {
  const before = zoneOffsetMs(zone, local - 86_400_000)
  const after = zoneOffsetMs(zone, local + 86_400_000)
  if (before === after) {
    // Two changes within two days are unknown since 1970; one more look keeps this exact even then.
    return zoneOffsetMs(zone, local - before)
  }
  if (zoneOffsetMs(zone, local - before) === before) return before
  return zoneOffsetMs(zone, local - after) === after ? after : before
}

function zoneOf(zone: string): { readonly format: Intl.DateTimeFormat; readonly offsets: Map<number, number> } {
  let known = zones.get(zone)
  if (!known) {
    const format = new Intl.DateTimeFormat('en-US', {
      timeZone: zone,
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    })
    known = { format, offsets: new Map() }
    zones.set(zone, known)
  }
  return known
}

function buildFormat(format: string): LocalFormat | null {
  let source = ''
  const fields: string[] = []
  let end = 0
  for (const match of format.matchAll(TOKEN)) {
    end = match.index + match[0].length
    const [, quoted, token, letters, literal] = match
    if (letters !== undefined) return null
    if (token === undefined) {
      source += (quoted ?? literal ?? '').replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&')
    } else {
      source += `(\\d{${token.length}})`
      fields.push(token.startsWith('S') ? 'S' : token)
    }
  }
  const complete = ['yyyy', 'MM', 'dd'].every((field) => fields.includes(field))
  if (end !== format.length || !complete || new Set(fields).size !== fields.length) return null
  return { pattern: new RegExp(`^${source}$`), fields }
}

function formatOffset(ms: number): string {
  const minutes = Math.round(Math.abs(ms) / 60_000)
  const pad = (n: number): string => String(n).padStart(2, '0')
  return `${ms < 0 ? '-' : '+'}${pad(Math.floor(minutes / 60))}:${pad(minutes % 60)}`
}
