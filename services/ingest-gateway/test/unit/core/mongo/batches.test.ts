import { expect, test } from 'vitest'
import { createBatches } from '../../../../src/core/mongo/batches.ts'

type Item = { readonly n: number }
type Answer = Item | null | Error

/** A feed whose answers the test gives, one after the other. */
function feed(): { next: () => Promise<Item | null>; give: (...answers: Answer[]) => void; asked: () => number } {
  const waiting: ((answer: Answer) => void)[] = []
  const given: Answer[] = []
  let asked = 0
  return {
    asked: () => asked,
    next() {
      asked++
      return new Promise((resolve, reject) => {
        const settle = (answer: Answer): void => (answer instanceof Error ? reject(answer) : resolve(answer))
        const ready = given.shift()
        if (ready === undefined) waiting.push(settle)
        else settle(ready)
      })
    },
    give(...answers) {
      for (const answer of answers) {
        const settle = waiting.shift()
        if (settle) settle(answer)
        else given.push(answer)
      }
    },
  }
}

const item = (n: number): Item => ({ n })
const never = (): Promise<void> => new Promise(() => undefined)
const LIMITS = { count: 3, bytes: 100, sizeOf: ({ n }: Item) => n, linger: never }

test('a batch ends with its count, with its bytes, or with the feed', async () => {
  const { next, give } = feed()
  const take = createBatches(next, LIMITS)
  give(item(1), item(2), item(3), item(4), item(99), item(1), null, null)
  expect(await take()).toEqual([item(1), item(2), item(3)])
  expect(await take()).toEqual([item(4), item(99)])
  expect(await take()).toEqual([item(1)])
  expect(await take()).toEqual([])
})

test('what is asked for when a batch closes belongs to the next one', async () => {
  const { next, give, asked } = feed()
  const closing = Promise.withResolvers<void>()
  const take = createBatches(next, { ...LIMITS, linger: () => closing.promise })
  give(item(1))
  const first = take()
  closing.resolve()
  expect(await first).toEqual([item(1)])
  const second = take()
  give(item(2), null)
  expect(await second).toEqual([item(2)])
  expect(asked()).toBe(3)
})

test('a feed that fails says so behind what came before', async () => {
  const { next, give } = feed()
  const take = createBatches(next, LIMITS)
  give(item(1), new Error('gone'))
  expect(await take()).toEqual([item(1)])
  await expect(take()).rejects.toThrow('gone')
})
