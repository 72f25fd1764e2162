import { defineConfig, type ViteUserConfig } from 'vitest/config'

const STACK = './tests/setup/stack.ts'

/** Long, and no part of `npm test`: `npm run faults`. */
const FAULTS = {
  test: {
    name: 'faults',
    include: ['tests/faults/**/*.test.ts'],
    sequence: { groupOrder: 4 },
    fileParallelism: false,
    testTimeout: 900_000,
    hookTimeout: 300_000,
  },
}

const config: ViteUserConfig = defineConfig({
  test: {
    // Two cores are enough: broker, registry and workers share them.
    maxWorkers: 2,
    projects: [
      {
        test: {
          name: 'unit',
          include: [
            'packages/*/test/unit/**/*.test.ts',
            'services/*/test/unit/**/*.test.ts',
            'streams/*/*.test.ts',
            'examples/*/streams/*/*.test.ts',
          ],
          sequence: { groupOrder: 0 },
          // Limits only end what hangs: a busy machine takes several times as long.
          testTimeout: 60_000,
          hookTimeout: 60_000,
          expect: { poll: { timeout: 50_000 } },
        },
      },
      {
        test: {
          name: 'integration',
          include: ['packages/*/test/integration/**/*.test.ts', 'services/*/test/integration/**/*.test.ts'],
          globalSetup: STACK,
          sequence: { groupOrder: 1 },
          testTimeout: 180_000,
          hookTimeout: 180_000,
          expect: { poll: { timeout: 120_000 } },
        },
      },
      {
        test: {
          name: 'e2e',
          include: ['tests/e2e/**/*.test.ts'],
          globalSetup: STACK,
          sequence: { groupOrder: 2 },
          fileParallelism: false,
          testTimeout: 900_000,
          hookTimeout: 600_000,
          expect: { poll: { timeout: 120_000 } },
        },
      },
      {
        // Each file starts a mesh of its own, with a database.
        test: {
          name: 'cdc',
          include: ['tests/cdc/**/*.test.ts'],
          sequence: { groupOrder: 3 },
          fileParallelism: false,
          testTimeout: 300_000,
          hookTimeout: 300_000,
          expect: { poll: { timeout: 120_000 } },
        },
      },
      ...(process.env['MESH_FAULTS'] === '1' ? [FAULTS] : []),
    ],
  },
})

export default config
