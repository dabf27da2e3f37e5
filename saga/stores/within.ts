/** Rejects where something takes longer than it may; what comes of it afterwards is passed to `late`, or dropped. */
export async function within<T>(
  ms: number,
  work: T | Promise<T>,
  error: () => Error,
  late?: (result: T) => void,
): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  let isLate = false
  const limit = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      isLate = true
      reject(error())
    }, ms)
  })
  const result = Promise.resolve(work)
  result.then(
    (value) => isLate && late?.(value),
    () => undefined,
  )
  try {
    return await Promise.race([result, limit])
  } finally {
    clearTimeout(timer)
  }
}
