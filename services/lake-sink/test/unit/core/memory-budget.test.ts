import { describe, expect, it } from 'vitest'
import { createMemoryBudget } from '../../../src/core/memory-budget.ts'

describe('memory budget', () => {
  it('asks nobody to cut below three quarters', () => {
    const budget = createMemoryBudget(100)
    const [a, b] = [budget.share(), budget.share()]
    a.hold(40)
    b.hold(35)
    expect([a.mustCut(), b.mustCut()]).toEqual([false, false])
  })

  it('tells the largest from three quarters on, until it has cut', () => {
    const budget = createMemoryBudget(100)
    const [a, b] = [budget.share(), budget.share()]
    a.hold(50)
    b.hold(30)
    expect([a.mustCut(), b.mustCut()]).toEqual([true, false])
    a.hold(10)
    expect([a.mustCut(), b.mustCut()]).toEqual([false, false])
    expect(budget.held()).toBe(40)
  })

  it('tells the next largest when one cut is not enough', () => {
    const budget = createMemoryBudget(100)
    const shares = [40, 39, 1].map((bytes) => {
      const share = budget.share()
      share.hold(bytes)
      return share
    })
    shares[0]!.hold(38)
    expect(shares.map((share) => share.mustCut())).toEqual([false, true, false])
  })

  it('makes whoever adds above the limit cut its own', () => {
    const budget = createMemoryBudget(100)
    const [idle, adding, empty] = [budget.share(), budget.share(), budget.share()]
    idle.hold(90)
    adding.hold(11)
    expect(adding.mustCut()).toBe(true)
    expect(empty.mustCut()).toBe(false)
  })

  it('forgets a buffer that left', () => {
    const budget = createMemoryBudget(100)
    const share = budget.share()
    share.hold(90)
    share.leave()
    expect(budget.held()).toBe(0)
  })
})
