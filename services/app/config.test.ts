import { describe, expect, test } from 'vitest'
import { forFirstLook, readConfig, serverUrl } from './config.ts'

describe('a variable that cannot be used is refused with its name and what it must be', () => {
  const host = 'must be a host name or an IP address alone; the port and the user have variables of their own'
  const brokers = 'must be host:port with a port from 1 to 65535, several parted by commas'
  const networks = 'must be addresses or networks such as 10.0.0.0/8, several parted by commas'
  const admin = 'must be an e-mail address, a colon and a password of 12 to 200 characters'
  test.each([
    ['REDIS_HOST', 'redis:6379', host],
    ['REDIS_HOST', 'redis://redis', host],
    ['REDIS_HOST', 'me@redis', host],
    ['RABBITMQ_HOST', 'rabbit/x', host],
    ['RABBITMQ_HOST', 'a b', host],
    ['RABBITMQ_HOST', '[::1]', host],
    ['REDIS_PORT', '0', 'must be a port number from 1 to 65535'],
    ['RABBITMQ_PORT', '65536', 'must be a port number from 1 to 65535'],
    ['ORDER_PORT', '-1', 'must be a port number from 0 to 65535'],
    ['ORDER_PORT', '80.5', 'must be a port number from 0 to 65535'],
    ['KAFKA_BOOTSTRAP_SERVERS', 'kafka', brokers],
    ['KAFKA_BOOTSTRAP_SERVERS', 'kafka:99999', brokers],
    ['KAFKA_BOOTSTRAP_SERVERS', 'kafka:0', brokers],
    ['KAFKA_BOOTSTRAP_SERVERS', '::1:9092', brokers],
    ['KAFKA_BOOTSTRAP_SERVERS', 'kafka:9092,', brokers],
    ['KAFKA_BOOTSTRAP_SERVERS', 'kafka:9092, other:9092', brokers],
    ['DATABASE_URL', 'mysql://db/x', 'must be a postgresql:// URL'],
    ['SERVICE_TOKEN', 'short', 'must have at least 32 characters, such as `openssl rand -hex 32` gives'],
    ['ALLOWED_HOSTS', 'shop.example, shop.example:3101', 'must be host names without ports, several parted by commas'],
    [
      'ALLOWED_ORIGINS',
      'shop.example',
      'must be origins such as https://shop.example, without a path, several parted by commas',
    ],
    ['ALLOWED_ORIGINS', '*', 'must be origins such as https://shop.example, without a path, several parted by commas'],
    ['STREAMS_PER_CLIENT', '0', 'must be a whole number from 1 to 100000'],
    ['AUTH_KEY_SECRET', 'short', 'must have at least 32 characters, such as `openssl rand -hex 32` gives'],
    ['AUTH_ADMIN', 'ada@example.com', admin],
    ['AUTH_TRUSTED_PROXIES', 'gateway', networks],
    ['AUTH_TRUSTED_PROXIES', '10.0.0.0/33', networks],
    ['AUTH_TRUSTED_PROXIES', '10.0.0.0/8,', networks],
    ['AUTH_ADMIN', 'ada@example.com:short', admin],
    ['AUTH_ADMIN', ':a long pass phrase', admin],
    ['SAGA_RETENTION_DAYS', '29', 'must be a number of days from 30 to 3650'],
  ])('%s=%s', (name, value, why) => {
    expect(() => readConfig({ [name]: value })).toThrow(`${name}: ${why}`)
  })
})

test.each([
  ['KAFKA_BOOTSTRAP_SERVERS', 'kafka:9092'],
  ['KAFKA_BOOTSTRAP_SERVERS', 'b-1.kafka.example:9094,10.0.0.7:9094'],
  ['REDIS_HOST', 'redis'],
  ['REDIS_HOST', 'my_redis.internal.'],
  ['RABBITMQ_HOST', '::1'],
  ['RABBITMQ_HOST', '10.0.0.7'],
] as const)('%s=%s is taken as it is', (name, value) => {
  expect(readConfig({ [name]: value })[name]).toBe(value)
})

test('hosts and origins are lists, and empty where nothing is said', () => {
  const said = readConfig({ ALLOWED_HOSTS: 'Shop.example, sagas', ALLOWED_ORIGINS: 'https://shop.example:8443' })
  expect([said.ALLOWED_HOSTS, said.ALLOWED_ORIGINS]).toEqual([['shop.example', 'sagas'], ['https://shop.example:8443']])
  const silent = readConfig({})
  expect([silent.ALLOWED_HOSTS, silent.ALLOWED_ORIGINS]).toEqual([[], []])
})

test('what is empty counts as not set', () => {
  expect(readConfig({ REDIS_HOST: '', REDIS_PORT: '' })).toMatchObject({ REDIS_PORT: 6379 })
})

test('a first look has its users where they are in a file and on this machine alone, unless told otherwise', () => {
  const variable = 'AUTH_FIRST_LOOK'
  expect([forFirstLook({})[variable], forFirstLook({ HOST: '::1' })[variable]]).toEqual(['true', 'true'])
  expect(forFirstLook({ [variable]: 'false' })[variable]).toBe('false')
  for (const elsewhere of [
    { DATABASE_URL: 'postgresql://db' },
    { HOST: '0.0.0.0', TRUSTED_NETWORK: 'true' },
  ] as readonly Record<string, string>[])
    expect(forFirstLook(elsewhere)).not.toHaveProperty(variable)
})

test.each([
  ['redis', 'redis://redis:6379'],
  ['my_redis', 'redis://my_redis:6379'],
  ['10.0.0.7', 'redis://10.0.0.7:6379'],
  ['fe80::1', 'redis://[fe80::1]:6379'],
])("the URL of the server %s names that server, and its user's signs harm nothing", (host, url) => {
  expect(serverUrl('redis', host, 6379, {}).href).toBe(url)
  const { username, password, hostname } = serverUrl('redis', host, 6379, { user: 'a:b', password: 'p@/#%' })
  expect([decodeURIComponent(username), decodeURIComponent(password)]).toEqual(['a:b', 'p@/#%'])
  expect(hostname.replaceAll(/[[\]]/g, '')).toBe(host)
})
