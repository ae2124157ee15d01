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
  /** The positions of every poll. */
  polled: string[][] = [];
  /** Answers of the list by their cursor. */
  pages: Record<string, Notification[]> = {};
  /** Answers the next request. */
  refusal: Response | undefined;
  /** How many polls wait. */
  open = 0;
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
    const { refusal } = this;
    if (refusal !== undefined) {
      this.refusal = undefined;
      return refusal;
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
      const cursors = Object.keys(this.pages);
      const cursor = url.searchParams.get("cursor");
      const next = cursors[cursor === null ? 0 : cursors.indexOf(cursor) + 1];
      return json({
        entries: cursor === null ? this.list : this.pages[cursor],
        next_cursor: next ?? null,
        unread: this.unread,
        head: this.own.length,
        announcements_head: this.announcements.length,
      });
    }
    const after = url.searchParams.getAll("stream").map((it) => it.split("@"));
    this.polled.push(url.searchParams.getAll("stream"));
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
      this.open += 1;
      await new Promise<void>((resolve, reject) => {
        this.#waiting.push(resolve);
        init?.signal?.addEventListener("abort", () => reject(new TypeError("aborted")));
      }).finally(() => {
        this.open -= 1;
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
    // After a random pause, because all clients are told so at once.
    await vi.advanceTimersByTimeAsync(2000);
    expect(titles()).toEqual(["Gift 7"]);
    server.list = [notification(8)];
    server.epoch = "two";
    server.wake();
    await vi.advanceTimersByTimeAsync(2000);
    expect(titles()).toEqual(["Gift 8"]);
    // What the list holds already does not come again as an event.
    server.own.push({} as StreamEvent);
    server.resync = true;
    server.wake();
    await vi.advanceTimersByTimeAsync(2000);
    server.add("own", "notification.created", notification(9));
    await settle();
    expect(titles()).toEqual(["Gift 9", "Gift 8"]);
    expect(server.polled.at(-1)).toEqual(["player:p@2", "announcements@0"]);
  });

  it("applies what came at once by time, and keeps the order within a stream", async () => {
    client.start();
    await settle();
    const at = (second: number) => `2026-01-05T00:00:0${second}.000Z`;
    const party = { ...notification(1), announcement: true, title: { en: "Party" }, body: { en: "!" }, at: at(2) };
    server.announcements.push({
      stream: "announcements",
      sequence: 1,
      at: at(2),
      type: "announcement.created",
      request_id: null,
      data: { ...party, id: "a1" } as unknown as StreamEvent["data"],
    });
    // Everything up to the second moment is marked as read, so the announcement counts no more.
    server.own.push({
      stream: "player:p",
      sequence: 1,
      at: at(3),
      type: "notification.read",
      request_id: null,
      data: { announcements_through: 1, unread: { high: 0, medium: 0, low: 0 } },
    });
    // A clock went back before the next ones.
    server.add("own", "notification.created", notification(2, { at: at(1) }), at(1));
    server.add("own", "notification.deleted", { id: "n2", unread: { high: 0, medium: 0, low: 0 } }, at(0));
    server.add("own", "notification.created", notification(4, { at: at(1) }), at(1));
    await settle();
    expect(titles()).toEqual(["Party", "Gift 4"]);
    expect(client.snapshot.entries.map((it) => it.read_at === null)).toEqual([false, true]);
    expect(client.snapshot.unread).toEqual({ high: 0, medium: 0, low: 1 });
  });

  it("tells of an important one, even if others come with it", async () => {
    client.start();
    await settle();
    server.own.push({
      stream: "player:p",
      sequence: 1,
      at: AT,
      type: "notification.created",
      request_id: null,
      data: { ...notification(1, { priority: "high" }) },
    });
    server.add("own", "notification.created", notification(2));
    await settle();
    expect(client.snapshot.arrived?.title).toBe("Gift 1");
    client.dismissArrived();
    server.add("own", "notification.created", notification(3, { priority: "high", read_at: AT }));
    await settle();
    expect(titles()).toContain("Gift 3");
    expect(client.snapshot.arrived).toBe(undefined);
  });

  it("drops what belongs to the player before", async () => {
    server.list = [notification(1)];
    client.start();
    await settle();
    expect(server.open).toBe(1);
    client.stop();
    await settle();
    expect(server.open).toBe(0);
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

  it("waits as long as the server asks for, even if it is woken", async () => {
    server.refusal = new Response("{}", { status: 503, headers: { "Retry-After": "7" } });
    client.start();
    await settle();
    await vi.advanceTimersByTimeAsync(6000);
    client.wake();
    await settle();
    expect(server.requests).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(3000);
    expect(client.snapshot.cursor).toBe(null);
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

  it("shows a change at once, and takes it back if the call fails", async () => {
    server.list = [notification(2), notification(1)];
    server.unread = { high: 0, medium: 0, low: 2 };
    client.start();
    await settle();
    server.refuse = 1;
    const marked = client.markAllRead();
    expect(unreadCount(client.snapshot.unread)).toBe(0);
    await expect(marked).rejects.toThrow();
    expect(unreadCount(client.snapshot.unread)).toBe(2);
    server.refuse = 1;
    const removed = client.remove("n2");
    expect(titles()).toEqual(["Gift 1"]);
    await expect(removed).rejects.toThrow();
    expect(titles()).toEqual(["Gift 2", "Gift 1"]);
    await settle();
    server.refuse = 1;
    const muted = client.muteTypes(["grant"]);
    expect(client.snapshot.mutedTypes).toEqual(["grant"]);
    await expect(muted).rejects.toThrow();
    await settle();
    expect(client.snapshot.mutedTypes).toEqual(["noise"]);
  });

  it("reads older ones by their cursors, and the list again after many new ones", async () => {
    server.list = [notification(9)];
    server.pages = { b: [notification(8)], c: [notification(8), notification(7)] };
    client.start();
    await settle();
    await client.loadMore();
    await client.loadMore();
    expect(titles()).toEqual(["Gift 9", "Gift 8", "Gift 7"]);
    expect(client.snapshot.cursor).toBe(null);
    server.list = [notification(200)];
    for (let sequence = 10; sequence < 110; sequence += 1) {
      server.add("own", "notification.created", notification(sequence));
    }
    await settle();
    expect(titles()).toEqual(["Gift 200"]);
  });

  it("reads the list again if the language changes while it is being read", async () => {
    client.start();
    client.setLanguage("ko");
    server.list = [notification(1)];
    await settle();
    expect(titles()).toEqual(["Gift 1"]);
    const lists = () => server.requests.filter((it) => it === "GET /api/v1/me/notifications").length;
    const before = lists();
    client.setLanguage("en");
    client.setLanguage("ko");
    await settle();
    expect(lists()).toBe(before + 1);
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
