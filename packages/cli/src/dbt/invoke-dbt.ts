import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { isMeshError } from '@mesh/shared/core/errors'
import type { CommandContext } from '../command.ts'
import { runningMesh } from '../running-mesh.ts'
import { installDbt } from '../stack/dbt.ts'
import { type WarehouseFiles, warehouseFiles } from '../stack/environment.ts'
import { stateLayout } from '../stack/state.ts'

export type DbtInvocation = {
  readonly files: WarehouseFiles
  /** Where dbt writes, by its name below the state folder's `services`. */
  readonly folder: string
  /** What dbt prints goes here: 2 where stdout is the command's own. */
  readonly stdout: 1 | 2
}

export const projectFolder = (context: CommandContext): string =>
  join(context.projectDir(), context.text('dbt') ?? join('transforms', 'dbt'))

export const targetFolder = (context: CommandContext, folder: string): string =>
  join(stateLayout(context.stateDir()).services, folder)

/** The Python that has dbt. @throws MeshError MESH_PYTHON_MISSING, MESH_STACK_DOWNLOAD */
export function dbtPython(context: CommandContext): Promise<string> {
  return installDbt({
    folder: join(context.codeDir, 'transforms', 'dbt'),
    cache: stateLayout(context.stateDir()).cache,
    env: context.env,
    signal: context.signal,
    onProgress: (text) => context.note(`dbt ${text}`),
  })
}

/** The files of the mesh that runs, else those that the last one has left; they need not be there. */
export function dbtFiles(context: CommandContext): WarehouseFiles {
  try {
    const { warehouseFile, goldFile } = runningMesh(context)
    return { landing: warehouseFile, gold: goldFile }
  } catch (error) {
    if (!isMeshError(error) || error.code !== 'MESH_STACK_NOT_RUNNING') throw error
    return warehouseFiles(stateLayout(context.stateDir()))
  }
}

/**
 * dbt itself over the project, without a run's input: every row of landing counts as new, read through the views over the live
 * versions. @returns its exit code
 */
export async function invokeDbt(
  context: CommandContext,
  args: readonly string[],
  { files, folder, stdout }: DbtInvocation,
): Promise<number> {
  const python = await dbtPython(context)
  const project = projectFolder(context)
  const target = targetFolder(context, folder)
  const own = ['--project-dir', project, '--profiles-dir', project, '--target-path', target, '--log-path', target]
  const child = spawn(python, ['-m', 'dbt.cli.main', ...args, ...own], {
    cwd: project,
    stdio: ['inherit', stdout, 'inherit'],
    env: {
      ...context.env,
      MESH_LANDING_FILE: files.landing,
      MESH_GOLD_FILE: files.gold,
      MESH_DBT_PLUGINS: join(context.codeDir, 'transforms', 'dbt', 'plugins'),
    },
  })
  const [code] = (await once(child, 'close')) as [number | null]
  return code ?? 1
}
