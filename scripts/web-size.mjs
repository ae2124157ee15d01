// Fails if what the page loads first is larger than 100 kB when compressed by gzip, or if its styles come in a wrong order.
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

const LIMIT = 100_000;
const dist = join(dirname(fileURLToPath(import.meta.url)), "../web/dist");
const html = readFileSync(join(dist, "index.html"), "utf8");
const first = [...html.matchAll(/(?:src|href)="\/(assets\/[^"]+)"/g)].map((it) => it[1]);
const sizes = ["index.html", ...new Set(first)].map((name) => gzipSync(readFileSync(join(dist, name)), { level: 9 }).length);
const total = sizes.reduce((sum, size) => sum + size, 0);
const parts = readdirSync(join(dist, "assets")).filter((it) => it.endsWith(".js")).length;
console.log(`The page loads ${(total / 1000).toFixed(1)} kB first; it has ${parts} scripts.`);
// Layers have the order in which they appear. If a stylesheet with components came before the base, the base would win.
const styles = first.filter((name) => name.endsWith(".css"));
if (!readFileSync(join(dist, styles[0]), "utf8").startsWith("@layer base")) {
  console.error(`${styles[0]} is loaded before the base styles: a module with styles is shared by the first scripts and later ones.`);
  process.exit(1);
}
if (total > LIMIT) {
  console.error(`That is more than ${LIMIT / 1000} kB.`);
  process.exit(1);
}
