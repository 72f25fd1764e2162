import {
  type Admin,
  ConfigResourceTypes,
  IncrementalAlterConfigOperationTypes,
  type IncrementalAlterConfigsOptions,
} from '@platformatic/kafka'

/** Where a setting comes from: the topic itself. Everything else is a default. Source: KIP-226. */
const SET_ON_TOPIC = 1

type ConfigsAdmin = Pick<Admin, 'describeConfigs' | 'incrementalAlterConfigs'>

/** `KafkaAdmin.topicConfig` */
export async function readTopicConfig(admin: ConfigsAdmin, topic: string): Promise<Record<string, string>> {
  const [described] = await admin.describeConfigs({
    resources: [{ resourceType: ConfigResourceTypes.TOPIC, resourceName: topic }],
  })
  const own = described?.configs.filter(({ configSource }) => configSource === SET_ON_TOPIC) ?? []
  return Object.fromEntries(own.map(({ name, value }) => [name, value ?? '']))
}

/** `KafkaAdmin.alterTopicConfig`, by IncrementalAlterConfigs (KIP-339): what is not named stays. */
export async function alterTopicConfig(
  admin: ConfigsAdmin,
  topic: string,
  changes: Readonly<Record<string, string | null>>,
): Promise<void> {
  const { DELETE, SET } = IncrementalAlterConfigOperationTypes
  const configs = Object.entries(changes).map(([name, value]) =>
    value === null ? { name, configOperation: DELETE } : { name, configOperation: SET, value },
  )
  const resources: IncrementalAlterConfigsOptions['resources'] = [
    { resourceType: ConfigResourceTypes.TOPIC, resourceName: topic, configs },
  ]
  if (configs.length > 0) await admin.incrementalAlterConfigs({ resources })
}
