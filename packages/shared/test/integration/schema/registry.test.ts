import { inject } from 'vitest'
import { describeSchemaRegistry } from '../../../src/testing/registry-contract.ts'

describeSchemaRegistry('Apicurio', () => inject('registryUrl'))
