/**
 * Follows streams and the player's state until the returned function is called. `positions` has the sequence of the last
 * event of each stream, as `GET /me/streams` answers, and is kept up to date; `token` returns a fresh access token.
 */
export function follow({ url, token, epoch, positions, onEvent, onState, onResync, onEnd }) {
  let socket;
  let attempts = 0;
  let timer;

  async function connect() {
    let reconnectIn;
    const retry = () => {
      const longest = Math.min(30_000, 2_000 * 2 ** attempts);
      attempts += 1;
      timer = setTimeout(connect, reconnectIn ?? Math.random() * longest);
    };
    const access = await token().catch(() => undefined);
    if (access === undefined) return retry();

    const streams = Object.entries(positions).map(([stream, after]) => ({ stream, after }));
    const hello = { type: "hello", token: access, epoch, topics: ["state"], streams };
    socket = new WebSocket(`${url.replace(/^http/, "ws")}/api/v1/live`, ["idlewatt.v1.json"]);
    socket.onopen = () => socket.send(JSON.stringify(hello));
    socket.onmessage = ({ data }) => {
      const frame = JSON.parse(data);
      if (frame.type === "welcome") {
        attempts = 0;
        epoch = frame.epoch;
      } else if (frame.type === "event") {
        positions[frame.event.stream] = frame.event.sequence;
        onEvent(frame.event);
      } else if (frame.type === "state") {
        onState(frame.data);
      } else if (frame.type === "resync" || frame.resync === true) {
        epoch = frame.epoch;
        positions[frame.stream] = frame.head;
        onResync(frame.stream);
      } else if (frame.type === "goaway") {
        reconnectIn = frame.reconnect_in_ms;
      }
    };
    socket.onclose = ({ code, reason }) => {
      const isFinal = code >= 4500 || [1002, 1007, 1009, 4003].includes(code);
      if (isFinal) onEnd(code, reason);
      else retry();
    };
  }

  connect();
  return () => {
    clearTimeout(timer);
    if (socket !== undefined) {
      socket.onclose = null;
      socket.close();
    }
  };
}
