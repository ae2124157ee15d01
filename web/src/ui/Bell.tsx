import { unreadCount } from "../client";
import { useNews } from "../hooks";
import { useWords } from "../i18n";
import css from "./bell.module.css";

/** The most that the badge shows. */
const MOST = 99;

/** Opens the notifications, and shows how many are unread. */
export function Bell({ onOpen }: { onOpen(): void }) {
  const { m } = useWords();
  const { unread } = useNews();
  const count = unreadCount(unread);
  return (
    <button
      type="button"
      className={css.bell}
      aria-label={count === 0 ? m.news.open : `${m.news.open}: ${m.news.unread(count, unread.high)}`}
      data-testid="bell"
      data-unread={count}
      onClick={onOpen}
    >
      <svg viewBox="0 0 24 24" aria-hidden="true">
        <path d="M12 3a5.5 5.5 0 0 0-5.5 5.5c0 4.6-1.6 6.3-2.3 7h15.6c-.7-.7-2.3-2.4-2.3-7A5.5 5.5 0 0 0 12 3Zm-2 14.5a2 2 0 0 0 4 0Z" />
      </svg>
      {count > 0 && (
        <span className={css.badge} data-high={unread.high > 0} aria-hidden="true">
          {count > MOST ? `${MOST}+` : count}
        </span>
      )}
    </button>
  );
}
