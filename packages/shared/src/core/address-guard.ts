import ipaddr from 'ipaddr.js'
import { MeshError } from './errors.ts'

/** Why an address may not be reached, or null when it may. Takes IPv4 and IPv6 text, an IPv6 zone or brackets included. */
export type AddressGuard = (address: string) => string | null

/**
 * Lets through what is globally reachable (ipaddr.js's range `unicast`) and the given CIDRs, nothing else: private, loopback,
 * link-local (with it the clouds' metadata addresses), unique-local, multicast, carrier-grade NAT, and IPv6 forms that carry an
 * IPv4 address inside (6to4, Teredo, NAT64) are refused. IPv4-mapped IPv6 is judged as the IPv4 address it is.
 * @throws MeshError MESH_CONFIG_INVALID for a text that is no CIDR.
 */
export function compileAddressGuard(allowedCidrs: readonly string[]): AddressGuard {
  const allowed = allowedCidrs.map(parseCidr)
  return function refusal(address) {
    const bare = address.replace(/^\[|\]$/g, '').replace(/%.*$/, '')
    if (!ipaddr.isValid(bare)) return 'is no IP address'
    const ip = ipaddr.process(bare)
    if (allowed.some(([network, bits]) => network.kind() === ip.kind() && ip.match(network, bits))) return null
    const range = ip.range()
    return range === 'unicast' ? null : `is ${RANGE_WORDS[range] ?? range}`
  }
}

const RANGE_WORDS: Readonly<Record<string, string>> = {
  private: 'private',
  loopback: 'this machine',
  linkLocal: 'link-local',
  uniqueLocal: 'unique-local',
  carrierGradeNat: 'inside a carrier network',
}

function parseCidr(text: string): [ipaddr.IPv4 | ipaddr.IPv6, number] {
  try {
    return ipaddr.parseCIDR(text)
  } catch {
    throw new MeshError('MESH_CONFIG_INVALID', `${text} is no CIDR such as 10.0.0.0/8 or fd00::/8`)
  }
}
