import css from "./icons.module.css";

/** Drawings of the machines: one path each, in a box of 24. */
const SHAPES: Record<string, string> = {
  hand_crank: "M8 12a4 4 0 1 0 8 0 4 4 0 1 0-8 0M16 12h4V6M18 6h4M12 16v4M8 20h8",
  bicycle_dynamo:
    "M2 16a4 4 0 1 0 8 0 4 4 0 1 0-8 0M14 16a4 4 0 1 0 8 0 4 4 0 1 0-8 0M6 16l4-8h6l2 8M10 8l3 8 4-7M8 8h4",
  solar_panel: "M5 5h14l3 11H2ZM9.5 5 8 16M14.5 5 16 16M3.5 10.5h17M12 16v4M8 20h8",
  wind_turbine: "M12 9v13M12 9 12 1M12 9l7 4M12 9l-7 4M9 22h6M11 9a1 1 0 1 0 2 0 1 1 0 1 0-2 0",
  hydro_dam: "M5 3v18h14L13 3ZM5 8H2M5 12H2M17 17h5M18 20h4M8 7h3M8 11h5M8 15h6",
  geothermal_plant: "M3 21h18M6 21l2-9h8l2 9M9 9c0-2 2-2 2-4s-1-2-1-3M13 9c0-2 2-2 2-4s-1-2-1-3",
  fission_reactor:
    "M4 21c2-5 2-8 1-12h7c-1 4-1 7 1 12ZM14 21c1-4 1-6 0-9h6c-1 3-1 6 1 9ZM6 6c1-2 4-1 5-3M15 9c1-2 3-1 4-3",
  fusion_reactor:
    "M2 12a10 5 0 1 0 20 0 10 5 0 1 0-20 0M8 12a4 1.6 0 1 0 8 0 4 1.6 0 1 0-8 0M12 7V3M12 21v-4M5 9 3 6M19 9l2-3",
  orbital_collector: "M9 9h6v6H9ZM1 9h6v6H1ZM17 9h6v6h-6ZM7 12h2M15 12h2M12 15v3M9 21a3 3 0 0 1 6 0M4 9v6M20 9v6",
  dyson_swarm:
    "M9 12a3 3 0 1 0 6 0 3 3 0 1 0-6 0M12 2v3M12 19v3M2 12h3M19 12h3M4.5 4.5 7 7M17 17l2.5 2.5M19.5 4.5 17 7M7 17l-2.5 2.5",
};

/** The drawing of a machine as a path in a box of 24. */
export function machineShape(id: string): string {
  return SHAPES[id] ?? "M5 5h14v14H5ZM9 9h6v6H9Z";
}

export function MachineIcon({ id }: { id: string }) {
  return (
    <svg className={css.icon} viewBox="0 0 24 24" aria-hidden="true">
      <path d={machineShape(id)} />
    </svg>
  );
}
