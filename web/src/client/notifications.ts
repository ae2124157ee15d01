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
/** The notifications of a page of the list. */
const PAGE = 30;
/** After this many new ones the list is read again, so that a page that is open for weeks does not grow. */
const MOST_ADDED = 100;
/** The stream that everybody reads. */
const ANNOUNCEMENTS = "announcements";

/** What a page shows. Replaced as a whole at every change. */
export interface News {
  /** Newest first. */
  entries: readonly Notification[];
  /** The cursor of older ones; `null` if there are none, `undefined` until the list was read. */
  cursor: string | null | undefined;
  unread: UnreadCounts;
  /** Types that the player does not want; `undefined` until they were read. */
  mutedTypes: readonly string[] | undefined;
  /** The last important one that came while the page was open, until it is dismissed. */
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
  /** Which reading of the list is wanted, and which one is shown. The list is read while they differ. */
  #wanted = 1;
  #shown = 0;
  /** How many came since the list was read. */
  #added = 0;
  /** Rises with every event, so that an older answer does not replace the counts of a newer event. */
  #applied = 0;
  /** The last change of the settings; the next one waits for it. */
  #storing: Promise<unknown> = Promise.resolve();
  #unstored = 0;

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
    this.#positions = undefined;
    this.reload();
    this.#set(NOTHING);
  }

  /** Continues at once, for example because the page became visible or the network returned. */
  wake(): void {
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
    this.#wanted += 1;
    this.#abort.abort();
    this.#abort = new AbortController();
    this.#wake?.();
  }

  /** Marks all notifications as read. */
  async markAllRead(): Promise<void> {
    const positions = this.#positions;
    if (positions === undefined) return;
    const body = { through: positions.own.after, announcements_through: positions.announcements };
    const life = this.#life;
    const applied = this.#applied;
    const restore = this.#assume(() => {
      this.#markRead(() => true);
      this.#set({ unread: NOTHING.unread });
    });
    try {
      const { body: answer } = await this.authorized((token) =>
        this.transport("post", "/api/v1/me/notifications/read", { body, token }),
      );
      const isNewest = life === this.#life && applied === this.#applied;
      if (isNewest && answer !== undefined) this.#set({ unread: answer.unread });
    } catch (error) {
      restore();
      throw error;
    }
  }

  /** Removes a notification from the list. */
  async remove(id: string): Promise<void> {
    const restore = this.#assume(() => this.#drop(id, undefined));
    try {
      await this.authorized((token) =>
        this.transport("delete", "/api/v1/me/notifications/{id}", { path: { id }, token }),
      );
    } catch (error) {
      // Another tab has removed it.
      if (error instanceof Problem && error.status === 404) return;
      restore();
      throw error;
    }
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
    this.#set({ entries, cursor: page.next_cursor });
  }

  /** Sets which types of notifications the player does not want. */
  async muteTypes(types: readonly string[]): Promise<void> {
    const life = this.#life;
    const body = { muted_types: [...types] };
    this.#set({ mutedTypes: body.muted_types });
    // One after the other, so that the last choice is the one that stays.
    const put = async () => {
      if (life !== this.#life) return;
      await this.authorized((token) => this.transport("put", "/api/v1/me/notification-settings", { body, token }));
    };
    const stored = this.#storing.then(put);
    this.#storing = stored.catch(() => undefined);
    this.#unstored += 1;
    try {
      await stored;
    } finally {
      this.#unstored -= 1;
      // Shows what is stored after a failure too. And muted announcements do not count.
      this.reload();
    }
  }

  /** Dismisses the message about the last important one. */
  dismissArrived(): void {
    this.#set({ arrived: undefined });
  }

  async #run(life: number): Promise<void> {
    let failures = 0;
    while (life === this.#life) {
      try {
        await this.#untilVisible(life);
        if (life !== this.#life) return;
        if (this.#positions === undefined || this.#shown !== this.#wanted) await this.#load(life);
        else await this.#poll(life, this.#positions);
        failures = 0;
      } catch (error) {
        if (life !== this.#life) return;
        if (!(error instanceof Problem)) console.error(error);
        const most = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** failures);
        failures += 1;
        const asked = error instanceof Problem ? error.retryAfterMs : undefined;
        // What the server asks for is not cut short.
        if (asked !== undefined) await new Promise((resolve) => setTimeout(resolve, asked));
        if (life !== this.#life) return;
        // Random, so that clients do not return at the same moment.
        await this.#pause(Math.random() * most);
      }
    }
  }

  /** Waits until the page is visible, if it was hidden for long. */
  async #untilVisible(life: number): Promise<void> {
    while (life === this.#life && this.environment.isHidden()) {
      this.#hiddenSince ??= Date.now();
      if (Date.now() - this.#hiddenSince < HIDDEN_MS) return;
      await this.#pause(undefined);
    }
    this.#hiddenSince = undefined;
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
    const wanted = this.#wanted;
    const streams = await this.authorized((token) => this.transport("get", "/api/v1/me/streams", { token }));
    const [page, settings] = await Promise.all([
      this.#readList(undefined),
      this.authorized((token) => this.transport("get", "/api/v1/me/notification-settings", { token })),
    ]);
    const own = streams.body?.streams.find((it) => it.stream.startsWith("player:"));
    if (life !== this.#life || wanted !== this.#wanted) return;
    if (streams.body === undefined || page === undefined || own === undefined) {
      throw new Problem("internal", 500, "an empty answer", undefined, undefined);
    }
    // The list has everything up to these heads.
    this.#positions = {
      epoch: streams.body.epoch,
      own: { stream: own.stream, after: page.head },
      announcements: page.announcements_head,
    };
    this.#shown = wanted;
    this.#added = 0;
    this.#applied += 1;
    this.#set({
      entries: page.entries,
      cursor: page.next_cursor,
      unread: page.unread,
      // A choice that is not stored yet stays.
      ...(this.#unstored === 0 && { mutedTypes: settings.body?.muted_types ?? [] }),
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
      stream: [`${own.stream}@${own.after}`, `${ANNOUNCEMENTS}@${announcements}`],
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
    if (life !== this.#life || polled === undefined || signal.aborted) return;
    if (polled.streams.some((it) => it.resync)) {
      this.#positions = undefined;
      // After the database was restored all clients are told so at once.
      await this.#pause(Math.random() * FIRST_PAUSE_MS);
      return;
    }
    if (polled.events.length === 0 && answer.receivedAt - answer.sentAt < 1000) {
      // A server that stops answers at once. Another one is asked in a moment.
      await this.#pause(1000 * Math.random());
      return;
    }
    // Before they are applied, so that one that cannot be applied does not come again and again.
    for (const event of polled.events) {
      if (event.stream === own.stream) own.after = event.sequence;
      else positions.announcements = event.sequence;
    }
    for (const event of inOrderOfTime(polled.events)) this.#apply(event);
  }

  #apply(event: StreamEvent): void {
    const data = event.data as Record<string, unknown>;
    this.#applied += 1;
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

  /** Shows the expected result of a call. Returns what shows the truth again if the call fails. */
  #assume(change: () => void): () => void {
    const life = this.#life;
    const before = this.#news;
    change();
    const { entries } = this.#news;
    return () => {
      if (life !== this.#life) return;
      if (this.#news.entries === entries) this.#set({ entries: before.entries, unread: before.unread });
      // The call may have been made although its answer was lost.
      this.reload();
    };
  }

  #counts(it: Notification): boolean {
    const isMuted = it.announcement && it.priority !== "high" && (this.#news.mutedTypes ?? []).includes(it.type);
    return it.read_at === null && !isMuted;
  }

  #add(notification: Notification): void {
    if (this.#news.entries.some((it) => it.id === notification.id)) return;
    // Newest first. Of the same moment it is the last one that comes first, as in the list of the server.
    const index = this.#news.entries.findIndex((it) => it.at <= notification.at);
    const entries = this.#news.entries.toSpliced(index === -1 ? this.#news.entries.length : index, 0, notification);
    const unread = this.#counts(notification) ? this.#count(notification, 1) : this.#news.unread;
    const isImportant = notification.priority === "high" && notification.read_at === null;
    this.#set({ entries, unread, ...(isImportant && { arrived: notification }) });
    this.#added += 1;
    if (this.#added >= MOST_ADDED) this.reload();
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

/** The events of both streams by time. Within a stream they keep their order, even if a clock went back. */
function inOrderOfTime(events: readonly StreamEvent[]): StreamEvent[] {
  const own = events.filter((it) => it.stream !== ANNOUNCEMENTS);
  const common = events.filter((it) => it.stream === ANNOUNCEMENTS);
  const ordered: StreamEvent[] = [];
  for (;;) {
    const [first, second] = [own[0], common[0]];
    const next = second === undefined || (first !== undefined && first.at <= second.at) ? own.shift() : common.shift();
    if (next === undefined) return ordered;
    ordered.push(next);
  }
}
