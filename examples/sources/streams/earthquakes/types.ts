/** A GeoJSON feature as the USGS writes it; times are epoch milliseconds. */
export type RawEarthquake = {
  readonly id: string
  readonly properties: {
    readonly mag?: number | null
    readonly magType?: string | null
    readonly place?: string | null
    readonly time: number
    readonly updated: number
    readonly status: string
    readonly tsunami: number
    readonly type: string
  }
  /** Longitude, latitude, depth in km. */
  readonly geometry: { readonly coordinates: readonly (number | null)[] } | null
}

/** refined.avsc */
export type Earthquake = {
  readonly id: string
  readonly magnitude: number | null
  readonly magnitudeType: string | null
  readonly place: string | null
  readonly occurredAt: string
  readonly updatedAt: string
  readonly latitude: number
  readonly longitude: number
  readonly depthKm: number | null
  readonly status: string
  readonly tsunami: boolean
  readonly kind: string
}
