import { useEffect, useRef } from "react";

/** How long a button is held before it repeats, and the interval of repeats, in milliseconds. */
const DELAY_MS = 450;
const INTERVAL_MS = 120;

/** Repeats an action while a pointer holds a button. The click itself is the button's own. */
export function useHold(action: () => void) {
  const latest = useRef(action);
  latest.current = action;
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  const end = () => clearTimeout(timer.current);
  useEffect(() => () => clearTimeout(timer.current), []);
  const repeat = () => {
    latest.current();
    timer.current = setTimeout(repeat, INTERVAL_MS);
  };
  const begin = (event: React.PointerEvent) => {
    if (event.button !== 0) return;
    end();
    timer.current = setTimeout(repeat, DELAY_MS);
  };
  return { onPointerDown: begin, onPointerUp: end, onPointerLeave: end, onPointerCancel: end };
}
