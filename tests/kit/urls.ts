/** Where the services listen, as the test kits of the services call them. */
import type { ServiceName } from '../../services/app/registry.ts'
import type { Embedded } from '../../services/shared/testing/embedded.ts'

/** @param url where a service listens */
export const urlsOf = (url: (service: ServiceName) => string): Embedded['urls'] => ({
  user: url('user'),
  order: url('order'),
  payment: url('payment'),
  timer: url('timer'),
  sagas: url('create-order'),
  deliveries: url('complete-order'),
})
