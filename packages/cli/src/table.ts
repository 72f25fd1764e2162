/** Rows as lines, columns padded to their widest cell, two spaces apart. */
export function renderColumns(rows: readonly (readonly string[])[]): string {
  const widths = new Map<number, number>()
  for (const row of rows) {
    for (const [index, cell] of row.entries()) widths.set(index, Math.max(widths.get(index) ?? 0, cell.length))
  }
  return rows
    .map((row) =>
      row
        .map((cell, index) => cell.padEnd(widths.get(index) ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}
