import { type MouseEvent, useEffect, useRef, useState } from "react";
import type { Notification } from "../client";
import { unreadCount } from "../client";
import { useClient, useNews } from "../hooks";
import { useWords } from "../i18n";
import css from "./bell.module.css";
import { Dialog } from "./Dialog";
import { explain } from "./explain";
import lists from "./lists.module.css";

/** What the game itself notifies of. Operators may send other types, which cannot be chosen here. */
const TYPES = ["offline_cap_reached", "new_sign_in", "grant", "season_ended"] as const;

/** Milliseconds after which the shown ages are counted anew. */
const AGES_MS = 30_000;

/** The notifications of the player, and which of them are wanted. */
export default function News({ onClose }: { onClose(): void }) {
  const { notifications } = useClient();
  const { m } = useWords();
  const { entries, cursor, unread } = useNews();
  const now = useServerTime();
  const list = useRef<HTMLUListElement>(null);
  const [error, setError] = useState<unknown>();
  const attempt = (call: Promise<void>) => {
    setError(undefined);
    return call.catch(setError);
  };
  const count = unreadCount(unread);
  const remove = (event: MouseEvent, id: string) => {
    // The button disappears, so the focus goes to the next one.
    const entry = event.currentTarget.closest("li");
    const next = entry?.nextElementSibling ?? entry?.previousElementSibling ?? entry?.closest("dialog");
    next?.querySelector("button")?.focus();
    void attempt(notifications.remove(id));
  };
  const loadMore = async () => {
    const last = list.current?.lastElementChild;
    await attempt(notifications.loadMore());
    // After the last page there is no such button any more.
    if (document.activeElement === document.body) last?.nextElementSibling?.querySelector("button")?.focus();
  };
  const head = (
    <>
      <button type="button" className={css.close} data-testid="news-close" aria-label={m.news.close} onClick={onClose}>
        ✕
      </button>
      <div className={css.row}>
        <span className={lists.quiet} role="status" data-testid="news-unread">
          {m.news.unread(count, 0)}
        </span>
        {entries.length > 0 && (
          <button
            type="button"
            data-testid="news-read"
            aria-disabled={count === 0}
            onClick={() => count > 0 && void attempt(notifications.markAllRead())}
          >
            {m.news.markRead}
          </button>
        )}
      </div>
      {error !== undefined && (
        <p className={css.error} role="alert">
          {explain(error, m)}
        </p>
      )}
    </>
  );
  return (
    <Dialog title={m.news.title} onClose={onClose} head={head}>
      <Settings attempt={attempt} />
      {cursor === undefined && <p className={lists.quiet}>{m.loading}</p>}
      {cursor !== undefined && entries.length === 0 && <p className={lists.quiet}>{m.news.empty}</p>}
      {entries.length > 0 && (
        <ul className={css.list} ref={list}>
          {entries.map((it) => (
            <Entry key={it.id} entry={it} now={now} onRemove={remove} />
          ))}
        </ul>
      )}
      {typeof cursor === "string" && (
        <button type="button" data-testid="news-more" onClick={() => void loadMore()}>
          {m.news.more}
        </button>
      )}
    </Dialog>
  );
}

/** The time of the server, rendered again now and then. */
function useServerTime(): number {
  const { game } = useClient();
  const [now, setNow] = useState(() => game.clock.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(game.clock.now()), AGES_MS);
    return () => clearInterval(timer);
  }, [game]);
  return now;
}

interface EntryProps {
  entry: Notification;
  now: number;
  onRemove(event: MouseEvent, id: string): void;
}

function Entry({ entry, now, onRemove }: EntryProps) {
  const { m, ago, time } = useWords();
  const isRead = entry.read_at !== null;
  return (
    <li className={css.entry} data-read={isRead} data-testid="news-entry">
      <div>
        <h3>
          {!isRead && (
            <>
              <i className={css.dot} aria-hidden="true" />
              <span className="hidden">{m.news.new} </span>
            </>
          )}
          {entry.priority === "high" && <span className={css.high}>{m.news.high} </span>}
          {entry.title}
        </h3>
        <small>
          <time dateTime={entry.at} title={time(entry.at)}>
            {ago((now - Date.parse(entry.at)) / 1000)}
          </time>
        </small>
      </div>
      <button
        type="button"
        className={css.remove}
        data-testid="news-remove"
        aria-label={m.news.remove(entry.title)}
        onClick={(event) => onRemove(event, entry.id)}
      >
        ✕
      </button>
      {entry.body !== "" && <p>{entry.body}</p>}
    </li>
  );
}

function Settings({ attempt }: { attempt(call: Promise<void>): Promise<void> }) {
  const { notifications } = useClient();
  const { m } = useWords();
  const { mutedTypes } = useNews();
  const choose = (type: string, isMuted: boolean) => {
    const others = (mutedTypes ?? []).filter((it) => it !== type);
    void attempt(notifications.muteTypes(isMuted ? [...others, type] : others));
  };
  return (
    <details className={css.settings}>
      <summary data-testid="news-settings">{m.news.settings}</summary>
      <fieldset className={css.types} disabled={mutedTypes === undefined}>
        <legend className="hidden">{m.news.settings}</legend>
        {TYPES.map((type) => (
          <label key={type}>
            <input
              type="checkbox"
              checked={mutedTypes?.includes(type) !== true}
              data-testid={`news-${type}`}
              onChange={(event) => choose(type, !event.target.checked)}
            />
            {m.news.types[type] ?? type}
          </label>
        ))}
      </fieldset>
      <p className={lists.quiet}>{m.news.highHint}</p>
    </details>
  );
}
