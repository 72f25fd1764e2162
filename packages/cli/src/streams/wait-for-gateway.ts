import { waitFor } from '../wait-for.ts'

/** Waits until the gateway serves the named streams: it follows `mesh.versions`, a moment behind an apply. */
export async function waitForGateway(
  gatewayUrl: string,
  streams: readonly string[],
  timeoutMs = 20_000,
): Promise<void> {
  const missing = new Set(streams)
  await waitFor(
    async () => {
      for (const stream of missing) if (await isKnown(gatewayUrl, stream)) missing.delete(stream)
      return missing.size === 0 ? true : null
    },
    { what: 'the gateway to serve the applied streams', timeoutMs, progress: () => [...missing].join(', ') },
  )
}

/** An empty post is refused, but only a stream that is not known is refused as unknown. */
async function isKnown(gatewayUrl: string, stream: string): Promise<boolean> {
  const response = await fetch(`${gatewayUrl}/v1/streams/${encodeURIComponent(stream)}/events`, { method: 'POST' })
  const { code } = (await response.json()) as { code?: string }
  return code !== 'MESH_STREAM_UNKNOWN' && code !== 'MESH_GATEWAY_STARTING'
}
