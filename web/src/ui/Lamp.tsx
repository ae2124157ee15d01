import { useRef } from "react";
import { useClient, useGame } from "../hooks";
import { useWords } from "../i18n";
import css from "./lamp.module.css";

/**
 * The lamp over the workbench, which a click cranks. It is as bright as the workshop: `light` is the logarithm of the
 * rate, from 0 to 1.
 */
export function Lamp({ light }: { light: number }) {
  const { game } = useClient();
  const { m, number } = useWords();
  const { state } = useGame();
  const sparks = useRef<HTMLSpanElement>(null);
  const bulb = useRef<SVGSVGElement>(null);
  const crank = () => {
    if (!game.click()) return;
    const gain = state === undefined ? "" : `+${number(state.energy_per_click)}`;
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
    bulb.current?.animate([{ filter: "brightness(1.7)" }, { filter: "brightness(1)" }], { duration: 220 });
    const parent = sparks.current;
    if (parent === null || parent.childElementCount > 12) return;
    const spark = document.createElement("b");
    spark.textContent = gain;
    parent.append(spark);
    const x = (Math.random() - 0.5) * 110;
    const flight = spark.animate(
      [
        { transform: `translate(${x}px, 0)`, opacity: 1 },
        { transform: `translate(${x * 1.3}px, -90px)`, opacity: 0 },
      ],
      { duration: 800, easing: "ease-out" },
    );
    flight.onfinish = () => spark.remove();
  };
  return (
    <div className={css.lamp}>
      <button type="button" className={css.crank} data-testid="click" onClick={crank}>
        <svg ref={bulb} viewBox="0 0 200 230" aria-hidden="true">
          <defs>
            <radialGradient id="glow" cx="50%" cy="50%" r="50%">
              <stop offset="0" stopColor="var(--glow-core)" />
              <stop offset="0.45" stopColor="var(--glow)" />
              <stop offset="1" stopColor="var(--glow)" stopOpacity="0" />
            </radialGradient>
          </defs>
          <circle
            className={css.halo}
            cx="100"
            cy="95"
            r="95"
            fill="url(#glow)"
            style={{ opacity: 0.25 + light * 0.75 }}
          />
          <path className={css.cord} d="M100 0v24" />
          <path className={css.socket} d="M82 22h36v18a6 6 0 0 1-6 6H88a6 6 0 0 1-6-6Z" />
          <path
            className={css.glass}
            d="M86 46c0 16-34 26-34 62a48 48 0 0 0 96 0c0-36-34-46-34-62Z"
            style={{ fillOpacity: 0.18 + light * 0.5 }}
          />
          <path
            className={css.filament}
            d="M92 50v42l-10 20 9-7 9 12 9-12 9 7-10-20V50"
            style={{ strokeWidth: 2.5 + light * 2 }}
          />
        </svg>
        <span className={css.label}>{m.click}</span>
        <span className={css.gain}>{state !== undefined && m.clickGain(number(state.energy_per_click))}</span>
      </button>
      <span ref={sparks} className={css.sparks} aria-hidden="true" />
    </div>
  );
}
