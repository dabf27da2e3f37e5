import { systemContract } from './system.contract.ts'

systemContract('SQLite and HTTP')
