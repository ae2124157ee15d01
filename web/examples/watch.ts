// Plays for a moment without a page: a guest clicks, buys a machine, and watches its energy rise.
import { createIdlewatt } from "../src/client";

export async function watch(baseUrl: string, report: (line: string) => void): Promise<void> {
  let refreshToken: string | null = null;
  const client = createIdlewatt({
    baseUrl,
    tokens: {
      kind: "stored",
      read: () => refreshToken,
      write: (token) => {
        refreshToken = token;
      },
    },
    environment: { isHidden: () => false, isOffline: () => false, newKey: () => crypto.randomUUID() },
  });
  const { game } = client;
  const until = (isTrue: () => boolean) =>
    new Promise<void>((resolve) => {
      const end = game.subscribe(() => {
        if (!isTrue()) return;
        end();
        resolve();
      });
    });

  await client.start();
  await until(() => game.snapshot.state !== undefined && game.snapshot.catalog !== undefined);
  report(`playing as ${game.snapshot.state?.display_name}`);

  for (let click = 0; click < 15; click += 1) game.click();
  await until(() => game.snapshot.pendingClicks === 0);
  report(`energy ${game.energy()}`);

  game.buyGenerator("hand_crank", "max");
  await until(() => game.snapshot.pendingPurchases.length === 0);
  report(`rate ${game.snapshot.state?.energy_per_second}`);
  client.dispose();
}
