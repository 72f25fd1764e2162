import { expect, test } from 'vitest'
import { runSeeds, SEEDS } from '../../schedule/exact.ts'

test(`${SEEDS} schedules of kills, stops, zombies, lost, late and slow requests and rebalances end exact, at-least-once`, {
  timeout: 1_800_000,
}, async () => {
  await expect(
    runSeeds('at-least-once', 'services/enricher/test/unit/schedules/at-least-once.test.ts'),
  ).resolves.toBeUndefined()
})
