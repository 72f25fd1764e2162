import { defineConfig, type ViteUserConfig } from 'vitest/config'

/** `npm run engines`: the real engines, one after another; each installs itself first. */
const config: ViteUserConfig = defineConfig({
  test: {
    include: ['tests/engines/*.test.ts'],
    fileParallelism: false,
    maxWorkers: 1,
    // Limits only end what hangs: a busy machine takes several times as long.
    testTimeout: 1_800_000,
    hookTimeout: 1_800_000,
    reporters: ['verbose'],
  },
})

export default config
