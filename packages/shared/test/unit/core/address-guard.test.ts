import { expect, test } from 'vitest'
import { compileAddressGuard } from '../../../src/core/address-guard.ts'

test.each([
  '127.0.0.1',
  '10.1.2.3',
  '172.16.0.1',
  '192.168.1.1',
  '169.254.169.254',
  '100.64.0.1',
  '0.0.0.0',
  '255.255.255.255',
  '224.0.0.1',
  '::1',
  '::',
  '[::1]',
  'fe80::1%eth0',
  'fd00:ec2::254',
  '::ffff:10.0.0.1',
  '::ffff:a9fe:a9fe',
  '2002:7f00:1::',
  '64:ff9b::7f00:1',
  'ff02::1',
  'localhost',
  '',
])('%s is refused', (address) => {
  expect(compileAddressGuard([])(address)).not.toBeNull()
})

test.each(['93.184.216.34', '1.1.1.1', '2606:4700::1111', '::ffff:1.1.1.1'])('%s is public', (address) => {
  expect(compileAddressGuard([])(address)).toBeNull()
})

test('a CIDR opens its own network, in both spellings of IPv4, and no other', () => {
  const refusal = compileAddressGuard(['127.0.0.0/8', 'fd00::/8'])
  expect(refusal('127.4.5.6')).toBeNull()
  expect(refusal('::ffff:127.0.0.1')).toBeNull()
  expect(refusal('fd12::1')).toBeNull()
  expect(refusal('::1')).toContain('this machine')
  expect(refusal('10.0.0.1')).toContain('private')
})

test('a text that is no CIDR is refused by name', () => {
  expect(() => compileAddressGuard(['10.0.0.0'])).toThrow(/10\.0\.0\.0 is no CIDR/)
})
