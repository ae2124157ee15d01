/**
 * The server's time, from the `server_time` of fresh answers. The answer with the shortest round trip counts most,
 * because the offset is wrong by at most half of it. Old answers are forgotten slowly, because clocks drift.
 */
export class ServerClock {
  #offset: number | undefined;
  #error = Number.POSITIVE_INFINITY;

  /** Notes a time that the server answered to a request. Times are milliseconds; the last two in performance time. */
  observe(serverTime: number, sentAt: number, receivedAt: number): void {
    const error = (receivedAt - sentAt) / 2;
    const offset = serverTime - (sentAt + receivedAt) / 2;
    const isStep = this.#offset !== undefined && Math.abs(offset - this.#offset) > this.#error + error + 1000;
    if (this.#offset === undefined || isStep || error <= this.#error) {
      this.#offset = offset;
      this.#error = error;
    } else {
      this.#error *= 1.05;
    }
  }

  /** The server's time in milliseconds since the Unix epoch. */
  now(): number {
    return performance.now() + (this.#offset ?? performance.timeOrigin);
  }
}
