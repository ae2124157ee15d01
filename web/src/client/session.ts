import { Problem } from "./problem";
import type { Transport } from "./transport";
import type { SignedIn, Tokens } from "./types";

/**
 * Where the refresh token is kept. In a cookie that scripts cannot read if the page and the server belong to one site;
 * otherwise in a storage of the page.
 */
export type TokenStore =
  | { kind: "cookie" }
  | { kind: "stored"; read(): string | null; write(token: string | null): void };

/** Keeps the refresh token in `localStorage`, for pages whose server is on another site. */
export function localTokens(name = "idlewatt-session", storage: Storage = localStorage): TokenStore {
  return {
    kind: "stored",
    read: () => storage.getItem(name),
    write: (token) => (token === null ? storage.removeItem(name) : storage.setItem(name, token)),
  };
}

/** Who is signed in. */
export interface Identity {
  playerId: string;
  /** Null for guests. */
  username: string | null;
}

/** A message between the tabs of a browser: another player is signed in now, or none. */
const CHANNEL = "idlewatt-session";

/** Refreshes an access token this long before it expires. */
const EARLY_MS = 60_000;

/**
 * The session of the page: signs in and out, and has a valid access token. Tabs share the refresh token. They refresh
 * without a lock, because the server answers concurrent refreshes with the same successor.
 */
export class SessionClient {
  #access: { token: string; expiresAt: number } | undefined;
  #refreshing: Promise<string> | undefined;
  /** Rises when somebody signs in or out, so that the result of an earlier refresh is dropped. */
  #epoch = 0;
  readonly #channel = typeof BroadcastChannel === "undefined" ? undefined : new BroadcastChannel(CHANNEL);

  constructor(
    readonly transport: Transport,
    readonly tokens: TokenStore,
    /** Called when another tab has signed in or out, or when the session has ended. */
    readonly onEnd: (reason: "elsewhere" | "ended") => void,
  ) {
    this.#channel?.addEventListener("message", () => {
      this.#forget();
      this.onEnd("elsewhere");
    });
  }

  /** Stops listening to other tabs. */
  dispose(): void {
    this.#channel?.close();
  }

  /**
   * Continues the session of an earlier visit. Returns whether there is one. Throws a `Problem` if that is unknown, or
   * if the player is banned.
   */
  async resume(): Promise<boolean> {
    try {
      await this.token();
      return true;
    } catch (error) {
      if (error instanceof Problem && error.status === 401) return false;
      throw error;
    }
  }

  /** Creates a guest and signs in. */
  async signInAsGuest(): Promise<Identity> {
    const body = { session: this.#kind() };
    const { body: signedIn } = await this.transport("post", "/api/v1/auth/guest", { body });
    return this.#accept(signedIn);
  }

  /** Gives the guest a username and a password; it keeps its progress. */
  async register(account: { username: string; password: string; displayName?: string }): Promise<Identity> {
    const { username, password, displayName } = account;
    const body = { username, password, session: this.#kind(), ...(displayName && { display_name: displayName }) };
    const token = await this.token();
    const { body: signedIn } = await this.transport("post", "/api/v1/auth/register", { body, token });
    return this.#accept(signedIn);
  }

  /** Signs in with a username. */
  async signIn(username: string, password: string): Promise<Identity> {
    const body = { username, password, session: this.#kind() };
    const { body: signedIn } = await this.transport("post", "/api/v1/auth/login", { body });
    return this.#accept(signedIn);
  }

  /** Ends the session, here and on the server. */
  async signOut(): Promise<void> {
    const access = this.#access;
    this.#forget();
    const stored = this.tokens.kind === "stored" ? this.tokens.read() : null;
    if (this.tokens.kind === "stored") this.tokens.write(null);
    this.#tellTabs();
    const request = access === undefined ? {} : { token: access.token };
    if (access !== undefined || stored === null)
      await this.transport("post", "/api/v1/auth/logout", { body: {}, ...request });
  }

  /** Forgets the session after the server has ended it, for example by deleting the player. */
  ended(): void {
    this.#forget();
    if (this.tokens.kind === "stored") this.tokens.write(null);
    this.#tellTabs();
  }

  /** A valid access token. Throws a `Problem` if there is no session. */
  async token(): Promise<string> {
    if (this.#access !== undefined && performance.now() < this.#access.expiresAt) return this.#access.token;
    this.#refreshing ??= this.#refresh().finally(() => {
      this.#refreshing = undefined;
    });
    return this.#refreshing;
  }

  /** Makes the next call refresh, after the server has refused the access token. */
  distrust(token: string): void {
    if (this.#access?.token === token) this.#access = undefined;
  }

  async #refresh(): Promise<string> {
    const epoch = this.#epoch;
    // Read anew: another tab may have replaced it.
    const stored = this.tokens.kind === "stored" ? this.tokens.read() : undefined;
    if (stored === null) throw new Problem("unauthenticated", 401, "there is no session", undefined, undefined);
    const body = stored === undefined ? {} : { refresh_token: stored };
    let tokens: Tokens | undefined;
    try {
      tokens = (await this.transport("post", "/api/v1/auth/refresh", { body })).body?.tokens;
    } catch (error) {
      const isOver = error instanceof Problem && error.status === 401;
      if (isOver && epoch === this.#epoch) {
        if (this.tokens.kind === "stored" && this.tokens.read() === stored) this.tokens.write(null);
        if (this.#wasSignedIn) this.onEnd("ended");
        this.#forget();
      }
      throw error;
    }
    if (epoch !== this.#epoch || tokens === undefined) {
      throw new Problem("unauthenticated", 401, "the session has changed", undefined, undefined);
    }
    this.#keep(tokens);
    return tokens.access_token;
  }

  #wasSignedIn = false;

  #accept(signedIn: SignedIn | undefined): Identity {
    if (signedIn === undefined) throw new Problem("internal", 500, "an empty answer", undefined, undefined);
    this.#epoch += 1;
    this.#keep(signedIn.tokens);
    this.#tellTabs();
    return { playerId: signedIn.player.id, username: signedIn.player.username };
  }

  #keep(tokens: Tokens): void {
    const lifetime = Math.max(tokens.expires_in * 1000 - EARLY_MS, (tokens.expires_in * 1000) / 2);
    this.#access = { token: tokens.access_token, expiresAt: performance.now() + lifetime };
    this.#wasSignedIn = true;
    if (this.tokens.kind === "stored" && tokens.refresh_token !== undefined) this.tokens.write(tokens.refresh_token);
  }

  #forget(): void {
    this.#epoch += 1;
    this.#access = undefined;
    this.#wasSignedIn = false;
  }

  #tellTabs(): void {
    this.#channel?.postMessage("changed");
  }

  #kind(): "cookie" | "token" {
    return this.tokens.kind === "cookie" ? "cookie" : "token";
  }
}
