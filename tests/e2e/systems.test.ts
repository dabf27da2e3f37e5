import { systemContract } from './system.contract.ts'

systemContract('embedded')
systemContract('SQLite and HTTP')
