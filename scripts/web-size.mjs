// Fails if what the page loads first is larger than 100 kB when compressed by gzip.
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
if (total > LIMIT) {
  console.error(`That is more than ${LIMIT / 1000} kB.`);
  process.exit(1);
}
