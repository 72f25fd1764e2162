import { describeError, isMeshError } from '@mesh/shared/core/errors'
import { withLocalSecrets } from './secrets.ts'
import { type StackOptions, startStack } from './stack.ts'

/**
 * A stack without a terminal: `mesh up` starts this file detached with the options as JSON in the first argument, its
 * output in the stack's log, and listens on the IPC channel until the stack is ready or could not be started.
 */
export type DaemonReport =
  | { readonly kind: 'progress'; readonly name: string; readonly text: string }
  | { readonly kind: 'ready' }
  | { readonly kind: 'failed'; readonly code: string; readonly message: string; readonly place: string | undefined }

process.exitCode = await runDaemon(JSON.parse(process.argv[2] ?? '{}') as StackOptions)

async function runDaemon(options: StackOptions): Promise<number> {
  const abort = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => abort.abort())
  process.channel?.unref()
  try {
    const stack = await startStack({
      ...options,
      env: withLocalSecrets(options.stateDir, process.env),
      signal: abort.signal,
      onProgress: (progress) => {
        log(`${progress.name} ${progress.text}`)
        report({ kind: 'progress', ...progress })
      },
    })
    report({ kind: 'ready' })
    if (abort.signal.aborted) await stack.stop()
    abort.signal.addEventListener('abort', () => void stack.stop())
    const failure = await stack.done
    if (failure) log(describeError(failure))
    return failure ? 1 : 0
  } catch (error) {
    log(describeError(error))
    const known = isMeshError(error)
    const code = known ? error.code : 'MESH_INTERNAL'
    const message = known ? error.message : describeError(error)
    report({ kind: 'failed', code, message, place: known ? error.place : undefined })
    return 1
  }
}

/** The one who started this may have gone. */
function report(message: DaemonReport): void {
  if (process.connected) process.send?.(message, () => undefined)
}

function log(text: string): void {
  process.stdout.write(`${new Date().toISOString()} ${text}\n`)
}
