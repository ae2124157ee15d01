import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { type Environment, GameClient } from "./game";
import { Problem } from "./problem";
import { SessionClient } from "./session";
import { createTransport } from "./transport";
import type { Action, Catalog, State } from "./types";

const START = Date.parse("2026-01-05T00:00:00.000Z");
const crank = {
  id: "hand_crank",
  name: "",
  description: "",
  base_cost: 10,
  cost_growth: 1.1,
  base_energy_per_second: 0.15,
  available: true,
};
const catalog = {
  version: 1,
  effective_at: "",
  generators: [crank],
  upgrades: [],
  rules: {
    click_burst: 40,
    clicks_per_second: 20,
    energy_per_click: 1,
    bonus_per_core: 0.02,
    energy_per_core: 1e9,
    offline_cap_seconds: 28_800,
  },
} as unknown as Catalog;

/** A server that keeps the books of the signed-in player, and can lose requests and answers. */
class FakeServer {
  version = 1;
  energy = 0;
  epoch = "one";
  keys = new Map<string, unknown>();
  requests: { path: string; key: string | null; token: string | null; body: unknown }[] = [];
  lose: "nothing" | "request" | "answer" = "nothing";
  refuse: Response | undefined;
  /** The player of the session cookie, as every refresh finds it. */
  player = "p";
  /** Delays the answers to polls until it is resolved. */
  hold: Promise<void> | undefined;

  state(): State {
    return {
      player_id: this.player,
      display_name: "Ada",
      username: null,
      language: null,
      energy: this.energy,
      lifetime_energy: this.energy,
      energy_per_second: 0,
      energy_per_click: 1,
      cores: 0,
      version: this.version,
      generators: [],
      upgrades: [],
      epoch: this.epoch,
      accrues_until: new Date(START + 1e9).toISOString(),
      server_time: new Date(START + Date.now()).toISOString(),
    };
  }

  fetch = async (input: RequestInfo | URL, init?: RequestInit): Promise<Response> => {
    const path = String(input);
    const headers = new Headers(init?.headers);
    const key = headers.get("Idempotency-Key");
    const body = init?.body === undefined ? undefined : JSON.parse(String(init.body));
    this.requests.push({ path, key, token: headers.get("Authorization"), body });
    if (this.lose === "request") throw new TypeError("Failed to fetch");
    if (this.refuse !== undefined && path.includes("/me")) return this.refuse.clone();
    const answer = this.answer(path, key, body, headers);
    if (this.lose === "answer") throw new TypeError("Failed to fetch");
    if (path.endsWith("/me")) await this.hold;
    return answer;
  };

  answer(path: string, key: string | null, body: { actions: Action[] } | undefined, headers: Headers): Response {
    const json = (value: unknown, tag?: string) =>
      new Response(JSON.stringify(value), { status: 200, headers: tag === undefined ? {} : { ETag: tag } });
    const tokens = { access_token: `t of ${this.player}`, token_type: "Bearer", expires_in: 900 };
    if (path.endsWith("/auth/guest")) {
      return json({ player: { id: this.player, display_name: "Ada", username: null }, tokens });
    }
    if (path.endsWith("/auth/refresh")) return json({ tokens });
    const token = headers.get("Authorization");
    if (token !== null && token !== `Bearer t of ${this.player}`) {
      return new Response(JSON.stringify({ code: "unauthenticated", detail: "" }), { status: 401 });
    }
    if (path.endsWith("/catalog"))
      return headers.get("If-None-Match") === "c" ? new Response(null, { status: 304 }) : json(catalog, "c");
    if (path.endsWith("/me")) {
      const tag = `W/"${this.player}-${this.epoch}-${this.version}"`;
      return headers.get("If-None-Match") === tag ? new Response(null, { status: 304 }) : json(this.state(), tag);
    }
    let results = this.keys.get(key ?? "");
    if (results === undefined) {
      results = (body?.actions ?? []).map((action) => {
        this.version += 1;
        if (action.type !== "click") return { status: 409, code: "insufficient_energy", title: "no", detail: "no" };
        this.energy += action.clicks;
        return { status: 200, type: "click", accepted: action.clicks };
      });
      this.keys.set(key ?? "", results);
    }
    return json({ results, state: this.state() });
  }
}

describe("GameClient", () => {
  let server: FakeServer;
  let game: GameClient;
  let keys = 0;
  const environment: Environment = { isHidden: () => false, isOffline: () => false, newKey: () => `key ${++keys}` };

  beforeEach(async () => {
    vi.useFakeTimers({ now: 0 });
    server = new FakeServer();
    const transport = createTransport({ fetch: server.fetch });
    const session = new SessionClient(transport, { kind: "cookie" }, () => undefined);
    game = new GameClient(transport, session, environment);
    await session.signInAsGuest();
    game.start();
    await vi.advanceTimersByTimeAsync(10);
  });

  afterEach(() => {
    game.stop();
    game.session.dispose();
    vi.useRealTimers();
  });

  const batches = () => server.requests.filter((it) => it.path.endsWith("/actions"));

  it("sums the clicks of a second in one call, and shows them at once", async () => {
    for (let click = 0; click < 5; click += 1) expect(game.click()).toBe(true);
    expect([game.energy(), server.energy]).toEqual([5, 0]);
    await vi.advanceTimersByTimeAsync(1000);
    expect(batches().map((it) => it.body)).toEqual([{ actions: [{ type: "click", clicks: 5 }] }]);
    expect([game.energy(), game.snapshot.pendingClicks, server.energy]).toEqual([5, 0, 5]);
  });

  it("promises no more clicks than the server counts", () => {
    let counted = 0;
    for (let click = 0; click < 100; click += 1) counted += Number(game.click());
    expect(counted).toBe(40);
  });

  it.each(["request", "answer"] as const)(
    "repeats a batch with its key after a lost %s, and counts it once",
    async (lost) => {
      game.click();
      server.lose = lost;
      await vi.advanceTimersByTimeAsync(4000);
      expect(game.snapshot.connection).toBe("offline");
      game.click();
      expect(game.energy()).toBe(2);
      server.lose = "nothing";
      await vi.advanceTimersByTimeAsync(12_000);
      expect([server.energy, game.energy(), game.snapshot.pendingClicks]).toEqual([2, 2, 0]);
      expect(game.snapshot.connection).toBe("online");
      const [first, ...rest] = batches();
      const second = rest.findIndex((it) => it.key !== first?.key);
      expect(rest.slice(0, second).every((it) => it.key === first?.key)).toBe(true);
    },
  );

  it("tries at least every five seconds while the server is away", async () => {
    server.lose = "request";
    await vi.advanceTimersByTimeAsync(30_000);
    const before = server.requests.length;
    await vi.advanceTimersByTimeAsync(5100);
    expect(server.requests.length).toBeGreaterThan(before);
  });

  it("never shows less for a late answer, and follows a new epoch", async () => {
    server.version = 9;
    server.energy = 50;
    await vi.advanceTimersByTimeAsync(1100);
    expect(game.energy()).toBe(50);
    server.version = 8;
    server.energy = 40;
    await vi.advanceTimersByTimeAsync(1100);
    expect(game.energy()).toBe(50);
    server.epoch = "two";
    await vi.advanceTimersByTimeAsync(1100);
    expect(game.energy()).toBe(40);
  });

  it("waits as long as the limit says", async () => {
    const body = JSON.stringify({ code: "rate_limited", detail: "", retry_after_ms: 3000, policy: "player" });
    server.refuse = new Response(body, { status: 429, headers: { "Retry-After": "3" } });
    await vi.advanceTimersByTimeAsync(1000);
    const before = server.requests.length;
    await vi.advanceTimersByTimeAsync(2900);
    expect(server.requests.length).toBe(before);
    server.refuse = undefined;
    await vi.advanceTimersByTimeAsync(200);
    expect(server.requests.length).toBeGreaterThan(before);
    expect(game.snapshot.connection).toBe("online");
  });

  it("tells of a refused purchase and goes on", async () => {
    game.buyGenerator("hand_crank", 1);
    expect(game.snapshot.pendingPurchases).toEqual(["hand_crank"]);
    await vi.advanceTimersByTimeAsync(50);
    expect(game.snapshot.refusal).toBeInstanceOf(Problem);
    expect(game.snapshot.refusal?.code).toBe("insufficient_energy");
    expect(game.snapshot.pendingPurchases).toEqual([]);
  });

  it("waits until the server has everything, but not for ever", async () => {
    game.click();
    const settled = vi.fn();
    void game.settled().then(settled);
    await vi.advanceTimersByTimeAsync(50);
    expect([settled.mock.calls.length, server.energy]).toEqual([1, 1]);
    server.lose = "request";
    game.click();
    const late = vi.fn();
    void game.settled(3000).then(late);
    await vi.advanceTimersByTimeAsync(2900);
    expect(late).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(200);
    expect(late).toHaveBeenCalled();
  });

  it("drops an answer about the player before", async () => {
    let release = () => {};
    server.hold = new Promise((resolve) => {
      release = resolve;
    });
    server.energy = 50;
    server.version = 2;
    await vi.advanceTimersByTimeAsync(1000);
    game.stop();
    server.player = "q";
    server.energy = 7;
    await game.session.signInAsGuest();
    game.start();
    release();
    const shown = new Set<string | undefined>();
    game.subscribe(() => shown.add(game.snapshot.state?.player_id));
    await vi.advanceTimersByTimeAsync(2000);
    expect([...shown].filter((it) => it !== undefined)).toEqual(["q"]);
    expect(game.energy()).toBe(7);
  });

  it("does not credit clicks to another player who signed in elsewhere", async () => {
    game.click();
    server.player = "q";
    await vi.advanceTimersByTimeAsync(3000);
    expect(batches().filter((it) => it.token === "Bearer t of q")).toEqual([]);
    expect([game.snapshot.state?.player_id, game.snapshot.pendingClicks, server.energy]).toEqual(["q", 0, 0]);
    game.click();
    await vi.advanceTimersByTimeAsync(1000);
    expect(server.energy).toBe(1);
  });

  it("sends a batch again with a renewed token", async () => {
    const token = await game.session.token();
    game.click();
    game.session.distrust(token);
    await vi.advanceTimersByTimeAsync(1100);
    expect([server.energy, game.snapshot.pendingClicks]).toEqual([1, 0]);
  });

  it("says that the player is banned, and goes on when the ban ends", async () => {
    const body = JSON.stringify({ code: "player_banned", detail: "" });
    server.refuse = new Response(body, { status: 403 });
    await vi.advanceTimersByTimeAsync(1100);
    expect(game.snapshot.blocked?.code).toBe("player_banned");
    server.refuse = undefined;
    server.version = 2;
    await vi.advanceTimersByTimeAsync(5100);
    expect(game.snapshot.blocked).toBeUndefined();
  });

  it("forgets everything about a player when it stops", () => {
    game.click();
    game.stop();
    expect([game.snapshot.state, game.snapshot.pendingClicks, game.energy()]).toEqual([undefined, 0, 0]);
  });
});
