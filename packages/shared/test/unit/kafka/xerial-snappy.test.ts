import { snappyCompress, snappyDecompress } from '@platformatic/wasm-utils'
import { expect, it } from 'vitest'
import { decodeXerial } from '../../../src/kafka/xerial-snappy.ts'

const HEADER = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0, 0, 0, 0, 1, 0, 0, 0, 1])

function xerial(...blocks: string[]): Buffer {
  const framed = blocks.map((text) => {
    const block = snappyCompress(Buffer.from(text))
    const length = Buffer.alloc(4)
    length.writeUInt32BE(block.byteLength)
    return Buffer.concat([length, block])
  })
  return Buffer.concat([HEADER, ...framed])
}
const decode = (bytes: Buffer): string => Buffer.from(decodeXerial(bytes, snappyDecompress)).toString()

it('joins the blocks of a xerial stream in order', () => {
  expect(decode(xerial('first ', 'second ', 'third'))).toBe('first second third')
})

it('decodes a stream without blocks as nothing', () => {
  expect(decode(xerial())).toBe('')
})

it('decodes plain snappy where the magic is absent', () => {
  expect(decode(Buffer.from(snappyCompress(Buffer.from('plain'))))).toBe('plain')
})

it('refuses a stream that is cut off in a length or in a block', () => {
  const whole = xerial('some text')
  expect(() => decode(whole.subarray(0, HEADER.length + 2))).toThrow('a block length is cut off')
  expect(() => decode(whole.subarray(0, whole.length - 1))).toThrow('a block is cut off')
})
