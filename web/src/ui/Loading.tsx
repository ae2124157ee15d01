import type { ReactNode } from "react";
import type { Loaded } from "../hooks";
import { useWords } from "../i18n";
import { explain } from "./explain";
import css from "./lists.module.css";

/** Shows a loaded value, or that it is loading, or that it could not be loaded. */
export function Loading<T>({
  loaded,
  retry,
  children,
}: {
  loaded: Loaded<T>;
  retry(): void;
  children(value: T): ReactNode;
}) {
  const { m } = useWords();
  if (loaded.status === "loading") return <p className={css.quiet}>{m.loading}</p>;
  if (loaded.status === "ready") return children(loaded.value);
  return (
    <div className={css.row} role="alert">
      <span>
        {m.failed} {explain(loaded.error, m)}
      </span>
      <button type="button" onClick={retry}>
        {m.retry}
      </button>
    </div>
  );
}
