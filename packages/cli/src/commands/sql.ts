import { MeshError } from '@mesh/shared/core/errors'
import { cellText, queryWithGold } from '@mesh/shared/warehouse/duckdb-reader'
import type { Command } from '../command.ts'
import { withMesh } from '../running-mesh.ts'
import { renderColumns } from '../table.ts'

export const sql: Command = {
  name: 'sql',
  summary: 'query the local warehouse: landing tables and views, and gold.<table>',
  usage: '"<query>"',
  options: {},
  async run(context) {
    const [query, ...rest] = context.positionals
    if (!query || rest.length > 0) throw new MeshError('MESH_CLI_USAGE', 'sql takes one query, in quotes')
    return withMesh(context, async (mesh) => {
      const { columns, rows } = await queryWithGold({ landing: mesh.warehouseFile, gold: mesh.goldFile }, query)
      if (context.json) context.print(JSON.stringify(rows, null, 2))
      else {
        context.print(renderColumns([columns, ...rows.map((row) => columns.map((column) => cellText(row[column])))]))
        context.note(`${rows.length} ${rows.length === 1 ? 'row' : 'rows'}`)
      }
      return 0
    })
  },
}
