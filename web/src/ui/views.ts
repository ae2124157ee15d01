import { useSyncExternalStore } from "react";

/** The views of the page, by path. */
export const VIEWS = ["play", "rankings", "journal", "account"] as const;
export type View = (typeof VIEWS)[number];

const changed = new EventTarget();

export function pathOf(view: View): string {
  return view === "play" ? "/" : `/${view}`;
}

function present(): View {
  return VIEWS.find((view) => pathOf(view) === location.pathname) ?? "play";
}

export function go(view: View): void {
  if (present() !== view) history.pushState(null, "", pathOf(view));
  changed.dispatchEvent(new Event("change"));
}

function subscribe(listener: () => void): () => void {
  changed.addEventListener("change", listener);
  window.addEventListener("popstate", listener);
  return () => {
    changed.removeEventListener("change", listener);
    window.removeEventListener("popstate", listener);
  };
}

/** The view of the present path. */
export function useView(): View {
  return useSyncExternalStore(subscribe, present);
}
