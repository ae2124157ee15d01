/** The mark of the game. */
export function LampMark() {
  return (
    <svg viewBox="0 0 32 32" aria-hidden="true">
      <path d="M16 5a8 8 0 0 0-4.6 14.5c.9.7 1.4 1.5 1.4 2.5h6.4c0-1 .5-1.8 1.4-2.5A8 8 0 0 0 16 5Z" />
      <path d="M13 24h6v1.5a2 2 0 0 1-2 2h-2a2 2 0 0 1-2-2Z" />
    </svg>
  );
}
