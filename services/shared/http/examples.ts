/** Ids as the examples of all API pages have them: those of one order. */
export const exampleIds = {
  saga: '01920a3c-5d1e-7000-8000-0000000000a1',
  order: '01920a3c-5d1e-7000-8000-0000000000b2',
  payment: '01920a3c-5d1e-7000-8000-0000000000c3',
  timer: '01920a3c-5d1e-7000-8000-0000000000d4',
  /** Of the Order Orchestration. */
  shopOrder: '01920a3c-5d1e-7000-8000-0000000000f6',
  shopPayment: '01920a3c-5d1e-7000-8000-0000000000f7',
  message: '01920a3c-5d1e-7000-8000-0000000000e5',
  customer: 'cust_123',
  runner: 'runner_456',
} as const
