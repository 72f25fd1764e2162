/** An airport as it is posted. The source writes NA where it knows no city or state. */
export type RawAirport = {
  readonly iata: string
  readonly name: string
  readonly city?: string | null
  readonly state?: string | null
  readonly country?: string | null
  readonly latitude: number | string
  readonly longitude: number | string
}

/** refined.avsc */
export type Airport = {
  readonly iata: string
  readonly name: string
  readonly city: string | null
  readonly state: string | null
  readonly country: string | null
  readonly latitude: number
  readonly longitude: number
}
