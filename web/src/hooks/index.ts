import { createContext, use, useEffect, useRef, useState, useSyncExternalStore } from "react";
import type { Idlewatt, News, Snapshot } from "../client";

/** The client of the page. */
export const ClientContext = createContext<Idlewatt | undefined>(undefined);

export function useClient(): Idlewatt {
  const client = use(ClientContext);
  if (client === undefined) throw new Error("useClient needs a ClientContext");
  return client;
}

/** The present snapshot of the game. The component renders again at every change. */
export function useGame(): Snapshot {
  const { game } = useClient();
  return useSyncExternalStore(game.subscribe, () => game.snapshot);
}

/** The present notifications. The component renders again at every change. */
export function useNews(): News {
  const { notifications } = useClient();
  return useSyncExternalStore(notifications.subscribe, () => notifications.snapshot);
}

/** The id of the player; `undefined` until it is known. */
export function usePlayerId(): string | undefined {
  const { game } = useClient();
  return useSyncExternalStore(game.subscribe, () => game.snapshot.state?.player_id);
}

/** Calls `show` several times a second, and after every change. Writing text is cheaper than rendering. */
export function useTicker(show: () => void, intervalMs = 100): void {
  const { game } = useClient();
  const latest = useRef(show);
  latest.current = show;
  useEffect(() => {
    const tick = () => latest.current();
    tick();
    const end = game.subscribe(tick);
    const timer = setInterval(tick, intervalMs);
    return () => {
      end();
      clearInterval(timer);
    };
  }, [game, intervalMs]);
}

/** The energy at this moment, rendered again every `intervalMs`: for what depends on it, such as buttons. */
export function useEnergy(intervalMs = 500): number {
  const { game } = useClient();
  const [energy, setEnergy] = useState(() => game.energy());
  useTicker(() => setEnergy(game.energy()), intervalMs);
  return energy;
}

/** The result of a call that is made when the component appears or `key` changes. */
export type Loaded<T> = { status: "loading" } | { status: "failed"; error: unknown } | { status: "ready"; value: T };

export function useLoaded<T>(key: string, load: () => Promise<T>): [Loaded<T>, () => void] {
  const [loaded, setLoaded] = useState<{ key: string; result: Loaded<T> }>({ key, result: { status: "loading" } });
  const [attempt, setAttempt] = useState(0);
  const latest = useRef(load);
  latest.current = load;
  // biome-ignore lint/correctness/useExhaustiveDependencies: a new attempt loads again
  useEffect(() => {
    let isCurrent = true;
    const show = (result: Loaded<T>) => isCurrent && setLoaded({ key, result });
    latest.current().then(
      (value) => show({ status: "ready", value }),
      (error: unknown) => show({ status: "failed", error }),
    );
    return () => {
      isCurrent = false;
    };
  }, [key, attempt]);
  const result: Loaded<T> = loaded.key === key ? loaded.result : { status: "loading" };
  return [result, () => setAttempt((it) => it + 1)];
}

/** A setting that the browser remembers. */
export function useSetting<T extends string>(name: string, initial: T): [T, (value: T) => void] {
  const [value, setValue] = useState<T>(() => {
    try {
      return (localStorage.getItem(`idlewatt-${name}`) as T | null) ?? initial;
    } catch {
      return initial;
    }
  });
  const change = (next: T) => {
    setValue(next);
    try {
      localStorage.setItem(`idlewatt-${name}`, next);
    } catch {
      // A browser may forbid it; the setting then lasts as long as the page.
    }
  };
  return [value, change];
}
