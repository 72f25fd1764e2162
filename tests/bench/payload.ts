import { writeFile } from 'node:fs/promises'
import { readFlights } from '../../packages/cli/src/demo/real-data.ts'

/** Real flights as JSON lines, each with an id of its own; the 20,000 rows repeat when more are asked for. */
export async function flightLines(projectRoot: string, count: number): Promise<string[]> {
  const flights = await readFlights(projectRoot)
  return Array.from({ length: count }, (_, i) =>
    JSON.stringify({ id: `bench-${String(i).padStart(8, '0')}`, ...flights[i % flights.length]! }),
  )
}

export async function writePayloadFile(path: string, lines: readonly string[]): Promise<void> {
  await writeFile(path, `${lines.join('\n')}\n`)
}

export function meanBytes(lines: readonly string[]): number {
  return lines.reduce((sum, line) => sum + Buffer.byteLength(line), 0) / lines.length
}
