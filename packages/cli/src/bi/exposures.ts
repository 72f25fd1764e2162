import { join } from 'node:path'
import { Document } from 'yaml'
import { type Metrics, modelsOf } from './metrics.ts'

/** From the dbt project's folder. */
export const EXPOSURES_FILE: string = join('models', 'gold', 'exposures.yml')

const HEAD = ' Generated from metrics.yaml by `mesh bi generate`; a test compares it. Do not edit.'

/** The boards as dbt exposures. */
export function renderExposures(definitions: Metrics): string {
  const document = new Document({
    version: 2,
    exposures: definitions.boards.map((board) => ({
      name: board.name,
      type: board.type,
      maturity: board.maturity,
      description: board.description,
      owner: board.owner,
      config: { meta: { metrics: board.metrics } },
      depends_on: modelsOf(board, definitions).map((model) => `ref('${model}')`),
    })),
  })
  document.commentBefore = HEAD
  return document.toString({ lineWidth: 0 })
}
