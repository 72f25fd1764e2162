import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { basename, dirname, join, normalize, relative } from 'node:path'
import type { BuildFailure, Message, Plugin } from 'esbuild'
import { build } from 'esbuild'
import { MeshError } from '../core/errors.ts'

/** refine.ts with everything it imports, as one ES module. */
export type RefineModule = {
  readonly code: Uint8Array
  /** The folder's files that went in, relative to it with `/`. */
  readonly inputs: readonly string[]
}

const CLIENT = '@mesh/client/'
const NAMESPACE = 'mesh-client'

/**
 * Bundles refine.ts. The result depends only on the sources, not on where they lie: no tsconfig is read, paths are relative, and
 * `@mesh/client/*` is this installation's package wherever the folder is. Built-in modules do not resolve: refine is pure.
 * @throws MeshError MESH_CONTRACT_REFINE with file and line
 */
export async function bundleRefine(refineFile: string): Promise<RefineModule> {
  const dir = dirname(refineFile)
  const place = `${basename(dirname(dir))}/${basename(dir)}`
  const result = await build({
    entryPoints: [refineFile],
    absWorkingDir: dir,
    bundle: true,
    write: false,
    metafile: true,
    format: 'esm',
    platform: 'neutral',
    target: 'es2024',
    charset: 'utf8',
    legalComments: 'none',
    logLevel: 'silent',
    outfile: join(dir, 'refine.mjs'),
    mainFields: ['module', 'main'],
    conditions: ['import', 'default'],
    tsconfigRaw: { compilerOptions: { verbatimModuleSyntax: true } },
    plugins: [clientPlugin()],
  }).catch((error: unknown) => {
    throw refineError(place, error)
  })
  const output = Object.values(result.metafile.outputs)[0]
  if (!output?.exports.includes('refine')) {
    throw new MeshError('MESH_CONTRACT_REFINE', `${place}/refine.ts:1: it does not export \`refine\``, {
      place: `${place}/refine.ts:1`,
    })
  }
  const code = result.outputFiles[0]!.contents
  await checkRefine(code, `${place}/refine.ts`)
  const inputs = Object.keys(result.metafile.inputs).filter((input) => !input.startsWith(`${NAMESPACE}:`))
  return { code, inputs: inputs.filter((input) => !input.startsWith('..')).sort() }
}

/** Loads the module once, so that what cannot run is refused here and not in the enricher. */
async function checkRefine(code: Uint8Array, place: string): Promise<void> {
  const url = `data:text/javascript;base64,${Buffer.from(code).toString('base64')}`
  const loaded = (await import(/* @vite-ignore */ url).catch((error: unknown) => {
    throw new MeshError('MESH_CONTRACT_REFINE', `${place}: loading it failed`, { place, cause: error })
  })) as { refine?: unknown }
  if (typeof loaded.refine !== 'function') {
    throw new MeshError('MESH_CONTRACT_REFINE', `${place}: \`refine\` is not a function`, { place })
  }
}

function clientPlugin(): Plugin {
  const require = createRequire(import.meta.url)
  const root = dirname(require.resolve(`${CLIENT}refine`))
  return {
    name: NAMESPACE,
    setup(hooks) {
      hooks.onResolve({ filter: /^@mesh\/client\// }, ({ path }) => ({
        namespace: NAMESPACE,
        path: relative(root, require.resolve(path)).replaceAll('\\', '/'),
      }))
      hooks.onResolve({ filter: /^\./, namespace: NAMESPACE }, ({ path, importer }) => ({
        namespace: NAMESPACE,
        path: normalize(join(dirname(importer), path)).replaceAll('\\', '/'),
      }))
      hooks.onLoad({ filter: /.*/, namespace: NAMESPACE }, async ({ path }) => ({
        contents: await readFile(join(root, path), 'utf8'),
        loader: 'ts',
      }))
    },
  }
}

function refineError(place: string, error: unknown): unknown {
  const messages = isBuildFailure(error) ? error.errors : []
  if (messages.length === 0) return error
  const lines = messages.map((message) => `${locate(place, message)}: ${message.text}`)
  return new MeshError('MESH_CONTRACT_REFINE', lines.join('\n'), { place: locate(place, messages[0]!) })
}

const locate = (place: string, { location }: Message): string =>
  location ? `${place}/${location.file}:${location.line}` : `${place}/refine.ts`

function isBuildFailure(error: unknown): error is BuildFailure {
  return error instanceof Error && 'errors' in error && Array.isArray(error.errors)
}
