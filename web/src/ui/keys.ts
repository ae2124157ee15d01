import { useEffect, useRef } from "react";

export interface Keys {
  click(): void;
  buy(index: number): void;
  upgrade(): void;
}

/** Whether the keyboard shortcuts are on. */
export function keysAreOn(): boolean {
  try {
    return localStorage.getItem("idlewatt-keys") !== "off";
  } catch {
    return true;
  }
}

/** Keyboard shortcuts, while no control that takes text or space has the focus. */
export function useKeys(keys: Keys): void {
  const latest = useRef(keys);
  latest.current = keys;
  useEffect(() => {
    const press = (event: KeyboardEvent) => {
      const target = event.target instanceof Element ? event.target : undefined;
      const isTyping = target?.closest("input, select, textarea, dialog") !== null && target !== undefined;
      if (isTyping || event.metaKey || event.ctrlKey || event.altKey || !keysAreOn()) return;
      if (event.code === "Space") {
        // A focused button is pressed by space.
        if (target?.closest("button, a") != null) return;
        event.preventDefault();
        if (!event.repeat) latest.current.click();
      } else if (/^Digit\d$/.test(event.code)) {
        latest.current.buy((Number(event.code.slice(5)) + 9) % 10);
      } else if (event.code === "KeyU") {
        latest.current.upgrade();
      }
    };
    window.addEventListener("keydown", press);
    return () => window.removeEventListener("keydown", press);
  }, []);
}
