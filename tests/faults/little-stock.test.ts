import { littleStockContract, ordersOr } from './little-stock.contract.ts'

littleStockContract('embedded', ordersOr(20_000))
