import { useState } from "react";
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

/** The notifications of the player, and which of them are wanted. */
export default function News({ onClose }: { onClose(): void }) {
  const { notifications } = useClient();
  const { m } = useWords();
  const { entries, cursor, unread, mutedTypes } = useNews();
  const [error, setError] = useState<unknown>();
  const attempt = (call: Promise<void>) => {
    setError(undefined);
    call.catch(setError);
  };
  return (
    <Dialog title={m.news.title} onClose={onClose}>
      {error !== undefined && (
        <p className={lists.error} role="alert">
          {explain(error, m)}
        </p>
      )}
      <div className={lists.row}>
        <span className={lists.quiet} role="status" data-testid="news-unread">
          {m.news.unread(unreadCount(unread))}
        </span>
        <button
          type="button"
          data-testid="news-read"
          disabled={unreadCount(unread) === 0}
          onClick={() => attempt(notifications.markAllRead())}
        >
          {m.news.markRead}
        </button>
      </div>
      {cursor === undefined && <p className={lists.quiet}>{m.loading}</p>}
      {cursor !== undefined && entries.length === 0 && <p className={lists.quiet}>{m.news.empty}</p>}
      <ul className={css.list}>
        {entries.map((it) => (
          <Entry key={it.id} entry={it} onRemove={() => attempt(notifications.remove(it.id))} />
        ))}
      </ul>
      {typeof cursor === "string" && (
        <button type="button" onClick={() => attempt(notifications.loadMore())}>
          {m.news.more}
        </button>
      )}
      <details>
        <summary>{m.news.settings}</summary>
        <fieldset className={css.types} disabled={mutedTypes === undefined}>
          {TYPES.map((type) => {
            const isMuted = mutedTypes?.includes(type) === true;
            const others = (mutedTypes ?? []).filter((it) => it !== type);
            return (
              <label key={type}>
                <input
                  type="checkbox"
                  checked={!isMuted}
                  data-testid={`news-${type}`}
                  onChange={() => attempt(notifications.muteTypes(isMuted ? others : [...others, type]))}
                />
                {m.news.types[type] ?? type}
              </label>
            );
          })}
        </fieldset>
        <p className={lists.quiet}>{m.news.highHint}</p>
      </details>
      <div className="actions">
        <button type="button" onClick={onClose}>
          {m.account.close}
        </button>
      </div>
    </Dialog>
  );
}

function Entry({ entry, onRemove }: { entry: Notification; onRemove(): void }) {
  const { m, time } = useWords();
  const isRead = entry.read_at !== null;
  return (
    <li className={css.entry} data-read={isRead} data-testid="news-entry">
      <div>
        <h3>
          {entry.priority === "high" && <span className={css.high}>{m.news.high} </span>}
          {!isRead && <span className="hidden">{m.news.new} </span>}
          {entry.title}
        </h3>
        <small>{time(entry.at)}</small>
      </div>
      <button type="button" className={css.remove} aria-label={m.news.remove(entry.title)} onClick={onRemove}>
        ✕
      </button>
      {entry.body !== "" && <p>{entry.body}</p>}
    </li>
  );
}
