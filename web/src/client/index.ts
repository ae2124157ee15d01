// The client of Idlewatt, without a view. `createIdlewatt` is the entry; docs/client.md describes it.
import { browserEnvironment, type Environment, GameClient } from "./game";
import { NotificationsClient } from "./notifications";
import { Problem } from "./problem";
import { type Identity, SessionClient, type TokenStore } from "./session";
import { createTransport, type Transport, type TransportOptions } from "./transport";
import type { Board } from "./types";

export * from "./formula";
export type { Absence, Environment, Snapshot } from "./game";
export { type News, unreadCount } from "./notifications";
export { Problem } from "./problem";
export { type Identity, localTokens, type TokenStore } from "./session";
export type { Transport } from "./transport";
export type * from "./types";

/** The name of the cookie that says, without a secret, that the browser has a session cookie. */
const HINT = "idlewatt-signed-in";

export interface Options extends TransportOptions {
  /** Where the refresh token is kept; in a cookie by default. */
  tokens?: TokenStore;
  environment?: Environment;
  /**
   * Whether the browser may have a session of an earlier visit. By default a cookie of the server says so, which saves a
   * request that would be refused.
   */
  mayHaveSession?: () => boolean;
}

/** Everything that a page needs of the server. */
export class Idlewatt {
  readonly transport: Transport;
  readonly session: SessionClient;
  readonly game: GameClient;
  readonly notifications: NotificationsClient;
  #starting: Promise<void> | undefined;
  /** The player whose game is shown. */
  #player: string | undefined;
  readonly #ends: (() => void)[] = [];

  constructor(readonly options: Options = {}) {
    this.transport = createTransport(options);
    const tokens = options.tokens ?? { kind: "cookie" };
    this.session = new SessionClient(this.transport, tokens, (reason) => this.#sessionEnded(reason));
    const environment = options.environment ?? browserEnvironment;
    this.game = new GameClient(this.transport, this.session, environment);
    const authorized: GameClient["authorized"] = (call) => this.game.authorized(call);
    this.notifications = new NotificationsClient(this.transport, authorized, environment);
    this.game.subscribe(() => this.#followPlayer());
  }

  /**
   * Continues the session of an earlier visit, or begins as a new guest, and plays. Calls at the same time share one
   * start. Throws a `Problem` if the server cannot be reached or the player is banned.
   */
  start(): Promise<void> {
    this.#starting ??= this.#start().finally(() => {
      this.#starting = undefined;
    });
    return this.#starting;
  }

  async #start(): Promise<void> {
    // Everybody may read it, so it is fetched meanwhile. The game reads it again if that fails.
    if (this.game.snapshot.catalog === undefined) void this.game.loadCatalog().catch(() => undefined);
    try {
      const resumed = this.#mayHaveSession() && (await this.session.resume());
      if (!resumed) await this.session.signInAsGuest();
    } catch (error) {
      // A banned player keeps the session, for the day when the ban ends.
      if (error instanceof Problem && error.status === 403) this.game.block(error);
      else this.game.lost();
      throw error;
    }
    this.#play();
  }

  #play(): void {
    this.game.start();
    this.notifications.start();
  }

  /** Another tab may have signed in as another player: then a poll still waits for the one before. */
  #followPlayer(): void {
    const player = this.game.snapshot.state?.player_id;
    if (player === undefined || player === this.#player) return;
    const isAnother = this.#player !== undefined;
    this.#player = player;
    if (isAnother) this.notifications.start();
  }

  #stop(): void {
    this.#player = undefined;
    this.game.stop();
    this.notifications.stop();
  }

  #wake(): void {
    this.game.wake();
    this.notifications.wake();
  }

  /** Follows the page: its visibility, the network, and its end. Returns a function that stops that. */
  watchPage(): () => void {
    const on = (target: EventTarget, type: string, listener: () => void) => {
      target.addEventListener(type, listener);
      this.#ends.push(() => target.removeEventListener(type, listener));
    };
    on(window, "online", () => this.#wake());
    on(window, "offline", () => this.game.lost());
    on(window, "pageshow", () => this.#wake());
    on(window, "pagehide", () => this.game.flush());
    on(document, "visibilitychange", () => (document.visibilityState === "hidden" ? this.game.flush() : this.#wake()));
    return () => this.dispose();
  }

  /** Ends everything. */
  dispose(): void {
    for (const end of this.#ends.splice(0)) end();
    this.#stop();
    this.session.dispose();
  }

  /** Gives the guest a username and a password. */
  async register(account: { username: string; password: string; displayName?: string }): Promise<Identity> {
    const identity = await this.session.register(account);
    this.game.wake();
    return identity;
  }

  /** Signs in as another player. */
  async signIn(username: string, password: string): Promise<Identity> {
    const identity = await this.session.signIn(username, password);
    this.#restart();
    return identity;
  }

  /** Ends the session and begins as a new guest. */
  async signOut(): Promise<void> {
    // What was done belongs to the player who leaves.
    await this.game.settled(3000);
    this.#stop();
    await this.session.signOut();
    await this.start();
  }

  /** Deletes the player and begins as a new guest. */
  async deletePlayer(): Promise<void> {
    // A poll that waits would be refused.
    this.notifications.stop();
    try {
      await this.game.authorized((token) => this.transport("delete", "/api/v1/me", { token }));
    } catch (error) {
      this.notifications.start();
      throw error;
    }
    this.#stop();
    this.session.ended();
    await this.start();
  }

  async changePassword(current: string, next: string): Promise<void> {
    const body = { current_password: current, new_password: next };
    await this.game.authorized((token) => this.transport("post", "/api/v1/auth/password", { body, token }));
  }

  async sessions() {
    return this.#read(await this.game.authorized((token) => this.transport("get", "/api/v1/auth/sessions", { token })));
  }

  async endSession(id: string): Promise<void> {
    const path = { id };
    await this.game.authorized((token) => this.transport("delete", "/api/v1/auth/sessions/{id}", { path, token }));
  }

  async endOtherSessions(): Promise<void> {
    await this.game.authorized((token) => this.transport("delete", "/api/v1/auth/sessions", { token }));
  }

  async ledger(cursor?: string) {
    const query = { limit: 50, ...(cursor !== undefined && { cursor }) };
    return this.#read(
      await this.game.authorized((token) => this.transport("get", "/api/v1/me/ledger", { query, token })),
    );
  }

  async export() {
    return this.#read(await this.game.authorized((token) => this.transport("get", "/api/v1/me/export", { token })));
  }

  async rankings(board: Board, offset = 0) {
    return this.#read(await this.transport("get", "/api/v1/rankings", { query: { board, limit: 50, offset } }));
  }

  async ownRanking(board: Board) {
    const query = { board, around: 5 };
    return this.#read(
      await this.game.authorized((token) => this.transport("get", "/api/v1/rankings/me", { query, token })),
    );
  }

  async seasons() {
    return this.#read(await this.transport("get", "/api/v1/seasons", { query: {} }));
  }

  async seasonRankings(id: string) {
    return this.#read(
      await this.transport("get", "/api/v1/seasons/{id}/rankings", { path: { id }, query: { limit: 50 } }),
    );
  }

  #read<T>(answer: { body: T | undefined }): T {
    if (answer.body === undefined) throw new Problem("internal", 500, "an empty answer", undefined, undefined);
    return answer.body;
  }

  #mayHaveSession(): boolean {
    if (this.options.mayHaveSession !== undefined) return this.options.mayHaveSession();
    if (this.options.tokens?.kind === "stored") return this.options.tokens.read() !== null;
    return (this.options.baseUrl ?? "") !== "" || document.cookie.split("; ").some((it) => it.startsWith(`${HINT}=`));
  }

  /** Shows the present player of the browser, and nothing of the one before. */
  #restart(): void {
    this.#stop();
    this.#play();
  }

  #sessionEnded(reason: "elsewhere" | "ended"): void {
    this.#stop();
    // Another tab has signed in or out and stores its new session first.
    const pause = reason === "elsewhere" ? 250 : 0;
    setTimeout(() => void this.start().catch(() => this.game.lost()), pause);
  }
}

export function createIdlewatt(options: Options = {}): Idlewatt {
  return new Idlewatt(options);
}
