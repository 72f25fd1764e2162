/** The part of a `/readyz` answer that says what does not go on. */
export type Readyz = {
  /** Task → why it cannot start. */
  readonly failing?: Readonly<Record<string, string>>
  /** `<stream>/v<N>/<partition>` → why it stands still. */
  readonly stalled?: Readonly<Record<string, { readonly kind: string } & Readonly<Record<string, unknown>>>>
}

/** One line for each thing that does not go on. */
export function describeStanding({ failing = {}, stalled = {} }: Readyz): string[] {
  return [
    ...Object.entries(failing).map(([task, reason]) => `${task} cannot start: ${reason}`),
    ...Object.entries(stalled).map(([place, { kind, ...detail }]) => {
      const facts = Object.entries(detail).map(([name, value]) => `${name} ${String(value)}`)
      return `${place} stands still (${[kind, ...facts].join(', ')})`
    }),
  ]
}
