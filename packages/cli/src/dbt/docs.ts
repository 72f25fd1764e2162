import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { CommandContext } from '../command.ts'
import { dbtFiles, invokeDbt, targetFolder } from './invoke-dbt.ts'

const FOLDER = 'dbt-docs'

/** One HTML file: models, columns, tests, lineage, boards, and what lies in the warehouse, where there is one. dbt's words go to stderr. */
export async function dbtDocs(context: CommandContext): Promise<number> {
  const files = dbtFiles(context)
  const present = existsSync(files.landing) && existsSync(files.gold)
  if (!present) context.note('there is no gold yet: the project is described without what lies in the warehouse')
  const generate = ['docs', 'generate', '--static']
  // Without compiling, which asks the warehouse, nothing else writes the manifest that the page is made of.
  const steps = present ? [generate] : [['parse'], [...generate, '--no-compile', '--empty-catalog']]
  for (const args of steps) {
    const code = await invokeDbt(context, args, { files, folder: FOLDER, stdout: 2 })
    if (code !== 0) return code
  }
  const file = join(targetFolder(context, FOLDER), 'static_index.html')
  context.print(context.json ? JSON.stringify({ file, warehouse: present }) : file)
  return 0
}
