import { ServerClock } from "./clock";
import { coresGained, energyAt } from "./formula";
import { Problem } from "./problem";
import type { SessionClient } from "./session";
import type { Answer, Transport } from "./transport";
import type { Action, ActionsOutcome, Catalog, Quantity, State } from "./types";

/** The interval of polls and of batches of actions while the page is visible, in milliseconds. */
const TICK_MS = 1000;
/** The interval of polls while the page is hidden. */
const HIDDEN_TICK_MS = 60_000;
/** The longest pause between two attempts while the server cannot be reached. */
const MAX_RETRY_MS = 5000;
/** The limits of a batch. */
const MAX_ACTIONS = 32;
const MAX_CLICKS = 1000;

/** An absence that the page tells about. */
export type Absence = NonNullable<State["away"]>;

/** What a page shows. Replaced as a whole at every change. */
export interface Snapshot {
  /** `undefined` until the server has answered. */
  state: State | undefined;
  catalog: Catalog | undefined;
  /** Clicks that the server has not confirmed yet. They count in the shown energy. */
  pendingClicks: number;
  /** Items whose purchase the server has not confirmed yet. */
  pendingPurchases: readonly string[];
  connection: "connecting" | "online" | "offline";
  /** The last absence, until it is dismissed. */
  absence: Absence | undefined;
  /** The last refused action. */
  refusal: Problem | undefined;
  /** Why the player may not play, for example a ban; `undefined` if nothing prevents it. */
  blocked: Problem | undefined;
  /** Clicks of the last batch that were beyond the allowed rate. */
  rejectedClicks: number;
}

const NOTHING: Snapshot = {
  state: undefined,
  catalog: undefined,
  pendingClicks: 0,
  pendingPurchases: [],
  connection: "connecting",
  absence: undefined,
  refusal: undefined,
  blocked: undefined,
  rejectedClicks: 0,
};

interface Batch {
  key: string;
  actions: Action[];
}

/** The parts of the browser that the client uses. Tests replace them. */
export interface Environment {
  isHidden(): boolean;
  isOffline(): boolean;
  newKey(): string;
}

export const browserEnvironment: Environment = {
  isHidden: () => document.visibilityState === "hidden",
  isOffline: () => !navigator.onLine,
  newKey: () =>
    Array.from(crypto.getRandomValues(new Uint8Array(16)), (it) => it.toString(16).padStart(2, "0")).join(""),
};

/**
 * The game of the signed-in player. It polls the state, sends clicks and purchases in batches, and repeats a batch with
 * the same key until its result is known, so that nothing is lost or done twice.
 */
export class GameClient {
  readonly clock = new ServerClock();
  #snapshot: Snapshot = NOTHING;
  readonly #listeners = new Set<() => void>();
  #queue: Action[] = [];
  #sending: Batch | undefined;
  #stateTag: string | undefined;
  #catalogTag: string | undefined;
  #loadingCatalog: Promise<void> | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #busy = false;
  #wanted = false;
  #failures = 0;
  #stopped = true;
  /** Rises when the player changes, so that answers about the one before are dropped. */
  #life = 0;
  /** The access token that the shown state was read with: what is queued belongs to its player. */
  #token: string | undefined;
  /** The last choice of a language; the next one waits for it. */
  #choosing: Promise<unknown> = Promise.resolve();
  /** The bucket of clicks, as the server keeps it. */
  #clicks = { tokens: 0, at: 0 };

  constructor(
    readonly transport: Transport,
    readonly session: SessionClient,
    readonly environment: Environment = browserEnvironment,
  ) {}

  get snapshot(): Snapshot {
    return this.#snapshot;
  }

  /** Calls `listener` after every change. Returns a function that ends it. */
  subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  /** Begins to poll. */
  start(): void {
    this.#stopped = false;
    this.wake();
  }

  /** Stops and forgets everything about the player. */
  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.#forget();
    this.#set({ ...NOTHING, catalog: this.#snapshot.catalog });
  }

  /** Notes that the player may not play, for example because of a ban. */
  block(problem: Problem): void {
    this.#set({ blocked: problem });
  }

  /** Asks the server now, for example because the page became visible or the network returned. */
  wake(): void {
    if (this.#stopped) return;
    this.#wanted = true;
    clearTimeout(this.#timer);
    void this.#run();
  }

  /** Notes that the server cannot be reached, for example because the browser has lost the network. */
  lost(): void {
    this.#set({ connection: "offline" });
  }

  /** Sends what is queued while the page is being hidden or closed. */
  flush(): void {
    if (this.#stopped || this.#sending !== undefined || this.#queue.length === 0) return;
    const batch = this.#take();
    void this.#sendBatch(batch, true).catch(() => undefined);
  }

  /** The energy to show at this moment: the formula, and clicks that are not confirmed yet. */
  energy(): number {
    const { state, pendingClicks } = this.#snapshot;
    if (state === undefined) return 0;
    return energyAt(state, this.clock.now()) + pendingClicks * state.energy_per_click;
  }

  /** The lifetime energy at this moment. */
  lifetimeEnergy(): number {
    const { state } = this.#snapshot;
    return state === undefined ? 0 : state.lifetime_energy + Math.max(0, this.energy() - state.energy);
  }

  /** The cores that prestige would give at this moment. */
  coresGained(): number {
    const { state, catalog } = this.#snapshot;
    return state === undefined || catalog === undefined ? 0 : coresGained(state, this.lifetimeEnergy(), catalog);
  }

  /** Clicks once. Returns false if the server would not count the click, because clicks come too fast. */
  click(): boolean {
    const { state, catalog } = this.#snapshot;
    if (state === undefined || catalog === undefined) return false;
    const { click_burst, clicks_per_second } = catalog.rules;
    const now = performance.now();
    const refilled = this.#clicks.tokens + ((now - this.#clicks.at) / 1000) * clicks_per_second;
    const tokens = Math.min(click_burst, refilled);
    if (tokens < 1) {
      this.#clicks = { tokens, at: now };
      return false;
    }
    this.#clicks = { tokens: tokens - 1, at: now };
    const last = this.#queue.at(-1);
    if (last?.type === "click" && last.clicks < MAX_CLICKS) last.clicks += 1;
    else this.#queue.push({ type: "click", clicks: 1 });
    this.#set({ pendingClicks: this.#snapshot.pendingClicks + 1 });
    return true;
  }

  /** Buys units of a generator. */
  buyGenerator(id: string, quantity: Quantity): void {
    this.#purchase({ type: "buy_generator", id, quantity });
  }

  /** Buys an upgrade. */
  buyUpgrade(id: string): void {
    this.#purchase({ type: "buy_upgrade", id });
  }

  /** Waits until the server has everything, for at most `limitMs` milliseconds. */
  async settled(limitMs = 10_000): Promise<void> {
    const isSettled = () => this.#stopped || (this.#sending === undefined && this.#queue.length === 0);
    if (isSettled()) return;
    this.wake();
    await new Promise<void>((resolve) => {
      const done = () => {
        clearTimeout(timer);
        end();
        resolve();
      };
      const timer = setTimeout(done, limitMs);
      const end = this.subscribe(() => {
        if (isSettled()) done();
        else if (this.#sending === undefined) this.wake();
      });
    });
  }

  /** Starts over for cores. */
  async prestige(): Promise<void> {
    const { state } = this.#snapshot;
    if (state === undefined) return;
    await this.settled();
    const life = this.#life;
    const key = this.environment.newKey();
    const answer = await this.#insist((token) =>
      this.transport("post", "/api/v1/me/prestige", { body: {}, key, token }),
    );
    if (answer.body !== undefined) this.#accept(answer.body.state, answer, life);
  }

  /** Changes the name that others see. */
  async rename(displayName: string): Promise<void> {
    const life = this.#life;
    const answer = await this.#insist((token) =>
      this.transport("patch", "/api/v1/me", { body: { display_name: displayName }, token }),
    );
    if (answer.body !== undefined) this.#accept(answer.body, answer, life);
  }

  /** Stores the language of texts for the player. */
  chooseLanguage(language: "en" | "ko"): Promise<void> {
    // One after the other, so that the last choice is the one that stays.
    const chosen = this.#choosing.then(() => this.#storeLanguage(language));
    this.#choosing = chosen.catch(() => undefined);
    return chosen;
  }

  async #storeLanguage(language: "en" | "ko"): Promise<void> {
    const { state } = this.#snapshot;
    if (state === undefined || state.language === language) return;
    const life = this.#life;
    const answer = await this.#insist((token) => this.transport("patch", "/api/v1/me", { body: { language }, token }));
    if (answer.body !== undefined) this.#accept(answer.body, answer, life);
  }

  /** Dismisses the message about the last absence. */
  dismissAbsence(): void {
    this.#set({ absence: undefined });
  }

  /** Dismisses the message about the last refused action. */
  dismissRefusal(): void {
    this.#set({ refusal: undefined, rejectedClicks: 0 });
  }

  /** A call with a valid access token; after a refused one, once more with a new one. */
  async authorized<T>(call: (token: string) => Promise<T>): Promise<T> {
    const token = await this.session.token();
    try {
      return await call(token);
    } catch (error) {
      if (!(error instanceof Problem) || error.status !== 401) throw error;
      this.session.distrust(token);
      return call(await this.session.token());
    }
  }

  #purchase(action: Action & { id: string }): void {
    if (this.#stopped) return;
    this.#queue.push(action);
    this.#set({ pendingPurchases: [...this.#snapshot.pendingPurchases, action.id] });
    this.wake();
  }

  /** Runs until nothing is wanted, then waits for the next tick. One run at a time. */
  async #run(): Promise<void> {
    if (this.#busy) return;
    this.#busy = true;
    let pause = TICK_MS;
    try {
      while (this.#wanted && !this.#stopped) {
        this.#wanted = false;
        await this.#turn();
      }
      this.#failures = 0;
      if (this.environment.isHidden()) pause = HIDDEN_TICK_MS;
    } catch (error) {
      pause = this.#failed(error);
    } finally {
      this.#busy = false;
    }
    if (this.#stopped) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.wake(), pause);
  }

  /** One exchange with the server: a batch if anything is queued, otherwise a poll. */
  async #turn(): Promise<void> {
    if (this.#snapshot.catalog === undefined) await Promise.all([this.loadCatalog(), this.#poll()]);
    else if (this.#snapshot.state !== undefined && (this.#sending !== undefined || this.#queue.length > 0)) {
      await this.#sendBatch(this.#sending ?? this.#take(), false);
      if (this.#queue.length >= MAX_ACTIONS) this.#wanted = true;
    } else {
      await this.#poll();
    }
    if (this.#stopped) return;
    this.#set({ blocked: undefined, ...(!this.environment.isOffline() && { connection: "online" }) });
  }

  #failed(error: unknown): number {
    if (!(error instanceof Problem)) {
      // An error of this program. It must not end the polling.
      console.error(error);
      return MAX_RETRY_MS;
    }
    const problem = error;
    if (problem.status === 429) return problem.retryAfterMs ?? TICK_MS;
    if (!problem.isTransient) {
      // For example a ban. The end of a session is handled by the session.
      if (problem.status === 403 && !this.#stopped) this.block(problem);
      return MAX_RETRY_MS;
    }
    this.#failures += 1;
    this.#set({ connection: "offline" });
    // Random, so that clients do not return at the same moment.
    const backOff = Math.min(MAX_RETRY_MS, 500 * 2 ** this.#failures) * (0.5 + Math.random() / 2);
    return Math.min(MAX_RETRY_MS, Math.max(backOff, problem.retryAfterMs ?? 0));
  }

  #take(): Batch {
    const batch = { key: this.environment.newKey(), actions: this.#queue.splice(0, MAX_ACTIONS) };
    this.#sending = batch;
    return batch;
  }

  async #sendBatch(batch: Batch, keepalive: boolean, mayRenew = true): Promise<void> {
    const { key, actions } = batch;
    const life = this.#life;
    const token = await this.session.token();
    if (token !== this.#token) {
      // Another tab may have signed in as another player, whose cookie this tab has just used.
      await this.#poll();
      if (this.#sending !== batch) return;
      if (token !== this.#token) throw new Problem("offline", 0, "the session is changing", undefined, undefined);
    }
    let answer: Answer<ActionsOutcome>;
    try {
      answer = await this.transport("post", "/api/v1/me/actions", { body: { actions }, key, token, keepalive });
    } catch (error) {
      if (error instanceof Problem && error.status === 401 && mayRenew && this.#sending === batch) {
        this.session.distrust(token);
        return this.#sendBatch(batch, keepalive, false);
      }
      if (error instanceof Problem && !error.isTransient && error.status !== 401 && this.#sending === batch) {
        // The batch as a whole is refused, for example because the catalogue has changed.
        this.#confirm(batch);
        this.#set({ refusal: error });
        return;
      }
      throw error;
    }
    if (this.#sending !== batch || answer.body === undefined) return;
    const { results, state } = answer.body;
    let rejectedClicks = 0;
    let refusal: Problem | undefined;
    results.forEach((result, index) => {
      const action = actions[index];
      if (result.status === 200) {
        if (action?.type === "click") rejectedClicks += action.clicks - (result.accepted ?? 0);
      } else {
        refusal = new Problem(result.code, result.status, result.detail ?? result.title, undefined, undefined);
      }
    });
    this.#confirm(batch);
    this.#accept(state, answer, life);
    if (refusal !== undefined || rejectedClicks > 0) {
      this.#set({ rejectedClicks, ...(refusal !== undefined && { refusal }) });
    }
  }

  /** Removes a batch whose result is known from what is pending. */
  #confirm(batch: Batch): void {
    this.#sending = undefined;
    let { pendingClicks } = this.#snapshot;
    const pendingPurchases = [...this.#snapshot.pendingPurchases];
    for (const action of batch.actions) {
      if (action.type === "click") pendingClicks -= action.clicks;
      else pendingPurchases.splice(pendingPurchases.indexOf(action.id), 1);
    }
    // Shown together with the state that contains them.
    this.#snapshot = { ...this.#snapshot, pendingClicks: Math.max(0, pendingClicks), pendingPurchases };
  }

  async #poll(): Promise<void> {
    const life = this.#life;
    const tag = this.#stateTag;
    let used: string | undefined;
    const answer = await this.authorized((token) => {
      used = token;
      return this.transport("get", "/api/v1/me", { token, ...(tag !== undefined && { ifNoneMatch: tag }) });
    });
    if (life !== this.#life) return;
    if (answer.body !== undefined) this.#accept(answer.body, answer, life);
    // A 304 confirms the player too, because the tag names it.
    this.#token = used;
  }

  /** Reads the catalogue, if it has changed. Calls at the same time share one request. */
  loadCatalog(): Promise<void> {
    this.#loadingCatalog ??= this.#readCatalog().finally(() => {
      this.#loadingCatalog = undefined;
    });
    return this.#loadingCatalog;
  }

  async #readCatalog(): Promise<void> {
    const tag = this.#catalogTag;
    const answer = await this.transport("get", "/api/v1/catalog", { ...(tag !== undefined && { ifNoneMatch: tag }) });
    if (answer.body === undefined) return;
    this.#catalogTag = answer.etag;
    this.#clicks = { tokens: answer.body.rules.click_burst, at: performance.now() };
    this.#set({ catalog: answer.body });
  }

  #accept(state: State, answer: Answer<unknown>, life: number): void {
    if (this.#stopped || life !== this.#life) return;
    if (this.#snapshot.state !== undefined && this.#snapshot.state.player_id !== state.player_id) {
      this.#forget();
      this.#snapshot = { ...NOTHING, catalog: this.#snapshot.catalog, connection: this.#snapshot.connection };
    }
    const before = this.#snapshot.state;
    const isSame = before !== undefined && before.player_id === state.player_id && before.epoch === state.epoch;
    const isOlder =
      isSame &&
      (state.version < before.version ||
        (state.version === before.version && Date.parse(state.server_time) < Date.parse(before.server_time)));
    if (isOlder) {
      this.#set({});
      return;
    }
    this.clock.observe(Date.parse(state.server_time), answer.sentAt, answer.receivedAt);
    this.#stateTag = answer.etag;
    const absence = state.away !== undefined && before?.away === undefined ? state.away : this.#snapshot.absence;
    this.#set({ state, absence });
    // Rates may have changed with the catalogue, which is small and answered 304 otherwise.
    if (before !== undefined && before.version === state.version) void this.loadCatalog().catch(() => undefined);
  }

  /** Forgets what belongs to the player. */
  #forget(): void {
    this.#life += 1;
    this.#queue = [];
    this.#sending = undefined;
    this.#stateTag = undefined;
    this.#token = undefined;
  }

  /** Repeats a call with an idempotency key until its result is known, for at most some seconds. */
  async #insist<T>(call: (token: string) => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.authorized(call);
      } catch (error) {
        if (!(error instanceof Problem) || !error.isTransient || attempt === 4) throw error;
        await new Promise((resolve) => setTimeout(resolve, error.retryAfterMs ?? 500 * attempt));
      }
    }
  }

  #set(change: Partial<Snapshot>): void {
    this.#snapshot = { ...this.#snapshot, ...change };
    for (const listener of [...this.#listeners]) listener();
  }
}
