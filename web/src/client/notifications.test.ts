import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Environment } from "./game";
import { NotificationsClient, unreadCount } from "./notifications";
import { createTransport } from "./transport";
import type { Notification, StreamEvent, UnreadCounts } from "./types";

const AT = "2026-01-05T00:00:00.000Z";

function notification(sequence: number, change: Partial<Notification> = {}): Notification {
  return {
    id: `n${sequence}`,
    sequence,
    type: "gift",
    priority: "low",
    title: `Gift ${sequence}`,
    body: "",
    data: {},
    at: AT,
    read_at: null,
    expires_at: null,
    announcement: false,
    ...change,
  };
}

/** A server with the streams of one player. Polls wait until there is something. */
class FakeServer {
  player = "p";
  epoch = "one";
  list: Notification[] = [];
  unread: UnreadCounts = { high: 0, medium: 0, low: 0 };
  own: StreamEvent[] = [];
  announcements: StreamEvent[] = [];
  resync = false;
  refuse = 0;
  requests: string[] = [];
  #waiting: (() => void)[] = [];

  add(stream: "own" | "announcements", type: string, data: unknown, at = AT): void {
    const events = this[stream];
    const name = stream === "own" ? `player:${this.player}` : "announcements";
    events.push({ stream: name, sequence: events.length + 1, at, type, request_id: null, data } as StreamEvent);
    this.wake();
  }

  wake(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }

  fetch = async (input: RequestInfo | URL, init?: RequestInit): Promise<Response> => {
    const url = new URL(String(input), "http://server");
    const method = init?.method ?? "GET";
    this.requests.push(`${method} ${url.pathname}`);
    if (this.refuse > 0) {
      this.refuse -= 1;
      throw new TypeError("Failed to fetch");
    }
    const json = (value: unknown, status = 200) => new Response(JSON.stringify(value), { status });
    if (url.pathname.endsWith("/me/streams")) {
      const streams = [
        { stream: `player:${this.player}`, head: this.own.length },
        { stream: "announcements", head: this.announcements.length },
      ];
      return json({ epoch: this.epoch, streams });
    }
    if (url.pathname.endsWith("/notification-settings")) {
      return json(method === "PUT" ? JSON.parse(String(init?.body)) : { muted_types: ["noise"] });
    }
    if (url.pathname.endsWith("/read")) return json({ unread: { high: 0, medium: 0, low: 0 } });
    if (method === "DELETE") return new Response(null, { status: 204 });
    if (url.pathname.endsWith("/me/notifications")) {
      return json({
        entries: this.list,
        next_cursor: null,
        unread: this.unread,
        head: this.own.length,
        announcements_head: this.announcements.length,
      });
    }
    const after = url.searchParams.getAll("stream").map((it) => it.split("@"));
    for (;;) {
      if (after.some(([name]) => name?.startsWith("player:") && name !== `player:${this.player}`)) {
        return json({ code: "not_found", detail: "" }, 404);
      }
      const events = after.flatMap(([name, sequence]) => {
        const all = name === "announcements" ? this.announcements : this.own;
        return all.slice(Number(sequence));
      });
      const resync = this.resync || url.searchParams.get("epoch") !== this.epoch;
      if (events.length > 0 || resync) {
        this.resync = false;
        const streams = after.map(([stream]) => ({ stream, head: 0, resync }));
        return json({ epoch: this.epoch, events: resync ? [] : events, streams, more: false });
      }
      await new Promise<void>((resolve, reject) => {
        this.#waiting.push(resolve);
        init?.signal?.addEventListener("abort", () => reject(new TypeError("aborted")));
      });
    }
  };
}

describe("NotificationsClient", () => {
  let server: FakeServer;
  let client: NotificationsClient;
  let isHidden = false;
  const environment: Environment = { isHidden: () => isHidden, isOffline: () => false, newKey: () => "key" };
  const settle = () => vi.advanceTimersByTimeAsync(1);
  const titles = () => client.snapshot.entries.map((it) => it.title);

  beforeEach(() => {
    vi.useFakeTimers({ now: 0 });
    isHidden = false;
    server = new FakeServer();
    const transport = createTransport({ baseUrl: "http://server", fetch: server.fetch });
    client = new NotificationsClient(transport, (call) => call("token"), environment);
  });

  afterEach(() => {
    client.stop();
    vi.useRealTimers();
  });

  it("reads the list, and then adds what comes, once", async () => {
    server.list = [notification(1)];
    server.unread = { high: 0, medium: 0, low: 1 };
    server.own.push({} as StreamEvent);
    client.start();
    await settle();
    expect(titles()).toEqual(["Gift 1"]);
    server.add("own", "notification.created", notification(2, { priority: "high" }));
    await settle();
    server.add("own", "notification.created", notification(2, { priority: "high" }));
    await settle();
    expect(titles()).toEqual(["Gift 2", "Gift 1"]);
    expect(client.snapshot.unread).toEqual({ high: 1, medium: 0, low: 1 });
    expect(client.snapshot.arrived?.title).toBe("Gift 2");
    // Of what was deleted meanwhile only the id is left, and unknown types are ignored.
    server.add("own", "notification.created", { id: "n9" });
    server.add("own", "something.new", { id: "n9" });
    await settle();
    expect(titles()).toEqual(["Gift 2", "Gift 1"]);
  });

  it("follows marks and removals of other tabs", async () => {
    server.list = [notification(2), notification(1)];
    server.unread = { high: 0, medium: 0, low: 2 };
    server.own.push({} as StreamEvent, {} as StreamEvent);
    client.start();
    await settle();
    server.add("own", "notification.read", { through: 1, unread: { high: 0, medium: 0, low: 1 } });
    await settle();
    expect(client.snapshot.entries.map((it) => it.read_at === null)).toEqual([true, false]);
    expect(unreadCount(client.snapshot.unread)).toBe(1);
    server.add("own", "notification.deleted", { id: "n2", unread: { high: 0, medium: 0, low: 0 } });
    await settle();
    expect(titles()).toEqual(["Gift 1"]);
    expect(unreadCount(client.snapshot.unread)).toBe(0);
  });

  it("shows announcements in the language of the page, and counts muted ones for none", async () => {
    client.setLanguage("ko");
    client.start();
    await settle();
    const announcement = {
      ...notification(1),
      announcement: true,
      title: { en: "Party", ko: "파티" },
      body: { en: "!" },
    };
    server.add("announcements", "announcement.created", announcement);
    await settle();
    expect(titles()).toEqual(["파티"]);
    expect(client.snapshot.entries[0]?.body).toBe("!");
    expect(unreadCount(client.snapshot.unread)).toBe(1);
    server.add("announcements", "announcement.created", { ...announcement, id: "x", type: "noise" });
    await settle();
    expect(client.snapshot.entries).toHaveLength(2);
    expect(unreadCount(client.snapshot.unread)).toBe(1);
    server.add("announcements", "announcement.withdrawn", { id: "n1" });
    await settle();
    expect(client.snapshot.entries).toHaveLength(1);
    expect(unreadCount(client.snapshot.unread)).toBe(0);
  });

  it("reads the list again after a resync, of another history too", async () => {
    client.start();
    await settle();
    server.list = [notification(7)];
    server.resync = true;
    server.wake();
    await settle();
    expect(titles()).toEqual(["Gift 7"]);
    server.list = [notification(8)];
    server.epoch = "two";
    server.wake();
    await settle();
    expect(titles()).toEqual(["Gift 8"]);
  });

  it("drops what belongs to the player before", async () => {
    server.list = [notification(1)];
    client.start();
    await settle();
    client.stop();
    expect(titles()).toEqual([]);
    server.player = "q";
    server.list = [notification(5)];
    client.start();
    await settle();
    expect(titles()).toEqual(["Gift 5"]);
    // Another tab signs in as another player: the streams of the one before are refused.
    server.player = "r";
    server.list = [notification(6)];
    server.wake();
    await vi.advanceTimersByTimeAsync(10_000);
    expect(titles()).toEqual(["Gift 6"]);
  });

  it("tries again after failures, later each time, and at once when it is woken", async () => {
    server.refuse = 3;
    vi.spyOn(Math, "random").mockReturnValue(1);
    client.start();
    await settle();
    expect(server.requests).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(2000);
    expect(server.requests).toHaveLength(2);
    await vi.advanceTimersByTimeAsync(3900);
    expect(server.requests).toHaveLength(2);
    client.wake();
    await settle();
    expect(server.requests).toHaveLength(3);
    client.wake();
    await settle();
    expect(client.snapshot.cursor).toBe(null);
    vi.restoreAllMocks();
  });

  it("does not poll while the page is hidden for long", async () => {
    client.start();
    await settle();
    isHidden = true;
    server.add("own", "notification.created", notification(1));
    await vi.advanceTimersByTimeAsync(10 * 60_000);
    server.add("own", "notification.created", notification(2));
    await vi.advanceTimersByTimeAsync(60_000);
    const before = server.requests.length;
    server.add("own", "notification.created", notification(3));
    await vi.advanceTimersByTimeAsync(60_000);
    expect(server.requests).toHaveLength(before);
    isHidden = false;
    client.wake();
    await settle();
    expect(titles()).toEqual(["Gift 3", "Gift 2", "Gift 1"]);
  });

  it("marks all as read, removes and mutes", async () => {
    server.list = [notification(1), { ...notification(1), id: "a1", announcement: true }];
    server.unread = { high: 0, medium: 0, low: 2 };
    server.own.push({} as StreamEvent);
    server.announcements.push({} as StreamEvent);
    client.start();
    await settle();
    await client.markAllRead();
    expect(client.snapshot.entries.every((it) => it.read_at !== null)).toBe(true);
    expect(unreadCount(client.snapshot.unread)).toBe(0);
    await client.remove("n1");
    expect(client.snapshot.entries.map((it) => it.id)).toEqual(["a1"]);
    await client.muteTypes(["grant"]);
    expect(client.snapshot.mutedTypes).toEqual(["grant"]);
  });
});
