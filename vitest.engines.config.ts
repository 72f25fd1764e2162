import { defineConfig, type ViteUserConfig } from 'vitest/config'

/** `npm run engines`: the real engines, one after another; each installs itself first. */
const config: ViteUserConfig = defineConfig({
  test: {
    include: ['tests/engines/*.test.ts'],
    fileParallelism: false,
    maxWorkers: 1,
    testTimeout: 900_000,
    hookTimeout: 900_000,
    reporters: ['verbose'],
  },
})

export default config
