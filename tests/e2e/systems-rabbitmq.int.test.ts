import { systemOnServers } from './on-servers.ts'

await systemOnServers('PostgreSQL and RabbitMQ')
