import { useRef } from "react";
import { useClient, useGame } from "../hooks";
import { useWords } from "../i18n";
import css from "./lamp.module.css";
import { machineShape } from "./MachineIcon";

/**
 * The lamp over the workbench, which a click cranks, and the machines that stand in its light. It is as bright as the
 * workshop: `light` is the logarithm of the rate, from 0 to 1. `machines` are the ids of what is owned.
 */
export function Lamp({ light, machines }: { light: number; machines: string[] }) {
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
        <svg ref={bulb} viewBox="-30 0 260 222" aria-hidden="true">
          <defs>
            <radialGradient id="glow" cx="50%" cy="50%" r="50%">
              <stop offset="0" stopColor="var(--glow-core)" />
              <stop offset="0.45" stopColor="var(--glow)" />
              <stop offset="1" stopColor="var(--glow)" stopOpacity="0" />
            </radialGradient>
            <linearGradient id="beam" x1="0" y1="0" x2="0" y2="1">
              <stop offset="0" stopColor="var(--glow)" />
              <stop offset="1" stopColor="var(--glow)" stopOpacity="0.1" />
            </linearGradient>
          </defs>
          <circle
            className={css.halo}
            cx="100"
            cy="95"
            r="95"
            fill="url(#glow)"
            style={{ opacity: 0.06 + light * 0.94 }}
          />
          <path className={css.cord} d="M100 0v24" />
          <path className={css.socket} d="M82 22h36v18a6 6 0 0 1-6 6H88a6 6 0 0 1-6-6Z" />
          <path
            className={css.glass}
            d="M86 46c0 16-34 26-34 62a48 48 0 0 0 96 0c0-36-34-46-34-62Z"
            style={{ fillOpacity: 0.06 + light * 0.6 }}
          />
          <path
            className={css.filament}
            d="M92 50v42l-10 20 9-7 9 12 9-12 9 7-10-20V50"
            style={{ strokeWidth: 2.5 + light * 2, opacity: 0.35 + light * 0.65 }}
          />
          <path
            className={css.beam}
            d="M62 140 -24 208H224L138 140Z"
            fill="url(#beam)"
            style={{ opacity: light === 0 ? 0 : 0.1 + light * 0.5 }}
          />
          <g className={css.machines} style={{ opacity: 0.55 + light * 0.45 }}>
            {machines.map((id, index) => (
              <path key={id} d={machineShape(id)} transform={placeOf(index, machines.length)} />
            ))}
          </g>
          <path className={css.board} d="M-28 208H228M-10 208v14M210 208v14" />
        </svg>
        <span className={css.label}>{m.click}</span>
        <span className={css.gain}>{state !== undefined && m.clickGain(number(state.energy_per_click))}</span>
      </button>
      <span ref={sparks} className={css.sparks} aria-hidden="true" />
    </div>
  );
}

/** Where a machine of `count` stands on the board: side by side around the middle, as large as there is room. */
function placeOf(index: number, count: number): string {
  const step = Math.min(44, 240 / count);
  const scale = step / 28;
  const left = 100 + (index - (count - 1) / 2) * step - 12 * scale;
  return `translate(${left.toFixed(1)} ${(206 - 22 * scale).toFixed(1)}) scale(${scale.toFixed(2)})`;
}
