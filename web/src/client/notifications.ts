import type { Environment } from "./game";
import { Problem } from "./problem";
import type { Transport } from "./transport";
import type { Announcement, Notification, StreamEvent, UnreadCounts } from "./types";

/** Seconds that the server waits for events. */
const WAIT_SECONDS = 25;
/** Milliseconds after which a poll without an answer has failed: longer than the wait. */
const POLL_TIMEOUT_MS = 40_000;
/** The pause after a failure is random, below this, and twice as long after each further failure. */
const FIRST_PAUSE_MS = 2000;
const LONGEST_PAUSE_MS = 30_000;
/** A page that was hidden for this long does not poll until it is visible. */
const HIDDEN_MS = 5 * 60_000;
/** The notifications of a page of the list, and how many are kept in memory. */
const PAGE = 30;
const MOST = 200;

/** What a page shows. Replaced as a whole at every change. */
export interface News {
  /** Newest first. */
  entries: readonly Notification[];
  /** The cursor of older ones; `null` if there are none, `undefined` until the list was read. */
  cursor: string | null | undefined;
  unread: UnreadCounts;
  /** Types that the player does not want; `undefined` until they were read. */
  mutedTypes: readonly string[] | undefined;
  /** The last one that came while the page was open, until it is dismissed. */
  arrived: Notification | undefined;
}

const NOTHING: News = {
  entries: [],
  cursor: undefined,
  unread: { high: 0, medium: 0, low: 0 },
  mutedTypes: undefined,
  arrived: undefined,
};

/** The number of unread notifications. */
export function unreadCount(unread: UnreadCounts): number {
  return unread.high + unread.medium + unread.low;
}

/** Positions in the streams of the player. */
interface Positions {
  epoch: string;
  own: { stream: string; after: number };
  announcements: number;
}

type Authorized = <T>(call: (token: string) => Promise<T>) => Promise<T>;

/**
 * The notifications of the signed-in player. It reads the list, and then follows the player's streams by polls that wait,
 * so a notification appears a moment after it was sent.
 */
export class NotificationsClient {
  #news: News = NOTHING;
  readonly #listeners = new Set<() => void>();
  #positions: Positions | undefined;
  /** Rises when the player changes, so that answers about the one before are dropped. */
  #life = 0;
  #abort = new AbortController();
  #wake: (() => void) | undefined;
  #hiddenSince: number | undefined;
  #language = "en";

  constructor(
    readonly transport: Transport,
    readonly authorized: Authorized,
    readonly environment: Environment,
  ) {}

  get snapshot(): News {
    return this.#news;
  }

  /** Calls `listener` after every change. Returns a function that ends it. */
  subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  /** Begins to follow the streams of the player who is signed in. */
  start(): void {
    this.stop();
    void this.#run(this.#life);
  }

  /** Stops and forgets everything about the player. */
  stop(): void {
    this.#life += 1;
    this.#abort.abort();
    this.#abort = new AbortController();
    this.#wake?.();
    this.#positions = undefined;
    this.#set(NOTHING);
  }

  /** Continues at once, for example because the page became visible or the network returned. */
  wake(): void {
    this.#hiddenSince = undefined;
    this.#wake?.();
  }

  /** Sets the language of texts, and reads the list again if it changes. */
  setLanguage(language: string): void {
    if (language === this.#language) return;
    this.#language = language;
    this.reload();
  }

  /** Reads the list again. */
  reload(): void {
    if (this.#positions === undefined) return;
    this.#positions = undefined;
    this.#abort.abort();
    this.#abort = new AbortController();
  }

  /** Marks all notifications as read. */
  async markAllRead(): Promise<void> {
    const positions = this.#positions;
    if (positions === undefined) return;
    const life = this.#life;
    const body = { through: positions.own.after, announcements_through: positions.announcements };
    const answer = await this.authorized((token) =>
      this.transport("post", "/api/v1/me/notifications/read", { body, token }),
    );
    if (life !== this.#life || answer.body === undefined) return;
    this.#markRead((it) => it.sequence <= (it.announcement ? positions.announcements : positions.own.after));
    this.#set({ unread: answer.body.unread });
  }

  /** Removes a notification from the list. */
  async remove(id: string): Promise<void> {
    const life = this.#life;
    try {
      await this.authorized((token) =>
        this.transport("delete", "/api/v1/me/notifications/{id}", { path: { id }, token }),
      );
    } catch (error) {
      // Another tab has removed it.
      if (!(error instanceof Problem) || error.status !== 404) throw error;
    }
    if (life === this.#life) this.#drop(id, undefined);
  }

  /** Reads older notifications. */
  async loadMore(): Promise<void> {
    const { cursor } = this.#news;
    if (cursor === undefined || cursor === null) return;
    const life = this.#life;
    const page = await this.#readList(cursor);
    if (life !== this.#life || page === undefined || this.#news.cursor !== cursor) return;
    const known = new Set(this.#news.entries.map((it) => it.id));
    const entries = [...this.#news.entries, ...page.entries.filter((it) => !known.has(it.id))];
    this.#set({ entries, cursor: entries.length < MOST ? page.next_cursor : null });
  }

  /** Sets which types of notifications the player does not want. */
  async muteTypes(types: readonly string[]): Promise<void> {
    const life = this.#life;
    const before = this.#news.mutedTypes;
    const body = { muted_types: [...types] };
    this.#set({ mutedTypes: body.muted_types });
    try {
      await this.authorized((token) => this.transport("put", "/api/v1/me/notification-settings", { body, token }));
    } catch (error) {
      if (life === this.#life) this.#set({ mutedTypes: before });
      throw error;
    }
    if (life !== this.#life) return;
    // Muted announcements do not count.
    this.reload();
  }

  /** Dismisses the message about the last one that came. */
  dismissArrived(): void {
    this.#set({ arrived: undefined });
  }

  async #run(life: number): Promise<void> {
    let failures = 0;
    while (life === this.#life) {
      try {
        await this.#untilVisible();
        if (life !== this.#life) return;
        if (this.#positions === undefined) await this.#load(life);
        else await this.#poll(life, this.#positions);
        failures = 0;
      } catch (error) {
        if (life !== this.#life) return;
        if (!(error instanceof Problem)) console.error(error);
        const most = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** failures);
        failures += 1;
        const asked = error instanceof Problem ? (error.retryAfterMs ?? 0) : 0;
        // Random, so that clients do not return at the same moment.
        await this.#pause(Math.max(asked, Math.random() * most));
      }
    }
  }

  /** Waits until the page is visible, if it was hidden for long. */
  async #untilVisible(): Promise<void> {
    if (!this.environment.isHidden()) {
      this.#hiddenSince = undefined;
      return;
    }
    this.#hiddenSince ??= Date.now();
    const left = this.#hiddenSince + HIDDEN_MS - Date.now();
    if (left <= 0) await this.#pause(undefined);
  }

  /** Waits for `ms` milliseconds, or until the next wake-up. */
  #pause(ms: number | undefined): Promise<void> {
    return new Promise((resolve) => {
      const timer = ms === undefined ? undefined : setTimeout(() => this.#wake?.(), ms);
      this.#wake = () => {
        clearTimeout(timer);
        this.#wake = undefined;
        resolve();
      };
    });
  }

  async #load(life: number): Promise<void> {
    const streams = await this.authorized((token) => this.transport("get", "/api/v1/me/streams", { token }));
    const [page, settings] = await Promise.all([
      this.#readList(undefined),
      this.authorized((token) => this.transport("get", "/api/v1/me/notification-settings", { token })),
    ]);
    const own = streams.body?.streams.find((it) => it.stream.startsWith("player:"));
    if (life !== this.#life || streams.body === undefined || page === undefined || own === undefined) return;
    // The list has everything up to these heads.
    this.#positions = {
      epoch: streams.body.epoch,
      own: { stream: own.stream, after: page.head },
      announcements: page.announcements_head,
    };
    this.#set({
      entries: page.entries,
      cursor: page.next_cursor,
      unread: page.unread,
      mutedTypes: settings.body?.muted_types ?? [],
    });
  }

  async #readList(cursor: string | undefined) {
    const query = { limit: PAGE, ...(cursor !== undefined && { cursor }) };
    const language = this.#language;
    const answer = await this.authorized((token) =>
      this.transport("get", "/api/v1/me/notifications", { query, token, language }),
    );
    return answer.body;
  }

  async #poll(life: number, positions: Positions): Promise<void> {
    const { epoch, own, announcements } = positions;
    const query = {
      stream: [`${own.stream}@${own.after}`, `announcements@${announcements}`],
      epoch,
      wait: WAIT_SECONDS,
    };
    const { signal } = this.#abort;
    const language = this.#language;
    const timeoutMs = POLL_TIMEOUT_MS;
    let answer: Awaited<ReturnType<typeof this.transport<"/api/v1/events", "get">>>;
    try {
      answer = await this.authorized((token) =>
        this.transport("get", "/api/v1/events", { query, token, signal, timeoutMs, language }),
      );
    } catch (error) {
      // The list is to be read again.
      if (signal.aborted) return;
      // Another tab has signed in as another player, whose streams are others.
      if (error instanceof Problem && error.status === 404) this.#positions = undefined;
      throw error;
    }
    const polled = answer.body;
    if (life !== this.#life || polled === undefined || this.#positions !== positions) return;
    if (polled.streams.some((it) => it.resync)) {
      this.#positions = undefined;
      return;
    }
    if (polled.events.length === 0 && answer.receivedAt - answer.sentAt < 1000) {
      // A server that stops answers at once. Another one is asked in a moment.
      await this.#pause(1000 * Math.random());
    }
    // What happened first comes first, whatever its stream.
    const events = [...polled.events].sort((a, b) => a.at.localeCompare(b.at));
    for (const event of events) this.#apply(event);
    for (const event of polled.events) {
      if (event.stream === own.stream) own.after = event.sequence;
      else positions.announcements = event.sequence;
    }
  }

  #apply(event: StreamEvent): void {
    const data = event.data as Record<string, unknown>;
    if (event.type === "notification.created") {
      // Of what was deleted meanwhile only the id is left.
      if (data["title"] !== undefined) this.#add(event.data as Notification);
    } else if (event.type === "announcement.created") {
      if (data["title"] !== undefined) this.#add(this.#translated(event.data as Announcement));
    } else if (event.type === "notification.read") {
      const ids = new Set(data["ids"] as string[] | undefined);
      const through = Number(data["through"] ?? 0);
      const announcementsThrough = Number(data["announcements_through"] ?? 0);
      this.#markRead((it) => ids.has(it.id) || it.sequence <= (it.announcement ? announcementsThrough : through));
      this.#set({ unread: data["unread"] as UnreadCounts });
    } else if (event.type === "notification.deleted") {
      this.#drop(String(data["id"]), data["unread"] as UnreadCounts);
    } else if (event.type === "announcement.withdrawn") {
      this.#drop(String(data["id"]), undefined);
    }
  }

  #translated(announcement: Announcement): Notification {
    const text = (it: Announcement["title"]) => (this.#language === "ko" ? it.ko : undefined) ?? it.en;
    return { ...announcement, title: text(announcement.title), body: text(announcement.body), read_at: null };
  }

  #counts(it: Notification): boolean {
    const isMuted = it.announcement && it.priority !== "high" && (this.#news.mutedTypes ?? []).includes(it.type);
    return it.read_at === null && !isMuted;
  }

  #add(notification: Notification): void {
    if (this.#news.entries.some((it) => it.id === notification.id)) return;
    const entries = [notification, ...this.#news.entries].slice(0, MOST);
    const unread = this.#counts(notification) ? this.#count(notification, 1) : this.#news.unread;
    this.#set({ entries, unread, arrived: notification });
  }

  #drop(id: string, unread: UnreadCounts | undefined): void {
    const dropped = this.#news.entries.find((it) => it.id === id);
    const counted = dropped !== undefined && this.#counts(dropped) ? this.#count(dropped, -1) : this.#news.unread;
    const arrived = this.#news.arrived?.id === id ? undefined : this.#news.arrived;
    this.#set({ entries: this.#news.entries.filter((it) => it.id !== id), unread: unread ?? counted, arrived });
  }

  #count(notification: Notification, change: number): UnreadCounts {
    const { unread } = this.#news;
    return { ...unread, [notification.priority]: Math.max(0, unread[notification.priority] + change) };
  }

  #markRead(isMarked: (it: Notification) => boolean): void {
    const now = new Date().toISOString();
    const entries = this.#news.entries.map((it) =>
      it.read_at === null && isMarked(it) ? { ...it, read_at: now } : it,
    );
    this.#set({ entries });
  }

  #set(change: Partial<News>): void {
    this.#news = { ...this.#news, ...change };
    for (const listener of [...this.#listeners]) listener();
  }
}
