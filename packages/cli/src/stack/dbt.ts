import { join } from 'node:path'
import { readJobsFolder } from '@mesh/shared/schema/jobs-folder'
import { type EngineRequest, installPythonEngine } from './python-engine.ts'

/** Whether a job of the project asks for dbt; the rest of the mesh needs no Python. */
export async function usesDbt(projectDir: string): Promise<boolean> {
  return (await readJobsFolder(join(projectDir, 'jobs'), null)).some(({ job }) => job?.engine === 'dbt')
}

/** The Python that has dbt. @throws MeshError MESH_PYTHON_MISSING, MESH_STACK_DOWNLOAD */
export function installDbt(request: Omit<EngineRequest, 'name'>): Promise<string> {
  return installPythonEngine({ ...request, name: 'dbt' })
}
