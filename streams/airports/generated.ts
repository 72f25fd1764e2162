// Written by `mesh streams generate` from stream.yaml, refined.avsc and raw.schema.json: change those and run it again.

// raw.schema.json: the event as it is received.
/**
 * An airport as it is posted. The source writes NA where it knows no city or state
 */
export interface RawAirport {
  iata: string
  name: string
  city?: string | null
  state?: string | null
  country?: string | null
  /**
   * CSV exports carry numbers as text
   */
  latitude: number | string
  longitude: number | string
}

// refined.avsc: as it is read; as refine.ts may return it (…Input).
export type Airport = {
  readonly iata: string
  readonly name: string
  readonly city: string | null
  readonly state: string | null
  readonly country: string | null
  readonly latitude: number
  readonly longitude: number
}

export type AirportInput = {
  readonly iata: string
  readonly name: string
  readonly city?: string | null
  readonly state?: string | null
  readonly country?: string | null
  readonly latitude: number
  readonly longitude: number
}

/** The joined rows of stream.yaml, by name. */
export type Joins = Readonly<Record<never, never>>
