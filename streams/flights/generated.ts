// Written by `mesh streams generate` from stream.yaml, refined.avsc and raw.schema.json: change those and run it again.

import type { Airport } from '../airports/generated.ts'

// raw.schema.json: the event as it is received.
/**
 * A flight as it is posted
 */
export interface RawFlight {
  id: string
  /**
   * yyyy/MM/dd HH:mm on the clock at the origin
   */
  date: string
  /**
   * Minutes; negative = early
   */
  delay: number
  /**
   * Miles; 0 = a ferry flight
   */
  distance: number
  /**
   * IATA code
   */
  origin: string
  /**
   * IATA code
   */
  destination: string
}

// refined.avsc: as it is read; as refine.ts may return it (…Input).
export type Flight = {
  readonly id: string
  /** YYYY-MM-DD */
  readonly flightDate: string
  /** On the clock at the origin; the event time is the instant · ISO 8601 without offset, millis */
  readonly departure: string
  /** Minutes; negative = early */
  readonly delay: number
  /** Miles */
  readonly distance: number
  readonly origin: string
  readonly destination: string
  readonly originCity: string | null
  readonly originState: string | null
  readonly destinationCity: string | null
  readonly destinationState: string | null
}

export type FlightInput = {
  readonly id: string
  /** YYYY-MM-DD */
  readonly flightDate: string
  /** On the clock at the origin; the event time is the instant · ISO 8601 without offset, millis */
  readonly departure: string
  /** Minutes; negative = early */
  readonly delay: number
  /** Miles */
  readonly distance: number
  readonly origin: string
  readonly destination: string
  readonly originCity?: string | null
  readonly originState?: string | null
  readonly destinationCity?: string | null
  readonly destinationState?: string | null
}

/** The joined rows of stream.yaml, by name. */
export type Joins = {
  readonly origin: Airport | null
  readonly destination: Airport | null
}
