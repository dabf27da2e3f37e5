import { systemOnServers } from './on-servers.ts'

await systemOnServers('Redis and RabbitMQ')
