/** A flight as it is posted. `date` is `yyyy/MM/dd HH:mm` on the clock at the origin. */
export type RawFlight = {
  readonly id: string
  readonly date: string
  readonly delay: number
  readonly distance: number
  readonly origin: string
  readonly destination: string
}

/** refined.avsc */
export type Flight = {
  readonly id: string
  readonly flightDate: string
  readonly departure: string
  readonly delay: number
  readonly distance: number
  readonly origin: string
  readonly destination: string
  readonly originCity: string | null
  readonly originState: string | null
  readonly destinationCity: string | null
  readonly destinationState: string | null
}
